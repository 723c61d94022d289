"""Runs commands in workers of an executor, for tests that do so as another user: each command in a worker of its own.

Its arguments are the executor, a folder to work in, and a worker's request as JSON. Commands come as lines of JSON, and so do answers.
Needs the standard library and the package only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from local_runner.executors import image_root
from local_runner.executors.base import Pachctl, RunRequest, WorkerRequest
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import load

_DATUM = ".scratch/set/one/pfs/one"
_TREE = Tree(_DATUM, {"out": f"{_DATUM}/out"}, [("out", 0o777)], [])


def main(kind: str, place: str, asked: str) -> None:
    executor = SandboxExecutor() if kind == "sandbox" else ContainerExecutor(kind)
    request = json.loads(asked)
    if not request["stacks"]:
        image_root.can_stack = lambda *_: False
    if request["archive"]:
        load(ImageCache(), Path(request["archive"]))
    for number, line in enumerate(sys.stdin):
        folder = Path(place, str(number))
        (folder / "pfs").mkdir(parents=True)
        worker = WorkerRequest(
            "w",
            folder / "pfs",
            folder / "folder",
            env=request["env"],
            image=request["image"],
            rootfs=request["rootfs"],
            code={inside: Path(path) for inside, path in request["code"].items()},
            mounts={inside: Path(path) for inside, path in request["mounts"].items()},
            hidden=tuple(map(Path, request["hidden"])),
            pachctl=Pachctl(("true",), ("true",), {}),
        )
        said: list[str] = []

        def hear(stream: str, block: bytes, said: list[str] = said) -> None:
            said += block.decode(errors="replace").split("\n")

        with executor.worker(worker) as started:
            started.run(RunRequest(tuple(json.loads(line)), {}, _TREE, hear, timeout=30))
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
