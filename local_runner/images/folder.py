"""Finds the folder behind `transform.image`, and reads from its Dockerfile what user code needs to run without a build."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from local_runner.errors import Invalid
from local_runner.images.dockerfile import Instruction, assignments, expand, needed, read_instructions, split
from local_runner.images.requirements import read_requirements, unmet
from local_runner.images.run_line import read_run

# They say how an image is started, described or watched; Pachyderm runs `transform.cmd` itself (reference pps 3.3).
_WITHOUT_EFFECT = frozenset({"ENTRYPOINT", "CMD", "EXPOSE", "LABEL", "MAINTAINER", "HEALTHCHECK", "STOPSIGNAL", "SHELL", "VOLUME"})

# Instructions that mean nothing while a variable in them has no value.
_EXPANDED = frozenset({"COPY", "ADD", "ENV", "WORKDIR"})
_SHOWN_COMMANDS = 3  # of a RUN

# What may lie in a folder that is copied, and is no code. The second is a home; a project's whole folder has one in it.
HOME = ".local_runner"
_LEFT_OUT = frozenset({"__pycache__", HOME})


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image as its Dockerfile says. `code` maps absolute paths in the image to host files and folders; `files` are all files in them.

    `requirements` are what it installs with pip, `packages` with other programs, (program, package). `notes` name what else cannot be
    honoured without building it, one sentence each.
    """

    folder: Path
    working_dir: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, Path] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(sorted({file for source in self.code.values() for file in _files_in(source)}))


def image_folder(image: str, folders: Mapping[str, Path]) -> Path | None:
    """The folder that `image` is built from, None if `folders` has none. A key with a tag is for that tag only, and counts first."""
    name = image.partition("@")[0]
    untagged = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    tagged = name if name != untagged else f"{name}:latest"
    return folders.get(tagged) or folders.get(untagged)


def read_image(folder: Path, base_env: Mapping[str, str] | None = None) -> ImageSource:
    """Read the Dockerfile in `folder`, which is also where its COPY takes files from. Raises `Invalid`.

    `base_env` stands for the environment of the base image: what $PATH is in `ENV PATH=/opt/bin:$PATH`.
    A .dockerignore is not read: it can only hide files that do no harm.
    """
    path = folder / "Dockerfile"
    try:
        text = path.read_text()
    except OSError as why:
        raise Invalid(f"{path} cannot be read: {why.strerror}", hint="an image's folder holds its Dockerfile; see [images]") from why
    start = ImageSource(folder)
    stages: dict[str, ImageSource] = {}
    source, name = start, ""
    arguments: dict[str, str] = {}
    without_value: set[str] = set()
    for number, instruction in enumerate(read_instructions(text)):
        known = {**(base_env or {}), **arguments, **source.env}
        if instruction.name == "FROM":
            words = split(expand(instruction.rest, arguments))
            if name:
                stages[name] = source
            source = replace(stages.get(words[0], start), notes=()) if words else start
            name = words[2] if len(words) == 3 else f"stage {number}"
        elif instruction.name == "ARG":
            arguments |= {key: expand(value, known) for key, value in assignments(instruction).items()}
            without_value |= {word for word in split(instruction.rest) if "=" not in word and word not in known}
        elif instruction.name in _EXPANDED and (unknown := sorted(needed(instruction.rest) & without_value - known.keys())):
            source = _note(
                source,
                f"{instruction.name} {instruction.rest} is not done: only a build gives {_listed(unknown)} a value;"
                f" write ARG {unknown[0]}=VALUE into the Dockerfile",
            )
        elif read := _READERS.get(instruction.name):
            source = read(source, instruction, known)
        elif instruction.name not in _WITHOUT_EFFECT:
            source = _note(source, f"{instruction.name} {instruction.rest} is not done")
    return source


def image_notes(image: str, folders: Mapping[str, Path]) -> list[str]:
    """Notes about running an image without building it: packages that this Python lacks, and instructions that are not carried out.

    Nothing for an image that `folders` does not have. Raises `Invalid` for one whose Dockerfile cannot be read.
    """
    folder = image_folder(image, folders)
    if folder is None:
        return []
    source = read_image(folder)
    missing = unmet(source.requirements)
    said = [f"image {image}: {folder / 'Dockerfile'} installs {', '.join(missing)}; pip install it here"] if missing else []
    for program in dict.fromkeys(program for program, _ in source.packages):
        installed = _listed([package for by, package in source.packages if by == program])
        said.append(f"image {image}: {folder / 'Dockerfile'} installs {installed} with {program}: it must be on this machine")
    return [*said, *(f"image {image}: {note}" for note in source.notes)]


def code_digest(source: ImageSource) -> dict[str, str]:
    """Digest of each file the image is made of, by its name relative to the folder; a change of one is a change of the code."""
    digests = {}
    for path in (*source.files, source.folder / "Dockerfile"):
        with path.open("rb") as file:
            digests[os.path.relpath(path, source.folder)] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def image_digest(source: ImageSource) -> str:
    """One digest of all files that an image is made of: an image that bears it is up to date."""
    return hashlib.sha256(json.dumps(code_digest(source), sort_keys=True).encode()).hexdigest()


