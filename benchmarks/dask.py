"""Datums on a Dask cluster of this machine, beside what Dask itself takes there: so what is measured is what we add.

python benchmarks/dask.py [noop | batched | busy | move | paper …]
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

DATUMS, ROUNDS = 100, 2
BUSY_WORKERS, SLEEP, SLEEPERS = 16, 0.1, 640
MEBIBYTES = 1024


def job(folder: Path, executor: DaskExecutor, files: Mapping[str, Any], command: tuple[str, ...], workers: int) -> float:
    """Seconds from creating a pipeline to the end of its job, with a datum for each file; a program given by -c batches."""
    with Runner.open(folder, background=False) as runner:
        repo = RepoRef("default", "in")
        runner.create_repo(repo)
        with runner.modify_file(CommitQuery(repo, "master")) as changes:
            for path, content in files.items():
                changes.put(path, content)
        spec = {
            "pipeline": {"name": "noop"},
            "transform": {"cmd": list(command), "datum_batching": "-c" in command},
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
        for number in range(ROUNDS):
            spent = time.process_time()
            ours.append(job(root / f"home{number}", executor, files, ("true",), 1) / DATUMS)
            cpu.append((time.process_time() - spent) / DATUMS)
            theirs.append(submits(executor))
        executor.close()
    ratio = median(ours) / median(theirs)
    rows = [
        ("a datum that does nothing", f"{median(ours) * 1000:.2f}", f"{ratio:.2f}", verdict(ratio, 1.5)),
        ("client.submit of `true`", f"{median(theirs) * 1000:.2f}", "1", ""),
        ("… of the engine's processor", f"{median(cpu) * 1000:.2f}", "", verdict(median(cpu) * 1000, 1.0)),
    ]
    print(table(("one after the other", "ms", "ratio", "wanted"), rows))


def batched(root: Path) -> None:
    """Datums of one process that asks for one after the other, beside `client.submit` of `true` as a subprocess for each."""
    asking = (Path(__file__).parent / "asking.py").read_text()
    files = {f"/{number:05}": b"%d\n" % number for number in range(DATUMS)}
    with dask_cluster(root, 1, threads=1) as cluster:
        executor = DaskExecutor(cluster.settings(lease=30.0))
        spent = time.process_time()
        ours = job(root / "home", executor, files, (sys.executable, "-c", asking), 1) / DATUMS
        cpu = (time.process_time() - spent) / DATUMS
        theirs = submits(executor)
        executor.close()
    rows = [
        ("a datum of a batching process", f"{ours * 1000:.2f}", f"{ours / theirs:.2f}", verdict(ours / theirs, 1.0)),
        ("client.submit of `true`", f"{theirs * 1000:.2f}", "1", ""),
        ("… of the engine's processor", f"{cpu * 1000:.2f}", "", verdict(cpu * 1000, 1.0)),
    ]
    print(table(("one after the other", "ms", "ratio", "wanted"), rows))


def submits(executor: DaskExecutor) -> float:
    """Seconds that Dask takes for a command as a subprocess, one after the other."""
    client = executor.cluster._client
    began = time.perf_counter()
    for _ in range(DATUMS):
        client.submit(subprocess.run, ["true"], pure=False).result()
    return (time.perf_counter() - began) / DATUMS


def busy(root: Path) -> None:
    """Datums that sleep, on many workers: which part of their time workers do just that."""
    files = {f"/{number:05}": b"" for number in range(SLEEPERS)}
    with dask_cluster(root, 2, threads=BUSY_WORKERS // 2) as cluster:
        executor = DaskExecutor(cluster.settings(lease=30.0))
        took = job(root / "home", executor, files, ("sleep", str(SLEEP)), BUSY_WORKERS)
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
            nothing = executor.sender.moved == moved
            back = moved_job(
                root / "home", executor, content, again=True, name="back", script="cp /pfs/large/large /pfs/out/$PACH_DATUM_ID"
            )
            memory = [rss() - before, *(peak(cluster, name) for name in ("w0", "w1", "scheduler"))]
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
        ("… and copied to the output of both, and back", f"{back:.2f}", f"{back / scatter:.2f}", ""),
        ("Dask's scatter of the same, read into memory", f"{scatter:.2f}", "1", ""),
    ]
    print(table((f"{MEBIBYTES} MiB", "s", "ratio", "wanted"), rows))
    names = ("engine, more than before", "worker 0", "worker 1", "scheduler")
    print(table(("memory at most", "MiB"), [(name, f"{value / MEBI:.0f}") for name, value in zip(names, memory, strict=True)]))


def moved_job(folder: Path, executor: DaskExecutor, content: Path, again: bool, name: str = "", script: str = "true") -> float:
    """Seconds of a job of two datums on two workers that both have the large file as an input."""
    with Runner.open(folder, background=False) as runner:
        if not again:
            for repo, files in (("large", {"/large": content}), ("two", {"/a": b"", "/b": b""})):
                runner.create_repo(RepoRef("default", repo))
                with runner.modify_file(CommitQuery(RepoRef("default", repo), "master")) as changes:
                    for path, given in files.items():
                        changes.put(path, given)
        cross = [{"pfs": {"repo": "large", "glob": "/"}}, {"pfs": {"repo": "two", "glob": "/*"}}]
        # A datum waits for the other, so that each worker gets one.
        spec = {
            "pipeline": {"name": name or ("again" if again else "first")},
            "transform": {"cmd": ["sh", "-c", f"{script} && sleep 1"]},
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


# Measured here: seconds of the engine and of the scheduler for a datum, and bytes a second that one engine sends and takes in.
ENGINE, SCHEDULER, LINE = 0.003, 0.001, 300e6
DATUM, INPUT = 1.0, 10e6  # seconds and bytes of a datum


def paper(root: Path) -> None:
    """What these costs make of a million datums of a second and 10 MB on many workers, if each input travels once, or is shared."""
    rows = []
    for workers in (10, 30, 100, 300, 1000):
        limits = {"workers": workers / DATUM, "engine": 1 / ENGINE, "scheduler": 1 / SCHEDULER}
        moved = limits | {"the engine's line": LINE / INPUT}
        rows.append(
            (workers, *(f"{min(by.values()) / workers * DATUM:.0%} ({min(by, key=lambda one: by[one])})" for by in (moved, limits)))
        )
    print(table(("workers", "busy, inputs from the engine", "busy, inputs shared or kept there"), rows))


def tightest(limits: Mapping[str, float]) -> str:
    """What allows the fewest datums a second."""
    return min(limits, key=lambda one: limits[one])


CASES: Mapping[str, Callable[[Path], None]] = {"noop": noop, "batched": batched, "busy": busy, "move": move, "paper": paper}


def main(names: list[str]) -> None:
    print(machine())
    for name in names or CASES:
        with tempfile.TemporaryDirectory(prefix="dask-benchmark-") as folder:
            print(f"\n## {name}\n")
            CASES[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
