"""What a change costs in a large repo: commits of one file each over 100 000 files, and a job of 100 000 datums of which one changed.

python benchmarks/store_shape.py [FILES [COMMITS]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import machine, median, table, verdict

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.executors.scripted import ScriptedExecutor
from local_runner.model.refs import CommitQuery, RepoRef
from local_runner.runner import Runner

FILES, COMMITS, FOLDERS = 100_000, 1_000, 1_000
EDGE = 50  # as many first and last commits are compared
DATA = RepoRef("default", "data")
HEAD = CommitQuery(DATA, "master")

PathOf = Callable[[int], str]


def flat(number: int) -> str:
    return f"/{number:06}"


def nested(number: int) -> str:
    return f"/{number % FOLDERS:03}/{number // FOLDERS:03}"


def fill(runner: Runner, files: int, path_of: PathOf) -> float:
    began = time.perf_counter()
    runner.create_repo(DATA)
    with runner.modify_file(HEAD) as changes:
        for number in range(files):
            changes.put(path_of(number), b"first %d\n" % number)
    return time.perf_counter() - began


def stored(runner: Runner) -> int:
    """Bytes of the records and of large contents, the write-ahead log folded in."""
    with runner.database.write() as session:
        connection = session.connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = connection.execute("PRAGMA page_count").fetchone()[0] - connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])


def commits(name: str, path_of: PathOf, files: int, count: int) -> tuple[object, ...]:
    with tempfile.TemporaryDirectory(prefix="store-") as folder, Runner.open(Path(folder) / "home", background=False) as runner:
        filled = fill(runner, files, path_of)
        before = stored(runner)
        seconds = []
        for number in range(count):
            path = path_of(number * 7919 % files)  # all over the repo
            began = time.perf_counter()
            with runner.modify_file(HEAD) as changes:
                changes.put(path, b"again %d\n" % number)
            seconds.append(time.perf_counter() - began)
        grown = (stored(runner) - before) / count / 1000
        middle = median(seconds) * 1000
        edges = median(seconds[-EDGE:]) / median(seconds[:EDGE])
        return name, filled, before / 1e6, middle, f"{verdict(middle, 20)}", grown, verdict(grown, 20), edges


def second_job(files: int) -> list[tuple[object, ...]]:
    """A pipeline with a datum a file, then one file changed."""
    with tempfile.TemporaryDirectory(prefix="job-") as folder, Runner.open(Path(folder) / "home", background=False) as runner:
        fill(runner, files, flat)
        spec = {
            "pipeline": {"name": "each"},
            "transform": {"cmd": ["true"]},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "parallelism_spec": {"constant": 2},
            "datum_set_spec": {"number": 1000},
        }
        rows: list[tuple[object, ...]] = []
        with engine_of(runner, EngineConfig(ScriptedExecutor(lambda datum: 0), 2)) as engine:
            began = time.perf_counter()
            runner.create_pipeline(spec, project="default")
            engine.work()
            first = time.perf_counter() - began
            rows.append((f"job over {files} new datums", first, "", stored(runner) / 1e6))
            before = stored(runner)
            began = time.perf_counter()
            with runner.modify_file(HEAD) as changes:
                changes.put(flat(files // 2), b"changed\n")
            engine.work()
            second = time.perf_counter() - began
            counters = next(iter(runner.list_job())).counters
            assert (counters.processed, counters.skipped) == (1, files - 1), counters
            rows.append((f"one file changed, {files - 1} datums reused", second, verdict(second, 2.0), (stored(runner) - before) / 1e6))
        return rows


def main(files: int, count: int) -> None:
    print(machine())
    head = ("layout", "filled, s", "store, MB", "median commit, ms", "", "grows by, kB", "", f"last {EDGE} / first {EDGE}")
    shapes = (("one folder", flat), (f"{FOLDERS} folders", nested))
    print(table(head, [commits(name, path_of, files, count) for name, path_of in shapes]), flush=True)
    print()
    print(table(("pipeline", "s", "", "store grows by, MB"), second_job(files)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:])) if len(sys.argv) == 3 else main(int(sys.argv[1]) if len(sys.argv) > 1 else FILES, COMMITS)
