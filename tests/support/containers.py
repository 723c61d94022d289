"""Whether containers can be tried here, and images to try them with."""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.executors.container import ContainerExecutor
from local_runner.executors.container_engines import ENGINES
from local_runner.images.folder import image_digest, read_image
from local_runner.project.file import read_project

STAGES = read_project(Path(__file__).parents[2]).images
IMAGE = "local_runner/split:1.0"


@functools.cache
def executor_of(program: str) -> ContainerExecutor:
    """One for all tests: looking for an engine takes a tenth of a second."""
    return ContainerExecutor(program)


@functools.cache
def why_not(program: str = "", images: tuple[str, ...] = tuple(f"{name}:1.0" for name in STAGES)) -> str:
    """Why containers of these images cannot be tried with this engine, or with the first that works; "" if they can."""
    executor = executor_of(program)
    if reason := executor.why_not():
        return f"no containers: {reason}"
    for name in images:
        image = executor.engine.image(name)
        if image is None or image.digest != image_digest(read_image(STAGES[name.removesuffix(":1.0")])):
            why = "is not built, or not from these files; .ci/run or `build images` does it"
            return f"no containers of {executor.engine.program}: {name} {why}"
    return ""


def needs(program: str) -> pytest.MarkDecorator:
    """Containers of `IMAGE`."""
    reason = why_not(program, (IMAGE,))
    return pytest.mark.skipif(bool(reason), reason=reason)


@functools.cache
def why_no_builder(program: str) -> str:
    """Why nothing can be built with it here; "" if it can."""
    if program in ENGINES:
        return executor_of(program).why_not()
    return "" if shutil.which(program) else f"{program} is not installed"


def needs_builder(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(why_no_builder(program)), reason=f"nothing is built: {why_no_builder(program)}")


@contextlib.contextmanager
def imported(program: str, programs: tuple[str, ...]) -> Iterator[str]:
    """The name of an image with nothing in it but some programs of this host, and the libraries they are linked to."""
    name = f"local_runner-test/{uuid.uuid4().hex}:1"
    subprocess.run([program, "import", "-", name], input=packed(programs), capture_output=True, check=True)
    try:
        yield name
    finally:
        subprocess.run([program, "rmi", name], capture_output=True, check=True)


def packed(programs: tuple[str, ...]) -> bytes:
    """These programs and their libraries as a tar file, which is all that an image has to be."""
    paths = {f"/bin/{program}": shutil.which(program) or program for program in programs}
    linked = subprocess.run(["ldd", *paths.values()], capture_output=True, text=True, check=True).stdout.split()
    files = paths | {word: word for word in linked if word.startswith("/") and not word.endswith(":")}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for inside, outside in files.items():
            tar.add(Path(outside).resolve(), inside.lstrip("/"))
    return content.getvalue()
