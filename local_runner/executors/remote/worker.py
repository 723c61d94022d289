"""The engine's end of a worker on another machine."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from local_runner.errors import Unavailable, WorkerLost
from local_runner.executors.base import Output, RunRequest, RunResult, WorkerRequest
from local_runner.executors.launcher.collect import Collected, collected
from local_runner.executors.launcher.tree import Tree, TreeChanges
from local_runner.executors.remote import wire
from local_runner.executors.remote.contents import Sender, WithFiles
from local_runner.executors.remote.datum_server import CALLS, ORDERS, DatumLine
from local_runner.executors.remote.request import send_request
from local_runner.executors.worker import StayingProcess

_Answer = TypeVar("_Answer")

_MOST_ROUNDS = 8  # of sending what lacks, until the cache there must be too small for all of it
_LARGER = "set cache_size of the workers to more than the files of a datum, and of the image's code, have together"
_ELSEWHERE = "run that pipeline with another executor, for example --executor auto"


class UnreachableWorker(WorkerLost):
    """The machine of a worker does not answer."""


class Task(Protocol):
    """A command that a cluster was asked to run."""

    def trouble(self) -> str:
        """Why it will not run, as far as is known; "" if it may."""
        ...

    def drop(self) -> None:
        """Let go of it: if it did not begin, it need not."""
        ...


class Host(Protocol):
    """The way to a machine of workers. Safe for several threads."""

    @property
    def where(self) -> str:
        """What it is called, for people."""
        ...

    @property
    def cache(self) -> str:
        """What tells its cache of contents from those of others."""
        ...

    def ask(self, verb: str, *details: Any) -> Any:
        """Ask it (wire.py), and wait for the answer. Raises `WorkerLost`, and what it answers; `UnreachableWorker` if it does not."""
        ...

    def submit(self, worker: str, number: int, label: str) -> Task:
        """Have the command of this number run, when there is room for it; `label` says for people which it is."""
        ...


class RemoteWorker:
    """A worker that lives on another machine, until `close`. Not safe for two threads, except `cancel`."""

    def __init__(self, host: Host, request: WorkerRequest, sender: Sender, lease: float) -> None:
        """Set it up there. Raises `Unavailable`."""
        if request.env.get("S3GATEWAY_PORT"):
            raise Unavailable("user code on a cluster's workers cannot reach an S3 gateway of the runner", hint=_ELSEWHERE)
        self._host, self._sender = host, sender
        self._pipeline = request.name.rpartition("-")[0] or request.name
        sent = send_request(request)
        self._contents = WithFiles(request.contents, sent.files)

        def opened() -> tuple[Sequence[bytes], tuple[str, Any]]:
            id, answer = host.ask("open", sent.plain, lease)
            return (answer, ("", None)) if id == "lack" else ((), (id, answer))

        self.id, likeness = self._when_nothing_lacks(opened)
        self.env: Mapping[str, str] = likeness["env"]
        self.root: str = likeness["root"]
        self.place: str = likeness["place"]
        self.inside = 0
        self.fetches = True
        self.where = host.where
        self._translated: dict[str, str] = {}
        self._patience = min(wire.PATIENCE, lease / 3)
        self._numbers = itertools.count(1)
        self._running: int | None = None
        self._staying: StayingProcess | None = None
        self._sending = threading.Lock()
        self._lines: list[DatumLine] = []
        self._lazy: set[str] = set()  # folders of trees with lazy inputs that were brought

    def close(self) -> None:
        """End it and all its processes; if its machine cannot be reached, that does so by itself after a while."""
        for line in self._lines:
            line.close()
        with contextlib.suppress(Unavailable):
            self._host.ask("close", self.id)

    def run(self, request: RunRequest) -> RunResult:
        if request.terminal is not None:
            raise Unavailable("a terminal cannot be lent to a worker on another machine", hint=_ELSEWHERE)
        if self._staying and self._staying.goes_on:
            raise RuntimeError("a worker runs one command at a time: kill the staying process first")
        number = next(self._numbers)
        with self._sending:  # so that `cancel` comes after the command it is about
            task = self._host.submit(self.id, number, self._label(request.tree))
            self._running = number
        try:
            return self._follow(number, request.output, task.trouble, _order(request, request.tree))
        except Unavailable:
            raise
        except BaseException:
            with contextlib.suppress(Unavailable):
                self._host.ask("cancel", self.id, number)
                self._follow(number, lambda *_: None, task.trouble)
            raise
        finally:
            self._running = None
            task.drop()

    def start(self, request: RunRequest) -> StayingProcess:
        if request.tree is not None:
            self.lay(request.tree)
        number = next(self._numbers)
        self._host.ask("start", self.id, number, _order(request, None))
        self._staying = StayingProcess(lambda: self._follow(number, request.output, lambda: ""), lambda: self._host.ask("kill", self.id))
        return self._staying

    def lay(self, tree: Tree) -> None:
        self._when_nothing_lacks(lambda: (self._host.ask("lay", self.id, tuple(tree)), None))

    def look(self) -> TreeChanges:
        return TreeChanges(*self._host.ask("look", self.id))

    def translate(self, text: str) -> str:
        if self.root == "/pfs":
            return text
        if text not in self._translated:
            self._translated[text] = self._host.ask("translate", self.id, text)
        return self._translated[text]

    def collect(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Collected]:
        def ask(question: tuple[Any, ...]) -> tuple[Any, None]:
            verb, *details = question
            return self._host.ask(verb, self.id, *details), None

        return collected(ask, folder, paths, real)

    def bring(self, tree: Tree) -> Tree:
        if not tree.stored:
            return tree
        brought = self._when_nothing_lacks(lambda: self._host.ask("bring", self.id, tuple(tree)))
        if any(lazy for *_, lazy in tree.stored):
            self._lazy.add(tree.folder)
        return Tree(*brought)

    def lazily(self, folder: str) -> tuple[int, str]:
        if folder not in self._lazy:
            return 0, ""
        read: tuple[int, str] = self._host.ask("lazily", self.id, folder)
        return read

    def serve(self, program: str, port: int) -> tuple[socket.socket, socket.socket]:
        self._host.ask("serve", self.id, program, port)
        self._lines = [self._line(number) for number in (ORDERS, CALLS)]
        return self._lines[ORDERS].end, self._lines[CALLS].end

    def _line(self, number: int) -> DatumLine:
        ask = self._host.ask
        return DatumLine(lambda: ask("pull", self.id, number, self._patience), lambda data: ask("push", self.id, number, data))

    @property
    def datums(self) -> socket.socket:
        raise AssertionError("a worker elsewhere has its own server of NextDatum: serve")

    def cancel(self) -> None:
        with self._sending:
            number = self._running
        if number is not None:
            self._host.ask("cancel", self.id, number)

    def _label(self, tree: Tree | None) -> str:
        datum = tree.folder.rpartition("/")[2][:16] if tree and tree.folder else "command"
        return f"{self._pipeline}-{datum}"

    def _when_nothing_lacks(self, ask: Callable[[], tuple[Sequence[bytes], _Answer]]) -> _Answer:
        """Ask until no content is lacking there, and send those that are; returns the answer. Raises `Unavailable` if they do not stay."""
        for rounds in itertools.count():
            lacking, answer = ask()
            if not lacking:
                break
            if rounds == _MOST_ROUNDS:
                raise Unavailable(f"{self._host.where}: its cache of contents has no room for all that is needed at once", hint=_LARGER)
            self._send(lacking)
        return answer

    def _send(self, names: Sequence[bytes]) -> None:
        self._sender.send(self._host.ask, self._host.cache, names, self._contents)

    def _follow(self, number: int, output: Output, trouble: Callable[[], str], order: Any = None) -> RunResult:
        """Pass on what a command prints, and send what it lacks, until it ends."""
        seen = 0
        while True:
            news = self._host.ask("follow", self.id, number, seen, self._patience, order)
            order = None
            if not news and (why := trouble()):
                raise WorkerLost(f"{self.where}: {why}")
            for at, (verb, *details) in news:
                seen = at
                if verb == "output":
                    output(*details)
                elif verb == "want":
                    self._send(details[0])
                elif verb == "broken":
                    wire.value_of(details[0])
                else:
                    return _result(details[0])


def _order(request: RunRequest, tree: Tree | None) -> tuple[Any, ...]:
    laid = None if tree is None else tuple(tree)
    return tuple(request.cmd), dict(request.env), laid, request.stdin, request.timeout, request.working_dir


def _result(fields: Sequence[Any]) -> RunResult:
    plain: list[Any] = [TreeChanges(*field) if isinstance(field, tuple) else field for field in fields]
    return RunResult(*plain)
