"""Reads the project file, `local_runner.toml`."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_runner.errors import Invalid, NotFound
from local_runner.model.retention import parse_keep
from local_runner.specs.kubernetes import is_image

if TYPE_CHECKING:
    from local_runner.project.search import SearchSettings
from local_runner.storage.home import STARTED_IN, home_around, is_home

PROJECT_FILE = "local_runner.toml"
DEFAULT_BRANCH = "master"

_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"""\s*["']?([^"'=\[#]+?)["']?\s*=""")
_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True, slots=True)
class InputRepo:
    """Files of the project that are committed to an input repo: path in the repo -> file or folder. `split` cuts each into records."""

    name: str
    files: Mapping[str, Path]
    split: str = ""
    branch: str = DEFAULT_BRANCH


@dataclass(frozen=True, slots=True)
class Project:
    """A project file, parsed; empty if there is none. All paths are absolute.

    `is_part` says that there are more pipelines than these specs: their neighbours are left alone.
    """

    root: Path
    specs: tuple[Path, ...] = ()
    repos: tuple[InputRepo, ...] = ()
    images: Mapping[str, Path] = field(default_factory=dict)
    is_part: bool = False
    file: Path = Path(PROJECT_FILE)
    searches: Mapping[str, SearchSettings] = field(default_factory=dict)
    dask: Mapping[str, Any] = field(default_factory=dict)


class NoProject(Invalid):
    """There is no project file in a folder or above."""


def project_root(start: Path) -> Path:
    """The nearest folder with a project file, from `start` upward. Raises `Invalid` if there is none."""
    root = _find_root(start)
    if root is None:
        raise NoProject(
            f"there is no {PROJECT_FILE} in {start.absolute()} or above",
            hint='write one (pipelines = ["*.json"] is a beginning), name spec files (-f edges.json), or see the commands: --help',
        )
    return root


def _find_root(start: Path) -> Path | None:
    start = start.absolute()
    return next((folder for folder in (start, *start.parents) if (folder / PROJECT_FILE).is_file()), None)


def images_of(home: Path, start: Path | None = None) -> Mapping[str, Path]:
    """The folders behind images (name -> folder) of the project around a home, or where that has none, of that around `start`.

    `start` is the folder where the command was given unless another is named. Raises `Invalid`.
    """
    project = _project_of(home, start)
    return project.images if project else {}


def dask_of(home: Path) -> Mapping[str, Any]:
    """The table `[dask]` of the project around a home, or where that has none, of that around the working folder. Raises `Invalid`."""
    project = _project_of(home)
    return project.dask if project else {}


def _project_of(home: Path, start: Path | None = None) -> Project | None:
    if (home.parent / PROJECT_FILE).is_file():
        return read_project(home.parent)
    try:
        return read_project(project_root(start or Path(os.environ.get(STARTED_IN) or Path.cwd())))
    except (NoProject, FileNotFoundError):  # the folder it was given in may be gone
        return None


def read_project(root: Path, name: str = PROJECT_FILE) -> Project:
    """The project file in a folder. Raises `Invalid` naming file, line and field for what is wrong in it."""
    path = root / name
    if not path.is_file():
        return Project(root)
    try:
        text = path.read_text()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        at = _POSITION.search(str(error))
        where = f"{path}:{at[1]}:{at[2]}" if at else str(path)
        raise Invalid(f"{where}: {_POSITION.sub('', str(error))}", hint="it has to be TOML: https://toml.io") from None
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list within a thousand lists
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Invalid(f"{path}: {what}", hint="it has to be TOML: https://toml.io") from None
    reader = _Reader(path, _lines(text))
    reader.check_keys(document, ("pipelines", "repo", "images", "keep", "search", "dask"))
    reader.check_keep(document)
    specs, repos, images = reader.specs(document), reader.repos(document), reader.images(document)
    return Project(root, specs, repos, images, file=path, searches=reader.searches(document), dask=reader.dask(document))


def source_files(source: Path) -> Iterator[str]:
    """The files in a folder of a project, homes left out; a file is itself. Text, as that takes half as long as `Path` for many files."""
    if not source.is_dir():
        yield str(source)
        return
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not is_home(f"{folder}/{name}")]
        yield from (f"{folder}/{name}" for name in names)


def chosen_project(start: Path, files: Sequence[Path] = ()) -> Project:
    """The project of a folder, or of the files named: a project file, or specs in place of the project's.

    Raises `NotFound` for a file that is not there, `Invalid` if there is neither a project file nor a name.
    """
    for file in files:
        if not file.is_file():
            raise NotFound(f"there is no file {file.absolute()}", hint="-f names a project file (.toml) or spec files")
    projects = [file.absolute() for file in files if file.suffix == ".toml"]
    if len(projects) > 1 or (projects and len(files) > 1):
        raise Invalid("-f takes either one project file (.toml) or spec files")
    if projects:
        return read_project(projects[0].parent, projects[0].name)
    if not files:
        return read_project(project_root(start))
    root = _find_root(start)
    project = read_project(root) if root else Project(start.absolute())
    return dataclasses.replace(project, specs=tuple(file.absolute() for file in files), is_part=True)


def _lines(text: str) -> dict[tuple[str, int, str], int]:
    """The lines of a TOML text: (table, its number among tables of that name, key or "" for its header) -> line; tomllib has none."""
    found: dict[tuple[str, int, str], int] = {}
    table, numbers = "", Counter[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = header[1]
            numbers[table] += 1
            found[table, numbers[table], ""] = number
        elif key := _KEY.match(line):
            found.setdefault((table, numbers[table], key[1]), number)
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the document of a project file into a `Project`."""

    path: Path
    lines: Mapping[tuple[str, int, str], int]

    def wrong(self, message: str, key: str, table: str = "", number: int = 0, *, hint: str = "") -> Invalid:
        places = ((table, number, key), (table, number, ""), ("", 0, table))
        line = next((self.lines[place] for place in places if place in self.lines), None)
        return Invalid(f"{self.path}{f':{line}' if line else ''}: {message}", hint=hint)

    def check_keys(self, document: Mapping[str, Any], known: tuple[str, ...], table: str = "", number: int = 0, where: str = "") -> None:
        for key in document:
            if key not in known:
                near = get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(known)}"
                raise self.wrong(f"{where}unknown field {key}", key, table, number, hint=hint)

    def specs(self, document: Mapping[str, Any]) -> tuple[Path, ...]:
        patterns = document.get("pipelines", [])
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise self.wrong('pipelines: expected a list of paths, for example ["pipelines/*.json"]', "pipelines")
        found: dict[Path, None] = {}
        for pattern in patterns:
            matches = sorted(glob.glob(pattern, root_dir=self.path.parent, recursive=True))
            if not matches:
                raise self.wrong(f"pipelines: {pattern}: no such file", "pipelines", hint="paths are relative to the project file")
            found |= dict.fromkeys(self.path.parent / match for match in matches)
        return tuple(found)

    def repos(self, document: Mapping[str, Any]) -> tuple[InputRepo, ...]:
        listed = document.get("repo", [])
        if not isinstance(listed, list) or not all(isinstance(repo, dict) for repo in listed):
            raise self.wrong("repo: expected a list", "", "repo", 1, hint="write [[repo]] above each")
        return tuple(self._repo(number, repo) for number, repo in enumerate(listed, 1))

    def _repo(self, number: int, repo: Mapping[str, Any]) -> InputRepo:
        name = repo.get("name", number)

        def wrong(message: str, key: str, hint: str = "") -> Invalid:
            return self.wrong(f"repo {name}: {message}", key, "repo", number, hint=hint)

        self.check_keys(repo, ("name", "files", "split", "branch"), "repo", number, f"repo {name}: ")
        if not isinstance(repo.get("name"), str) or not isinstance(repo.get("files"), dict):
            raise wrong('it needs a name and files, for example files = { "iris.csv" = "data/iris.csv" }', "")
        if repo.get("split", "") not in ("", "line", "json", "csv"):
            raise wrong(f"split: {repo['split']} is none of line, json, csv", "split")
        if not isinstance(repo.get("branch", ""), str):
            raise wrong("branch: expected the name of a branch", "branch")
        if not all(isinstance(source, str) for source in repo["files"].values()):
            raise wrong("files: expected a path in the repo = a path here", "files")
        files = {name: self.path.parent / source for name, source in repo["files"].items()}
        for target, source in files.items():
            if home_around(source):
                raise wrong(f"files: {target}: {source} belongs to a home, whose files are no data", "files")
            if not source.exists():
                raise wrong(f"files: {target}: {source} does not exist", "files", "paths are relative to the project file")
        return InputRepo(repo["name"], files, repo.get("split", ""), repo.get("branch", DEFAULT_BRANCH))

    def check_keep(self, document: Mapping[str, Any]) -> None:
        table = document.get("keep", {})
        try:
            if not isinstance(table, dict):
                raise Invalid("keep: expected a table", hint='write [keep] and below it, for example, logs = "720h"')
            parse_keep(table)
        except Invalid as error:
            key = next((key for key in table if error.message.startswith(f"keep: {key}:") or error.message.endswith(f" {key}")), "")
            raise self.wrong(error.message, key, "keep", 1, hint=error.hint) from None

    def dask(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The table that says how a Dask cluster is reached; files are relative to the project file."""
        if "dask" not in document:
            return {}
        from local_runner.executors.dask.settings import FILES, read_settings  # for projects that have one

        table = document["dask"]
        try:
            if not isinstance(table, dict):
                raise Invalid("expected a table", hint='write [dask] and below it, for example, scheduler = "tcp://host:8786"')
            read_settings(table, {})
        except Invalid as error:
            key = next((key for key in table if re.search(rf"\b{re.escape(key)}\b", error.message)), "")
            raise self.wrong(f"dask: {error.message}", key, "dask", 1, hint=error.hint) from None
        return table | {key: str(self.path.parent / table[key]) for key in FILES if table.get(key)}

    def searches(self, document: Mapping[str, Any]) -> Mapping[str, SearchSettings]:
        if "search" not in document:
            return {}
        from local_runner.project.search import read_searches  # for projects that have one

        def wrong(message: str, key: str, table: str, hint: str) -> Invalid:
            return self.wrong(message, key, table, 1, hint=hint)

        return read_searches(document["search"], self.path, wrong)

    def images(self, document: Mapping[str, Any]) -> dict[str, Path]:
        listed = document.get("images", {})
        if not isinstance(listed, dict) or not all(isinstance(folder, str) for folder in listed.values()):
            raise self.wrong("images: expected the name of an image and its folder on each line", "", "images", 1)
        images = {name: self.path.parent / folder for name, folder in listed.items()}
        for name, folder in images.items():
            if not is_image(name):
                raise self.wrong(f"images: {name!a} is no name of an image", name, "images", 1, hint="write it as in code or me/code")
            if not (folder / "Dockerfile").is_file():
                raise self.wrong(f"images: {name}: {folder} has no Dockerfile", name, "images", 1)
        return images
