"""Datums on a Dask cluster of this machine, beside what Dask itself takes there: so what is measured is what we add.

python benchmarks/dask.py [noop | busy | move | paper …]
"""

# ruff: noqa: E402  # what is imported depends on the path, which is mended first
from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from measure import MEBI, machine, median, table, verdict

# This file is called as the package that is measured is: its folder must not be looked into for that.
sys.path = [str(Path(__file__).parents[1]), *(path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent)]

from local_runner.engine.config import EngineConfig
from local_runner.engine.stored_contents import StoredContents
from local_runner.engine_host import engine_of
from local_runner.executors.dask.executor import DaskExecutor
from local_runner.model.refs import CommitQuery, RepoRef
from local_runner.runner import Runner
from tests.support.dask_cluster import DaskCluster, dask_cluster

DATUMS, ROUNDS = 200, 3
BUSY_WORKERS, SLEEP, SLEEPERS = 16, 0.1, 640
MEBIBYTES = int(os.environ.get("MEBIBYTES", "1024"))


def job(folder: Path, executor: DaskExecutor, files: Mapping[str, Any], command: str, workers: int, again: bool = False) -> float:
    """Seconds from creating a pipeline to the end of its job, with a datum for each file; `again` is of a second pipeline."""
    with Runner.open(folder, background=False) as runner:
        repo = RepoRef("default", "in")
        if not again:
            runner.create_repo(repo)
            with runner.modify_file(CommitQuery(repo, "master")) as changes:
                for path, content in files.items():
                    changes.put(path, content)
        spec = {
            "pipeline": {"name": "again" if again else "first"},
            "transform": {"cmd": ["sh", "-c", command]} if " " in command else {"cmd": [command]},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "parallelism_spec": {"constant": workers},
        }
        with engine_of(runner, EngineConfig(executor, workers)) as engine:
            began = time.perf_counter()
            runner.create_pipeline(spec, project="default")
            engine.work()
            took = time.perf_counter() - began
        counters = next(iter(runner.list_job())).counters
        assert counters.processed == len(files), counters
    return took


def noop(root: Path) -> None:
    """Datums that do nothing on one worker, one after the other, beside `client.submit` of the same command as a subprocess."""
    files = {f"/{number:05}": b"%d\n" % number for number in range(DATUMS)}
    ours, theirs, cpu = [], [], []
    with dask_cluster(root, 1, threads=1) as cluster:
        executor = DaskExecutor(cluster.settings(lease=30.0))
        client = executor.cluster._client
        for number in range(ROUNDS):
            spent = time.process_time()
            ours.append(job(root / f"home{number}", executor, files, "true", 1) / DATUMS)
            cpu.append((time.process_time() - spent) / DATUMS)
            began = time.perf_counter()
            for _ in range(DATUMS):
                client.submit(subprocess.run, ["true"], pure=False).result()
            theirs.append((time.perf_counter() - began) / DATUMS)
        executor.close()
    ratio = median(ours) / median(theirs)
    rows = [
        ("a datum that does nothing", f"{median(ours) * 1000:.2f}", f"{ratio:.2f}", verdict(ratio, 1.5)),
        ("client.submit of `true`", f"{median(theirs) * 1000:.2f}", "1", ""),
        ("… of the engine's processor", f"{median(cpu) * 1000:.2f}", "", verdict(median(cpu) * 1000, 1.0)),
    ]
    print(table(("one after the other", "ms", "ratio", "wanted"), rows))


