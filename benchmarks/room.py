"""What a home holds against what is alive in it, how long others wait while the rest goes, and what printing costs.

python benchmarks/room.py [RUNS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from measure import machine, table, verdict

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.process import ProcessExecutor
from local_runner.model.refs import parse_commit, parse_repo
from local_runner.runner import Runner

HELD_BAR, WAIT_BAR = 1.1, 1.0  # held bytes for each that is alive; seconds that anybody waits
KINDS = {"10 files of 1 MB": (10, 1_000_000), "500 files of 20 kB": (500, 20_000)}
PRINTED = {
    "100 MB of `y`": "yes | head -c 100000000",
    "10 MB of `y`": "yes | head -c 10000000",
    "200 MB of zeros": "head -c 200000000 /dev/zero",
    "200,000 lines of a shell, one by one": "i=0; while [ $i -lt 200000 ]; do echo line $i; i=$((i+1)); done",
    "100,000 lines to both streams in turn": "i=0; while [ $i -lt 50000 ]; do echo out; echo err >&2; i=$((i+1)); done",
}


def size(home: Path) -> int:
    """Bytes on the disk."""
    return sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())


def replace(runner: Runner, files: int, each: int) -> None:
    with runner.modify_file(parse_commit("data@master")) as change:
        for number in range(files):
            change.put(f"/{number}", os.urandom(each))


class Waiter(threading.Thread):
    """Puts a small file again and again, and remembers the longest that took."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.longest, self.done, self._home = 0.0, threading.Event(), home

    def run(self) -> None:
        with Runner.open(self._home, background=False) as runner:
            runner.create_repo(parse_repo("other"), update=True)
            while not self.done.is_set():
                began = time.monotonic()
                with runner.modify_file(parse_commit("other@master")) as change:
                    change.put("/a", b"x")
                self.longest = max(self.longest, time.monotonic() - began)


def growth(runs: int, kind: str) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        with Runner.open(home, background=False) as runner:
            runner.give_back = lambda: None  # type: ignore[method-assign]  # to be measured
            runner.create_repo(parse_repo("data"))
            for _ in range(runs):
                replace(runner, *KINDS[kind])
            for info in list(runner.list_commit(parse_repo("data")))[1:]:
                runner.squash_commit_set(info.commit.id)
            live, before = KINDS[kind][0] * KINDS[kind][1], size(home)
            waiter = Waiter(home)
            waiter.start()
            began = time.monotonic()
            runner.gc()
            seconds = time.monotonic() - began
            waiter.done.set()
            waiter.join()
            runner.delete_repo(parse_repo("other"))
            runner.gc()
            after = size(home)
            runner.delete_repo(parse_repo("data"))
            runner.gc()
            return (
                kind,
                f"{live / 1e6:.1f}",
                f"{before / 1e6:.1f}",
                f"{after / 1e6:.1f}",
                verdict(after / live, HELD_BAR),
                f"{seconds:.2f}",
                f"{waiter.longest:.2f} {verdict(waiter.longest, WAIT_BAR)}",
                f"{size(home) / 1e6:.2f}",
            )


def seconds_of(command: str) -> tuple[float, int]:
    """The time of a datum that prints, and the bytes of its log."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        with Runner.open(home, background=False) as runner:
            runner.create_repo(parse_repo("data"))
            with runner.modify_file(parse_commit("data@master")) as change:
                change.put("/a", b"x")
            transform = {"cmd": ["sh"], "stdin": [command]}
            spec = {"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "data", "glob": "/*"}}, "transform": transform}
            runner.create_pipeline(spec, project="default")
            work(runner, EngineConfig(ProcessExecutor(), 1))
            (job,) = runner.list_job()
            return job.stats.process_time, sum(path.stat().st_size for path in home.glob("logs/*/*/*"))


def printing(what: str) -> tuple[str, ...]:
    silent = min(seconds_of(f"({PRINTED[what]}) > /dev/null 2>&1")[0] for _ in range(3))
    heard, log = min(seconds_of(PRINTED[what]) for _ in range(3))
    return what, f"{silent:.2f}", f"{heard:.2f}", f"{log / 1e6:.2f}"


def main(runs: int) -> None:
    print(machine())
    heads = ("replaced", "live, MB", "before, MB", "after gc, MB", "", "gc, s", "longest put meanwhile, s", "all deleted, MB")
    print(table(heads, [growth(runs, kind) for kind in KINDS]))
    print(table(("printed", "to /dev/null, s", "to the log, s", "log, MB"), [printing(what) for what in PRINTED]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
