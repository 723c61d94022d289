"""Decides how a pipeline gets what its image promises: from a folder, from an engine, from what is kept here, or from this host."""

from __future__ import annotations

import enum
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_runner.errors import Invalid, LocalRunnerError
from local_runner.executors.base import Executor
from local_runner.images.folder import image_folder, image_notes
from local_runner.oci.reference import DOCKER_HUB, parse_reference
from local_runner.specs.effective import DEFAULT_IMAGE

# Official images of Docker Hub with nothing in them but a system and its programs, or a Python.
_SYSTEMS = frozenset({"ubuntu", "debian", "alpine", "busybox", "bash", "fedora", "centos", "rockylinux", "almalinux", "amazonlinux"})
_PYTHON = "python"
_BUT = "but with"


class Way(enum.Enum):
    # A folder of [images] stands for it; its programs are this host's.
    FOLDER = "folder"
    # An engine runs it in a container.
    CONTAINER = "container"
    # Its own files, which are kept here, are the root of the sandbox.
    KEPT = "kept"
    # It is a plain base, or none is named: this host's programs do.
    HOST = "host"
    # It is not here, and neither are its files; this host's programs run in its place.
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """`words` is one sentence for people, "" where nothing needs to be said; `is_lack` says that the image has what this host has not."""

    image: str
    way: Way
    words: str = ""
    is_lack: bool = False


def choose_image(image: str, folders: Mapping[str, Path], executor: Executor) -> ImageChoice:
    """How an executor would run an image, in the order of `Way`. Raises `Unavailable` for images that cannot be listed.

    An executor that always needs an image decides by itself whether it has it.
    """
    if executor.capabilities.needs_image:
        return ImageChoice(image, Way.CONTAINER)
    if image_folder(image, folders):
        return ImageChoice(image, Way.FOLDER)
    if image in ("", DEFAULT_IMAGE) or not executor.capabilities.runs_programs:
        return ImageChoice(image, Way.HOST)
    if engine := executor.engine_with(image):
        return ImageChoice(image, Way.CONTAINER, f"image {image}: it runs in a container of {engine}, which has it")
    if executor.capabilities.shows_images and _is_kept(image):
        return ImageChoice(image, Way.KEPT, f"image {image}: its own files, which are kept here, are the root of the sandbox")
    plain = _plain_words(image)
    if plain:
        return ImageChoice(image, Way.HOST, plain, is_lack=_BUT in plain)
    return ImageChoice(image, Way.MISSING, missing_words(image), is_lack=True)


def missing_words(image: str) -> str:
    """Says that an image is not here, and the three ways to get it, as one line."""
    return (
        f"image {image} is not here, and its files are not either: this host's programs run in its place. To have it: `image pull {image}`;"
        f' or a folder for it in local_runner.toml, [images] "{image}" = "FOLDER"; or `podman pull {image}` (docker pull) and'
        " --executor container"
    )


def notes_of(image: str, folders: Mapping[str, Path], executor: Executor, *, only_lacks: bool = False) -> list[str]:
    """What to know about the image of a pipeline: how it is run, and what of its Dockerfile is not done.

    With `only_lacks` an image that is run as it should be, or is a plain base like this host, is not spoken of.
    Errors in the project's files are only notes, too.
    """
    try:
        choice = choose_image(image, folders, executor)
        said = image_notes(image, folders) if choice.way is Way.FOLDER else []
    except LocalRunnerError as why:
        return [why.message]
    is_told = choice.words and (choice.is_lack or not only_lacks)
    return [choice.words, *said] if is_told else said


def _is_kept(image: str) -> bool:
    from local_runner.oci.cache import ImageCache  # 15 ms; most images are folders

    try:
        return ImageCache().find(image) is not None
    except Invalid:  # no name that could be pulled
        return False


def _plain_words(image: str) -> str:
    """What differs where this host stands in for a plain base; "" for an image that is none."""
    try:
        reference = parse_reference(image)
    except Invalid:
        return ""
    name = reference.repository.removeprefix("library/")
    if reference.registry != DOCKER_HUB or "/" in name:
        return ""
    here = platform.python_version()
    if name == _PYTHON:
        wanted = re.match(r"\d+(\.\d+)*", reference.tag)
        same = wanted is None or here == wanted[0] or here.startswith(f"{wanted[0]}.")
        return f"image {image} is a plain base: its commands run on this host, " + ("with" if same else _BUT) + f" Python {here}"
    return f"image {image} is a plain base: its commands run on this host, with this host's programs" if name in _SYSTEMS else ""