def busy(root: Path) -> None:
    """Datums that sleep, on many workers: which part of their time workers do just that."""
    files = {f"/{number:05}": b"" for number in range(SLEEPERS)}
    with dask_cluster(root, 2, threads=BUSY_WORKERS // 2) as cluster:
        executor = DaskExecutor(cluster.settings(lease=30.0))
        took = job(root / "home", executor, files, f"sleep {SLEEP}", BUSY_WORKERS)
        executor.close()
    share = SLEEPERS * SLEEP / BUSY_WORKERS / took
    print(
        table(
            (f"{SLEEPERS} datums of {SLEEP:g} s on {BUSY_WORKERS} workers", "s", "busy", "wanted"),
            [("", f"{took:.2f}", f"{share:.0%}", ">= 90%")],
        )
    )


def move(root: Path) -> None:
    """A large input to two machines, and a large output of both, beside Dask's own scatter to both."""
    content = root / "large"
    with content.open("wb") as file:
        for _ in range(MEBIBYTES):
            file.write(os.urandom(MEBI))
    whole = StoredContents.file
    StoredContents.file = lambda self, name: None  # type: ignore[method-assign]  # as on machines that share no files
    try:
        with dask_cluster(root, 0, threads=1) as cluster:
            for name in ("w0", "w1"):
                cluster.start_worker(name, env={"XDG_CACHE_HOME": str(root / name)})
            executor = DaskExecutor(cluster.settings(lease=60.0, cache=""))
            while len(executor.cluster.workers()) < 2:
                time.sleep(0.1)
            before = rss()
            first = moved_job(root / "home", executor, content, again=False)
            moved, second = executor.sender.moved, moved_job(root / "home", executor, content, again=True)
            memory = [rss() - before, *(peak(cluster, name) for name in ("w0", "w1", "scheduler"))]
            nothing = executor.sender.moved == moved
            began = time.perf_counter()
            data = content.read_bytes()
            executor.cluster._client.scatter(data, broadcast=True, direct=True)
            scatter = time.perf_counter() - began
            executor.close()
    finally:
        StoredContents.file = whole  # type: ignore[method-assign]
    rows = [
        ("to two workers, and laid out", f"{first:.2f}", f"{first / scatter:.2f}", verdict(first / scatter, 1.3)),
        ("the second time", f"{second:.2f}", f"{second / scatter:.2f}", "nothing moved" if nothing else "MOVED AGAIN"),
        ("Dask's scatter of the same, read into memory", f"{scatter:.2f}", "1", ""),
    ]
    print(table((f"{MEBIBYTES} MiB", "s", "ratio", "wanted"), rows))
    names = ("engine, more than before", "worker 0", "worker 1", "scheduler")
    print(table(("memory at most", "MiB"), [(name, f"{value / MEBI:.0f}") for name, value in zip(names, memory, strict=True)]))


def moved_job(folder: Path, executor: DaskExecutor, content: Path, again: bool) -> float:
    """Seconds of a job of two datums on two workers that both have the large file as an input."""
    with Runner.open(folder, background=False) as runner:
        if not again:
            for name, files in (("large", {"/large": content}), ("two", {"/a": b"", "/b": b""})):
                runner.create_repo(RepoRef("default", name))
                with runner.modify_file(CommitQuery(RepoRef("default", name), "master")) as changes:
                    for path, given in files.items():
                        changes.put(path, given)
        cross = [{"pfs": {"repo": "large", "glob": "/"}}, {"pfs": {"repo": "two", "glob": "/*"}}]
        # A datum waits for the other, so that each worker gets one.
        spec = {
            "pipeline": {"name": "again" if again else "first"},
            "transform": {"cmd": ["sh", "-c", "test -e /pfs/large/large && sleep 1"]},
            "input": {"cross": cross},
            "parallelism_spec": {"constant": 2},
        }
        with engine_of(runner, EngineConfig(executor, 2)) as engine:
            began = time.perf_counter()
            runner.create_pipeline(spec, project="default")
            engine.work()
            took = time.perf_counter() - began - 1
        assert next(iter(runner.list_job())).counters.processed == 2
    return took


def rss() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak(cluster: DaskCluster, name: str) -> int:
    """The most memory that a process of the cluster has had, in bytes."""
    status = Path(f"/proc/{cluster.processes[name].pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


CASES: Mapping[str, Callable[[Path], None]] = {"noop": noop, "busy": busy, "move": move}


def main(names: list[str]) -> None:
    print(machine())
    for name in names or CASES:
        with tempfile.TemporaryDirectory(prefix="dask-benchmark-") as folder:
            print(f"\n## {name}\n")
            CASES[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
