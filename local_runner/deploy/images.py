"""Building and pushing images with whatever image tool this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from local_runner.deploy.plan import Image
from local_runner.errors import Refused, Unavailable
from local_runner.executors.engines import BUILDERS, ENGINE_VARIABLE


def find_tool() -> str:
    """The image tool LOCAL_RUNNER_CONTAINER_ENGINE names, or the first that is here and answers. Raises `Unavailable`."""
    wanted = os.environ.get(ENGINE_VARIABLE)
    reasons = []
    for tool in [wanted] if wanted else BUILDERS:
        if shutil.which(tool) is None:
            continue
        done = _run([tool, "version"])
        if done.returncode == 0:
            return tool
        reasons.append(f"{tool} does not answer: {_last_line(done)}")
    if reasons:
        raise Unavailable("; ".join(reasons), hint="start its service and try again, or leave --registry out if the images are pushed")
    hint = "install podman or docker, or leave --registry out if the images are pushed"
    raise Unavailable(f"there is no {wanted or ', '.join(BUILDERS)} here to push images with", hint=hint)


def push(images: Sequence[Image], tool: str, say: Callable[[str], None]) -> None:
    """Build and push images. Raises `Refused` with the tool's last line and what to do."""
    for image in images:
        say(f"image {image.name}: building {image.pushed}")
        _step([tool, "build", "-t", image.pushed, str(image.folder)], f"{image.folder} cannot be built", "mend its Dockerfile")
        say(f"image {image.name}: pushing {image.pushed}")
        registry = image.pushed.partition("/")[0]
        _step([tool, "push", image.pushed], f"{registry} did not take {image.pushed}", f"log in: {tool} login {registry}")


def _step(command: Sequence[str], what: str, next_step: str) -> None:
    done = _run(command)
    if done.returncode != 0:
        raise Refused(f"{what}: {_last_line(done)}", hint=f"{next_step}; the whole text: {' '.join(command)}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return said[-1] if said else f"exit status {done.returncode}"
