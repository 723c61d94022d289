"""Builds images under the names that the cluster will use, and pushes them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from local_runner.deploy.plan import DeployedImage
from local_runner.errors import Refused
from local_runner.executors.container_engines import complaint
from local_runner.images.build import Buildable, Builder


def push(images: Sequence[DeployedImage], builder: Builder, say: Callable[[str], None]) -> None:
    """Build what is not up to date, and push all.

    Raises `Unavailable` if the tool does not work, `WorkFailed` for an image that cannot be built, and `Refused` with the tool's last
    words for one that cannot be pushed.
    """
    for image in images:
        if not builder.is_up_to_date(wanted := Buildable(image.pushed, image.folder, image.digest)):
            say(f"image {image.name}: building {image.pushed}")
            builder.build(wanted)
        say(f"image {image.name}: pushing {image.pushed}")
        done = subprocess.run([builder.program, "push", image.pushed], capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0:
            registry = image.pushed.partition("/")[0]
            why = complaint(builder.program, done.stderr or done.stdout)
            hint = why.hint if why.is_known else f"log in: {builder.program} login {registry}"
            raise Refused(f"{registry} did not take {image.pushed}: {why.message}", hint=hint)
