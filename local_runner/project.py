"""The project file, `local_runner.toml`: what `python -m local_runner` brings up to date."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from local_runner.errors import Invalid

PROJECT_FILE = "local_runner.toml"


@dataclass(frozen=True, slots=True)
class InputRepo:
    """Files of the project that are committed to an input repo: path in the repo -> file or folder. `split` cuts each into records."""

    name: str
    files: Mapping[str, Path]
    split: str = ""
    branch: str = "master"


@dataclass(frozen=True, slots=True)
class Project:
    """What a project file says; an empty one where there is none. All paths are absolute."""

    root: Path
    specs: tuple[Path, ...] = ()
    repos: tuple[InputRepo, ...] = ()
    images: Mapping[str, Path] = field(default_factory=dict)


def read_project(root: Path) -> Project:
    """The project file in a folder. Raises `Invalid` naming file and field for what is wrong in it."""
    path = root / PROJECT_FILE
    if not path.is_file():
        return Project(root)
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {error}", hint="it has to be TOML") from None
    _check_keys(path, document, ("pipelines", "repo", "images"), "")
    return Project(root, _specs(path, document), _repos(path, document), _images(path, document))


def _specs(path: Path, document: Mapping[str, Any]) -> tuple[Path, ...]:
    patterns = document.get("pipelines", [])
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise Invalid(f'{path}: pipelines: expected a list of paths, for example ["pipelines/*.json"]')
    found: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(path.parent.glob(pattern))
        if not matches:
            raise Invalid(f"{path}: pipelines: {pattern}: no such file", hint="paths are relative to the project file")
        found |= dict.fromkeys(matches)
    return tuple(found)


def _repos(path: Path, document: Mapping[str, Any]) -> tuple[InputRepo, ...]:
    repos = []
    listed = document.get("repo", [])
    if not isinstance(listed, list):
        raise Invalid(f"{path}: repo: expected a list", hint="write [[repo]] above each")
    for number, repo in enumerate(listed, 1):
        where = f"{path}: repo {repo.get('name', number)}"
        _check_keys(path, repo, ("name", "files", "split", "branch"), f"repo {repo.get('name', number)}: ")
        if not isinstance(repo.get("name"), str) or not isinstance(repo.get("files"), dict):
            raise Invalid(f'{where}: it needs a name and files, for example files = {{ "iris.csv" = "data/iris.csv" }}')
        if repo.get("split", "") not in ("", "line", "json", "csv"):
            raise Invalid(f"{where}: split: {repo['split']} is none of line, json, csv")
        if not all(isinstance(source, str) for source in repo["files"].values()):
            raise Invalid(f"{where}: files: expected a path in the repo = a path here")
        files = {name: path.parent / source for name, source in repo["files"].items()}
        for name, source in files.items():
            if not source.exists():
                raise Invalid(f"{where}: files: {name}: {source} does not exist", hint="paths are relative to the project file")
        repos.append(InputRepo(repo["name"], files, repo.get("split", ""), repo.get("branch", "master")))
    return tuple(repos)


def _images(path: Path, document: Mapping[str, Any]) -> dict[str, Path]:
    listed = document.get("images", {})
    if not isinstance(listed, dict) or not all(isinstance(folder, str) for folder in listed.values()):
        raise Invalid(f"{path}: images: expected the name of an image and its folder on each line")
    images = {name: path.parent / folder for name, folder in listed.items()}
    for name, folder in images.items():
        if not (folder / "Dockerfile").is_file():
            raise Invalid(f"{path}: images: {name}: {folder} has no Dockerfile")
    return images


def _check_keys(path: Path, document: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in document:
        if key not in known:
            near = get_close_matches(key, known, 1)
            raise Invalid(
                f"{path}: {where}unknown field {key}", hint=f"did you mean {near[0]}?" if near else f"it is one of {', '.join(known)}"
            )
