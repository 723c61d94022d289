"""Datums that do nothing, against `make -j2` and `xargs -P2` running `true`: what a datum costs that is not user code.

python benchmarks/noop_datums.py [MANY]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import machine, median, run, table, verdict

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.executors.table import choose
from local_runner.model.refs import CommitQuery, RepoRef
from local_runner.runner import Runner

FEW, MANY, ROUNDS, WORKERS = 100, 500, 3, 2
MAKE, XARGS, PROCESS, SANDBOX, BATCHED = "make -j2", "xargs -P2", "process executor", "sandbox", "sandbox, batched"
WRITING = "batched, writing a file"

ASKING = Path(__file__).with_name("asking.py")


def job(folder: Path, executor: str, files: int, asking: tuple[str, ...] | None = None) -> float:
    """Seconds from creating the pipeline to the end of its job, in this process; the files are there before.

    It batches if there are arguments for the asking program, if only none.
    """
    with Runner.open(folder, background=False) as runner:
        repo = RepoRef("default", "in")
        runner.create_repo(repo)
        with runner.modify_file(CommitQuery(repo, "master")) as changes:
            for number in range(files):
                changes.put(f"/{number:06}", b"%d\n" % number)
        command = ["true"] if asking is None else [sys.executable, "-c", ASKING.read_text(), *asking]
        spec = {
            "pipeline": {"name": "noop"},
            "transform": {"cmd": command, "datum_batching": asking is not None},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "parallelism_spec": {"constant": WORKERS},
            "datum_set_spec": {"number": files // WORKERS},
        }
        with engine_of(runner, EngineConfig(choose(executor)[0], WORKERS)) as engine:
            began = time.perf_counter()
            runner.create_pipeline(spec, project="default")
            engine.work()
            took = time.perf_counter() - began
        counters = next(iter(runner.list_job())).counters
        assert counters.processed == files, counters
    return took


def make(folder: Path, files: int) -> float:
    names = " ".join(f"d{number}" for number in range(files))
    (folder / "Makefile").write_text(f"all: {names}\n.PHONY: all {names}\n{names}:\n\t@true\n")
    return run(["make", "-s", f"-j{WORKERS}"], folder).wall


def xargs(folder: Path, files: int) -> float:
    (folder / "list").write_text("".join(f"{number}\n" for number in range(files)))
    return run(["xargs", "-a", "list", f"-P{WORKERS}", "-n1", "true"], folder).wall


def main(many: int) -> None:
    print(machine())
    ways: dict[str, Callable[[Path, int], float]] = {
        MAKE: make,
        XARGS: xargs,
        PROCESS: lambda folder, files: job(folder / "home", "process", files),
        SANDBOX: lambda folder, files: job(folder / "home", "sandbox", files),
        BATCHED: lambda folder, files: job(folder / "home", "sandbox", files, ()),
        WRITING: lambda folder, files: job(folder / "home", "sandbox", files, ("write",)),
    }
    whole: dict[str, list[float]] = {name: [] for name in ways}
    each: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            took = []
            for files in (FEW, FEW + many):
                with tempfile.TemporaryDirectory(prefix="noop-") as folder:
                    took.append(way(Path(folder), files))
            whole[name].append(took[1])
            each[name].append((took[1] - took[0]) / many * 1000)
    rows = []
    for name in ways:
        bar = {PROCESS: 2, SANDBOX: 4}.get(name)
        marginal, ratio = median(each[name]), median(each[name]) / median(each[MAKE])
        kept = verdict(ratio, bar) if bar else verdict(marginal, 0.5) if name == BATCHED else ""
        rows.append((name, median(whole[name]), marginal, ratio, median(whole[name]) / median(whole[MAKE]), kept))
    head = ("way", f"{FEW + many} datums, s", "one more datum, ms", "one more / make's", "whole / make's", "bar, on one more")
    print(table(head, rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)