def _working_dir(source: ImageSource, instruction: Instruction, known: Mapping[str, str]) -> ImageSource:
    return replace(source, working_dir=_in_image(source, expand(instruction.rest.strip("\"'"), known)))


def _env(source: ImageSource, instruction: Instruction, known: Mapping[str, str]) -> ImageSource:
    return replace(source, env={**source.env, **{key: expand(value, known) for key, value in assignments(instruction).items()}})


def _copy(source: ImageSource, instruction: Instruction, known: Mapping[str, str]) -> ImageSource:
    words = [expand(word, known) for word in instruction.words]
    line = f"{instruction.name} {instruction.rest}"
    if instruction.here:
        return _note(source, f"{line} has its files inline: they are not made")
    if any(flag.startswith("--from") for flag in instruction.flags):
        return _note(source, f"{line} takes files from another image ({' '.join(instruction.flags)}): they are not there")
    if len(words) < 2:
        return _note(source, f"{line} names no destination")
    *patterns, destination = words
    target = _in_image(source, destination)
    found = []
    for pattern in patterns:
        matches = list(_matches(source.folder, pattern))
        if not matches:
            source = _note(source, f"{line}: there is no {pattern} in {source.folder}")
        found += matches
    is_folder = destination.endswith(("/", ".")) or len(found) > 1 or target == source.working_dir or target in source.code
    code = dict(source.code)
    for path in found:
        if not path.is_dir():
            code[os.path.join(target, path.name) if is_folder else target] = path
        elif target == "/" or target in code:
            # The root folder cannot be replaced, nor may a second folder hide the first.
            code |= {os.path.join(target, entry.name): entry for entry in path.iterdir()}
        else:
            code[target] = path
    return replace(source, code=code)


def _add(source: ImageSource, instruction: Instruction, known: Mapping[str, str]) -> ImageSource:
    if re.search(r"://|\.(tar|tgz|tar\.\w+)\b", instruction.rest):
        return _note(source, f"ADD {instruction.rest} fetches or unpacks an archive: its files are not there")
    return _copy(source, instruction, known)


def _run(source: ImageSource, instruction: Instruction, known: Mapping[str, str]) -> ImageSource:
    script = instruction.here or " ".join(instruction.words if instruction.rest.startswith("[") else [instruction.rest])
    read = read_run(expand(script, known, keep_unknown=True))
    for arguments in read.pip:
        source = _install(source, list(arguments))
    source = replace(source, packages=tuple(dict.fromkeys(source.packages + read.packages)))
    return _note(source, f"RUN {_shortened(read.others)} is not done") if read.others else source


def _shortened(commands: Sequence[str]) -> str:
    shown = " && ".join(commands[:_SHOWN_COMMANDS])
    return f"{shown} … (and {len(commands) - _SHOWN_COMMANDS} more)" if len(commands) > _SHOWN_COMMANDS else shown


def _listed(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _install(source: ImageSource, arguments: list[str]) -> ImageSource:
    requirements: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in ("-r", "--requirement") or word.startswith("--requirement="):
            name = word.partition("=")[2] or next(rest, "")
            try:
                requirements += read_requirements(_on_host(source, name))
            except OSError as why:
                source = _note(source, f"RUN pip install -r {name}: cannot be read ({why.strerror}), so nothing is checked")
        elif word in ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-c", "--constraint", "-t", "--target"):
            next(rest, None)
        elif word.startswith((".", "/")) or word in ("-e", "--editable") or "://" in word:
            source = _note(source, f"RUN pip install {word}: not a package with a version, so it is not checked")
        elif not word.startswith("-"):
            requirements.append(word)
    return replace(source, requirements=tuple(dict.fromkeys(source.requirements + tuple(requirements))))


_READERS: Mapping[str, Callable[[ImageSource, Instruction, Mapping[str, str]], ImageSource]] = {
    "WORKDIR": _working_dir,
    "ENV": _env,
    "COPY": _copy,
    "ADD": _add,
    "RUN": _run,
}


def _note(source: ImageSource, text: str) -> ImageSource:
    return replace(source, notes=(*source.notes, text))


def _in_image(source: ImageSource, path: str) -> str:
    """`path` as the absolute path it has in the image."""
    return os.path.normpath(os.path.join(source.working_dir, path))


def _on_host(source: ImageSource, path: str) -> Path:
    """The host's file of a path in the image; one that no COPY brought is looked for in the folder."""
    target = _in_image(source, path)
    for place in (target, *(str(parent) for parent in Path(target).parents)):
        if place in source.code:
            return source.code[place] / os.path.relpath(target, place) if place != target else source.code[place]
    return source.folder / path


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    relative = os.path.normpath(pattern).lstrip("/")
    if relative == ".":
        yield folder
    else:
        yield from sorted(folder.glob(relative))


def _files_in(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    else:
        yield from (path for path in source.rglob("*") if not _LEFT_OUT.intersection(path.parts) and path.is_file())


def image_source(images: Mapping[str, Path], image: str, base_env: Mapping[str, str] | None = None) -> ImageSource | None:
    """The source of an image, None if the project has no folder for it; `base_env` is as in `read_image`."""
    folder = image_folder(image, images)
    return read_image(folder, base_env) if folder else None
