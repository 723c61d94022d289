"""Whether containers can be tried here, and images to try them with."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from local_runner.executors.container import ContainerExecutor
from local_runner.executors.engines import Engine
from local_runner.executors.images import image_digest, read_image
from local_runner.project import read_project

IMAGE = "local_runner/split:1.0"
STAGES = read_project(Path(__file__).parents[2]).images


@functools.cache
def why_not() -> str:
    """Why containers of the stages' images cannot be tried here; "" if they can."""
    executor = ContainerExecutor()
    if reason := executor.why_not():
        return f"no containers: {reason}"
    for name, folder in STAGES.items():
        image = executor.engine.image(f"{name}:1.0")
        if image is None or image.digest != image_digest(read_image(folder)):
            return f"no containers: {name} is not built, or not from these files; .ci/run or `build images` does it"
    return ""


def engine() -> Engine:
    return ContainerExecutor().engine


needs_containers = pytest.mark.skipif(bool(why_not()), reason=why_not())


def import_image(name: str, programs: tuple[str, ...]) -> None:
    """An image with nothing in it but some programs of this host, and the libraries they are linked to."""
    subprocess.run([engine().program, "import", "-", name], input=packed(programs), capture_output=True, check=True)


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
