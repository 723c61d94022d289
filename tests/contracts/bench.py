"""A worker to try, with what its commands print; and how to tell whether a process of a test lives."""

from __future__ import annotations

import itertools
import os
import pty
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from local_runner.executors.base import Executor, RunRequest, RunResult, Worker, WorkerRequest
from local_runner.executors.launcher.collect import Collected
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.terminal import Terminal

LONG = 60.0  # seconds: what a machine under load keeps, where a command would sleep for days
PATH = "/usr/local/bin:/usr/bin:/bin"
# The runner's end of a call of pachctl.
ANSWER = """
import os, socket
from local_runner.executors.pachctl.frames import receive, send
line = socket.socket(fileno=0)
kind, words = receive(line)
send(line, b"1", os.environb[b"WHO"] + b": " + words.replace(b"\\0", b" ") + b"\\n")
send(line, b"s", b"3")
"""


@dataclass
class Bench:
    """A worker of the request in `home`, and what its commands print."""

    worker: Worker
    home: Path
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def pfs(self) -> Path:
        return self.home / "pfs"

    @property
    def scratch(self) -> Path:
        return self.home / "folder/scratch"

    @property
    def out(self) -> Path:
        return self.home / "folder" / tree_of("one").folder.replace(".scratch", "scratch") / "out"

    @property
    def stdout(self) -> list[str]:
        return [line for stream, line in self.lines if stream == "stdout"]

    def request(self, *cmd: str, datum: str = "one", env: Mapping[str, str] | None = None, **more: object) -> RunRequest:
        more.setdefault("tree", tree_of(datum))
        return RunRequest(cmd, env or {}, output=self.take, **more)  # type: ignore[arg-type]

    def take(self, stream: str, block: bytes) -> None:
        self.lines += [(stream, line) for line in block.decode(errors="replace").split("\n")]

    def run(self, *cmd: str, **more: object) -> RunResult:
        return self.worker.run(self.request(*cmd, **more))  # type: ignore[arg-type]

    def collect(self, *paths: str, real: Sequence[str] = (), datum: str = "one") -> Iterator[Collected]:
        return self.worker.collect(tree_of(datum).folder, paths, real)

    def sh(self, script: str, **more: object) -> RunResult:
        return self.run("sh", "-c", script, **more)


def tree_of(datum: str, **more: object) -> Tree:
    """A datum with one input file, which holds its name."""
    folder = f".scratch/set/{datum}/pfs/{datum}"
    links = {"in": f"{folder}/in", "out": f"{folder}/out", ".env": f"{folder}/.env"}
    files = [(".env", b"A=1\n"), ("in/file", f"{datum}\n".encode())]
    return Tree(folder, links, [("out", 0o777), ("in", 0o700)], files)._replace(**more)  # type: ignore[arg-type]


def worker_request(home: Path, env: Mapping[str, str], **more: object) -> WorkerRequest:
    """A worker with its two folders in `home`."""
    (home / "pfs").mkdir(parents=True)
    return WorkerRequest("w", home / "pfs", home / "folder", env, **more)  # type: ignore[arg-type]


def is_alive(marker: str) -> bool:
    """Whether any process has `marker` among its arguments."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and marker.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def soon(is_so: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


_sleeps = itertools.count(86_400 + os.getpid() % 50_000 * 10_000)  # others run tests at the same time


def unique_sleep() -> str:
    """How long a process of a test sleeps, so that it can be told from all others."""
    return str(next(_sleeps))


Step = tuple[str, "str | Callable[[int], None]"]  # a text to wait for, then keys to type, or what to do with the terminal


def converse(bench: Bench, script: str, *steps: Step) -> tuple[RunResult, str]:
    """Run a script at a terminal where somebody sits; returns its end and all that was shown."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown = bytearray()

    def sit() -> None:
        todo = list(steps)
        while data := os.read(ours, 65536):
            shown.extend(data)
            while todo and todo[0][0].encode() in shown:
                act = todo.pop(0)[1]
                if callable(act):
                    act(theirs)
                else:
                    os.write(ours, act.encode())
            if shown.endswith(b"<end>"):
                return

    person = threading.Thread(target=sit)
    person.start()
    try:
        before = termios.tcgetattr(theirs)
        result = bench.sh(script, terminal=Terminal(theirs, theirs), timeout=LONG)
        assert termios.tcgetattr(theirs) == before
    finally:
        os.write(theirs, b"<end>")
        person.join()
        os.close(ours)
        os.close(theirs)
    return result, shown.decode().removesuffix("<end>")


class WithExecutor:
    """Tests of one executor: a subclass provides the fixture `executor`."""

    more: Mapping[str, Any] = MappingProxyType({})  # what its workers are asked for besides

    @pytest.fixture
    def executor(self) -> Executor:
        raise AssertionError("a subclass provides the executor")

    @pytest.fixture
    def bench(self, executor: Executor, tmp_path: Path) -> Iterator[Bench]:
        with self.open(executor, tmp_path) as worker:
            yield Bench(worker, tmp_path)

    def open(self, executor: Executor, home: Path, **more: object) -> AbstractContextManager[Worker]:
        more.setdefault("env", {"PATH": PATH, "COLOUR": "red", "HOME": os.path.expanduser("~")})
        return executor.worker(worker_request(home, **{**self.more, **more}))
