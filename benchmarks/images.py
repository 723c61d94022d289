"""An image from a registry on this machine: pull, unpack and start, against podman; and a datum in it, against the host's files.

    python benchmarks/images.py [--rounds N] [--folder FOLDER]

The image is made of a folder of this host (the standard library of this Python unless another is named), twice, and pushed by podman to
Debian's docker-registry. Cold is with nothing of it here. Prints the machine, a table of medians, and whether the bars were reached.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import machine, median, run, table, verdict

from local_runner.executors.base import RunRequest, WorkerRequest
from local_runner.executors.sandbox import SandboxExecutor

_PROGRAMS = ("sh", "true")
_DATUMS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(os.__file__).parent)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, registry(Path(folder)) as host:
        name = f"{host}/bench/image:1"
        push(name, options.folder)
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        pulls = measure_pulls(name, Path(folder), options.rounds)
        starts = measure_starts(name, Path(folder), options.rounds)
        subprocess.run(["podman", "rmi", "-f", name], capture_output=True, check=False)
    print(
        table(
            ("", "here, s", "podman, s", "ratio", "bar"),
            [(what, mine, its, mine / its, verdict(mine / its, 1.0) if "cold" in what else "") for what, mine, its in pulls],
        )
    )
    print(table(("", "image", "host's files", "ratio", "bar"), starts))


def measure_pulls(name: str, folder: Path, rounds: int) -> list[tuple[str, float, float]]:
    """Seconds of whole commands: pull with nothing here, pull with all here, and pull and run one command from nothing."""
    mine = [sys.executable, "-m", "local_runner", "image"]
    its = ["podman", "pull", "-q", "--tls-verify=false", name]
    found: dict[str, tuple[list[float], list[float]]] = {what: ([], []) for what in ("pull, cold", "pull, warm", "pull and start, cold")}

    def cold() -> None:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        subprocess.run(["podman", "rmi", "-f", name], capture_output=True, check=False)

    for _ in range(rounds):
        cold()
        for what in ("pull, cold", "pull, warm"):
            found[what][0].append(run([*mine, "pull", name], folder).wall)
            found[what][1].append(run(its, folder).wall)
        cold()
        began = time.perf_counter()
        run([*mine, "pull", name], folder)
        in_worker(name, lambda one: one())
        found["pull and start, cold"][0].append(time.perf_counter() - began)
        began = time.perf_counter()
        run(its, folder)
        run(["podman", "run", "--rm", "--network", "none", name, "true"], folder)
        found["pull and start, cold"][1].append(time.perf_counter() - began)
    return [(what, median(ours), median(theirs)) for what, (ours, theirs) in found.items()]


def measure_starts(name: str, folder: Path, rounds: int) -> list[tuple[object, ...]]:
    """Milliseconds of a worker's start and of a datum beyond the first, with the image and with the host's files."""
    starts: dict[str, list[float]] = {name: [], "": []}
    datums: dict[str, list[float]] = {name: [], "": []}
    for _ in range(rounds * 2):
        for root in (name, ""):

            def many(one: Callable[[], None], root: str = root) -> None:
                one()
                began = time.perf_counter()
                for _ in range(_DATUMS):
                    one()
                datums[root].append((time.perf_counter() - began) / _DATUMS * 1000)

            starts[root].append(in_worker(root, many) * 1000)
    start = [median(starts[root]) for root in (name, "")]
    datum = [min(datums[root]) for root in (name, "")]  # of 200 each: what else the machine does only adds
    return [
        ("start of a worker, ms", *start, start[0] / start[1], verdict(start[0] - start[1], 50.0)),
        ("datum, ms", *datum, datum[0] / datum[1], verdict(datum[0] / datum[1], 1.1)),
    ]


def in_worker(root: str, use: Callable[[Callable[[], None]], None]) -> float:
    """Seconds until a worker was there; `use` gets what runs `true` in it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        pfs = Path(folder, "pfs")
        pfs.mkdir()
        began = time.perf_counter()
        with SandboxExecutor().worker(
            WorkerRequest("bench", pfs, Path(folder, "folder"), {"PATH": "/usr/bin:/bin"}, rootfs=root)
        ) as worker:
            took = time.perf_counter() - began

            def one() -> None:
                assert worker.run(RunRequest(("true",), {}, None, lambda *_: None)).accepted()

            use(one)
    return took


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings = f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{host}'}}\n"
    (folder / "config.yml").write_text(settings)
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield host
    finally:
        process.kill()
        process.wait()


def push(name: str, source: Path) -> None:
    """Make the image in podman, and give it to the registry."""
    paths = {f"bin/{program}": shutil.which(program) or program for program in _PROGRAMS}
    linked = subprocess.run(["ldd", *paths.values()], capture_output=True, text=True, check=True).stdout.split()
    paths |= {word.lstrip("/"): word for word in linked if word.startswith("/") and not word.endswith(":")}
    base = io.BytesIO()
    with tarfile.open(fileobj=base, mode="w") as tar:
        for inside, outside in paths.items():
            tar.add(Path(outside).resolve(), inside)
    subprocess.run(["podman", "import", "-", name], input=base.getvalue(), capture_output=True, check=True)
    with tempfile.TemporaryDirectory() as context:
        shutil.copytree(source, f"{context}/files", symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "site-packages"))
        Path(context, "Dockerfile").write_text(f"FROM {name}\nCOPY files /opt/a\nCOPY files /opt/b\n")
        subprocess.run(["podman", "build", "--layers", "-q", "-t", name, context], capture_output=True, check=True)
    subprocess.run(["podman", "push", "-q", "--tls-verify=false", name], capture_output=True, check=True)


if __name__ == "__main__":
    main()
