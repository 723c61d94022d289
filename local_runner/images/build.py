"""Builds a project's images with docker, podman or buildah: finds those out of date, and runs the builds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_runner.errors import Invalid, NotFound, Unavailable, WorkFailed
from local_runner.executors.container_engines import BUILDERS, DIGEST_LABEL, ENGINE_VARIABLE, complaint, says_it_has_no_such_image
from local_runner.images.folder import HOME, image_digest, image_folder, read_image

BASE_VARIABLE = "LOCAL_RUNNER_BASE_IMAGE"
_BASE_LABEL = "local_runner.base"
_SHOWN_LINES = 15


@dataclass(frozen=True, slots=True)
class Buildable:
    """An image that can be built here: its name with tag, its folder, and what its files come to."""

    name: str
    folder: Path
    digest: str


def buildables(folders: Mapping[str, Path], used: Collection[str], wanted: Sequence[str] = ()) -> list[Buildable]:
    """The images of a project, under each of the names with tag that specs use for them (`used`), else as `latest`.

    `wanted` are names as in `folders` or their last part; none are all. Raises `NotFound` for another, `Invalid` for what cannot be read.
    """
    found = []
    for name, folder in folders.items():
        if wanted and not {name, _last_part(name)} & set(wanted):
            continue
        latest = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
        mine = {image for image in used if image_folder(image, folders) == folder and image_folder(image, {name: folder})}
        tagged = sorted(mine) or [latest]
        digest = image_digest(read_image(folder))
        found += [Buildable(image, folder, digest) for image in tagged]
    known = {*folders, *map(_last_part, folders)}
    for name in wanted:
        if name not in known:
            raise NotFound(f"image {name} is not one of the project's", hint=f"[images] has {', '.join(folders) or 'none'}")
    return found


@dataclass(frozen=True, slots=True)
class Builder:
    """`program` is podman, docker or buildah. `base`, if not "", is given to Dockerfiles as the argument BASE."""

    program: str
    base: str = ""

    def is_up_to_date(self, image: Buildable) -> bool:
        """Whether there is an image of that name, made of these files on this base. Raises `Unavailable`."""
        labels = self._labels(image.name)
        return labels.get(DIGEST_LABEL) == image.digest and labels.get(_BASE_LABEL, "") == self.base

    def command(self, image: Buildable) -> list[str]:
        """The command that builds it. buildah's `build` is podman's and takes the same flags."""
        labels = {DIGEST_LABEL: image.digest, _BASE_LABEL: self.base}
        flags = [flag for name, value in labels.items() for flag in ("--label", f"{name}={value}")]
        flags += ["--build-arg", f"BASE={self.base}"] if self.base else []
        return [self.program, "build", *flags, "--tag", image.name, str(image.folder)]

    def build(self, image: Buildable, show: Callable[[str], None] = lambda line: None) -> None:
        """Build and tag it; `show` gets each line that is printed.

        Raises `WorkFailed` with the last of them, `Unavailable`, or `Invalid` for an image that would have a home in it.
        """
        _refuse_home(image.folder)
        command = self.command(image)
        lines: list[str] = []
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with process:
            assert process.stdout
            for line in process.stdout:
                lines.append(line.rstrip())
                show(lines[-1])
        if process.returncode == 0:
            return
        said = "\n".join(lines[-_SHOWN_LINES:])
        error = complaint(self.program, said)
        if error.is_known:
            raise error
        last = next((line for line in reversed(lines) if line), "no reason given")
        raise WorkFailed(
            f"image {image.name} cannot be built: {last}", hint=f"mend {image.folder / 'Dockerfile'}; build images --show prints all lines"
        )

    def _labels(self, name: str) -> Mapping[str, str]:
        is_buildah = self.program == "buildah"  # its templates have no `json`, so it is asked for all it knows
        question = ["inspect", "--type", "image"] if is_buildah else ["image", "inspect", "--format", "{{json .Config.Labels}}"]
        done = subprocess.run([self.program, *question, name], capture_output=True, text=True, check=False)
        if done.returncode:
            if says_it_has_no_such_image(done.stderr):
                return {}
            raise complaint(self.program, done.stderr)
        answer = json.loads(done.stdout.strip() or "null")
        labels: Mapping[str, str] = (answer["OCIv1"]["config"].get("Labels") if is_buildah else answer) or {}
        return labels


def find_builder(program: str = "", base: str = "") -> Builder:
    """The builder called `program`, that of LOCAL_RUNNER_CONTAINER_ENGINE, or the first that is here. Raises `Unavailable`."""
    program = program or os.environ.get(ENGINE_VARIABLE, "")
    for name in (program,) if program else BUILDERS:
        if shutil.which(name):
            return Builder(name, base or os.environ.get(BASE_VARIABLE, ""))
    raise Unavailable(
        f"there is no {program or ', '.join(BUILDERS)} here to build images with",
        hint="install podman or docker; the sandbox runs the same code without any image",
    )


def _last_part(name: str) -> str:
    return name.rpartition("/")[2]


def _refuse_home(folder: Path) -> None:
    """Refuse a folder that holds a home: user code must not see it in an image. Raises `Invalid`."""
    ignored = [name for name in (".dockerignore", ".containerignore") if (folder / name).is_file()]
    if not (folder / HOME).is_dir() or any(HOME in (folder / name).read_text(errors="replace") for name in ignored):
        return
    if any((folder / HOME).is_relative_to(source) for source in read_image(folder).code.values()):
        raise Invalid(f"an image of all of {folder} would have the home in it", hint=f"write {HOME} into {folder / '.dockerignore'}")
