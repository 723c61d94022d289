"""What a datum that does nothing costs in a container: by a launcher in a started one, by the engine's `exec`, by its `run`.

    python benchmarks/containers.py [--image IMAGE] [--rounds N]

All of it in one run, on whichever of podman and docker work here. Prints a table: milliseconds, the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from local_runner.executors.base import RunRequest, WorkerRequest
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.container_engines import ENGINES, ContainerEngine
from local_runner.executors.launcher.tree import Tree

_DATUM = ".scratch/set/{0}/pfs/{0}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="local_runner/split:1.0")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    for program in ENGINES:
        engine = ContainerEngine(program)
        if why_not := engine.why_not():
            print(f"{program}: not measured: {why_not}")
            continue
        for name, milliseconds in measure(engine, options.image, options.rounds).items():
            print(f"{program:8} {name:44} {milliseconds:8.2f} ms")


def measure(engine: ContainerEngine, image: str, rounds: int) -> dict[str, float]:
    found = {"run: a container for each datum": median(lambda: engine.ask("run", "--rm", "--network", "none", image, "true"), rounds)}
    container = engine.ask("run", "--rm", "--detach", "--network", "none", image, "sleep", "600")
    try:
        found["exec: in a container that runs"] = median(lambda: engine.ask("exec", container, "true"), rounds)
    finally:
        subprocess.run(engine.removal(container), check=True, capture_output=True)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        pfs = Path(folder, "pfs")
        pfs.mkdir()
        executor = ContainerExecutor(engine.program)
        executor.engine  # noqa: B018  # finding it is paid once, not by a worker
        began = time.perf_counter()
        with executor.worker(WorkerRequest("bench", pfs, Path(folder, "folder"), {}, image)) as worker:
            found["launcher: the start of a worker"] = (time.perf_counter() - began) * 1000
            numbers = iter(range(10**9))

            def run() -> None:
                top = _DATUM.format(next(numbers))
                tree = Tree(top, {"in": f"{top}/in", "out": f"{top}/out"}, [("out", 0o777), ("in", 0o700)], [("in/file", b"x")])
                assert worker.run(RunRequest(("true",), {}, tree, lambda *_: None)).accepted()

            run()
            found["launcher: each datum beyond the first"] = median(run, rounds * 10)
    return found


def median(action: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
