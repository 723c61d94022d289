"""The fake executor of the tests: real folders and links, with a Python function in place of user code."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from local_runner.errors import Unavailable
from local_runner.executors.base import Capabilities, RunRequest, RunResult, Worker, WorkerHere, WorkerRequest, unlaid
from local_runner.executors.launcher.collect import Collected, Collector, collected
from local_runner.executors.launcher.datum_folder import DatumFolder
from local_runner.executors.launcher.messages import CHUNK, pack, unpack
from local_runner.executors.launcher.tree import Tree, TreeChanges
from local_runner.executors.worker import link_scratch

_KILLED = RunResult(-9, 0.0)


@dataclass(frozen=True, slots=True)
class ScriptedDatum:
    """The datum as a pretended command sees it: folders, environment, and the request of the engine."""

    worker: WorkerRequest
    request: RunRequest
    cancelled: threading.Event  # set by `Worker.cancel` and `Process.kill`; a command that takes long should wait on it

    @property
    def env(self) -> dict[str, str]:
        return {**self.worker.env, **self.request.env}

    @property
    def tree(self) -> Tree:
        return self.request.tree or Tree()

    @property
    def out(self) -> Path:
        return self.input("out")

    def input(self, name: str) -> Path:
        """The folder of an input of that name. Raises KeyError if it is not linked."""
        return self.worker.pfs / self.tree.links[name]

    def say(self, line: str, stream: str = "stdout") -> None:
        """Print a line."""
        self.request.output(stream, line.encode())


Behaviour = Callable[[ScriptedDatum], "int | RunResult"]


@dataclass
class ScriptedExecutor:
    """`behave` answers each `run` with an exit code or a whole result; `stay` each `start`, which else goes on until it is killed.

    The requests are recorded in the order they came in.
    """

    behave: Behaviour
    stay: Behaviour | None = None
    requests: list[RunRequest] = field(default_factory=list)
    workers: list[WorkerRequest] = field(default_factory=list)

    # One worker at a time lays out and looks: two that hand the interpreter to each other with each call of the system take twice the
    # processor time. Real workers do that in processes of their own.
    turn: contextlib.AbstractContextManager[object] = field(default_factory=threading.RLock)

    name = "scripted"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            absolute_pfs=False,
            private_tmp=False,
            hides_host_files=False,
            hides_processes=False,
            limits_memory=False,
            limits_processes=False,
            limits_network=False,
            needs_image=False,
            runs_programs=False,
            shows_images=False,
            runs_as_user=False,
        )

    def why_not(self) -> str:
        return ""

    def places(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def engine_with(self, image: str) -> str:
        return ""

    def owner(self, request: WorkerRequest) -> None:
        return None

    @contextlib.contextmanager
    def worker(self, request: WorkerRequest) -> Iterator[Worker]:
        self.workers.append(request)
        worker = _ScriptedWorker(self, request)
        try:
            yield worker
        finally:
            worker.close()


class _ScriptedWorker(WorkerHere):
    def __init__(self, executor: ScriptedExecutor, request: WorkerRequest) -> None:
        self.env: Mapping[str, str] = request.env
        self.root = str(request.pfs)
        self.inside = 0
        self._executor = executor
        self._worker = request
        request.scratch.mkdir(parents=True, exist_ok=True)
        link_scratch(request)
        self._place = DatumFolder(self.root, self.root)
        self._collector = Collector(self.root)
        self._tree = Tree()
        self._running = threading.Event()
        self._processes: list[_ScriptedProcess] = []

    def run(self, request: RunRequest) -> RunResult:
        datum = self._datum(request)
        self._running = datum.cancelled
        result = _end(self._executor.behave, datum)
        if datum.cancelled.is_set():
            return RunResult(-9, result.seconds, cancelled=True)
        return replace(result, left=self.look())

    def start(self, request: RunRequest) -> _ScriptedProcess:
        process = _ScriptedProcess(self._datum(request), self._executor.stay or _wait_for_the_end)
        self._processes.append(process)
        return process

    def lay(self, tree: Tree) -> None:
        self._tree = tree
        try:
            with self._executor.turn:
                self._place.lay(tree)
                self._place.clear()
        except OSError as why:
            raise unlaid(str(why)) from None

    def look(self) -> TreeChanges:
        with self._executor.turn:
            return self._place.look(is_alone=not self._processes)

    def translate(self, text: str) -> str:
        return text

    def collect(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Collected]:
        return collected(self._answer, folder, paths, real)

    def _answer(self, question: tuple[Any, ...]) -> tuple[Any, None]:
        verb, *details = question
        if verb == "collect":
            details[0] = self._place.at(details[0])
        return self._collector.answer(verb, *details), None

    @cached_property
    def datums(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._answer_about_trees, args=(theirs,), name="trees of a scripted worker", daemon=True).start()
        return ours

    def _answer_about_trees(self, questions: socket.socket) -> None:
        received = bytearray()
        with questions:
            while data := questions.recv(CHUNK):
                received += data
                for verb, *details in unpack(received):
                    questions.sendall(pack(self._lay(*details) if verb == "lay" else tuple(self.look())))

    def _lay(self, tree: tuple[Any, ...]) -> str:
        try:
            self.lay(Tree(*tree))
        except Unavailable as why:
            return why.message
        return ""

    def cancel(self) -> None:
        self._running.set()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        if "datums" in self.__dict__:
            self.datums.close()

    def _datum(self, request: RunRequest) -> ScriptedDatum:
        if request.tree is not None:
            self.lay(request.tree)
        request = replace(request, tree=self._tree)
        self._executor.requests.append(request)
        return ScriptedDatum(self._worker, request, threading.Event())


class _ScriptedProcess:
    def __init__(self, datum: ScriptedDatum, stay: Behaviour) -> None:
        self._datum = datum
        self._result: RunResult | None = None
        self._thread = threading.Thread(target=self._live, args=(stay,), daemon=True)
        self._thread.start()

    def _live(self, stay: Behaviour) -> None:
        result = _end(stay, self._datum)
        self._result = _KILLED if self._datum.cancelled.is_set() else result

    def poll(self) -> RunResult | None:
        return self._result

    def wait(self, timeout: float | None = None) -> RunResult | None:
        self._thread.join(timeout)
        return self._result

    def kill(self) -> None:
        self._datum.cancelled.set()
        self._thread.join()


def _wait_for_the_end(datum: ScriptedDatum) -> RunResult:
    datum.cancelled.wait()
    return _KILLED


def _end(behave: Behaviour, datum: ScriptedDatum) -> RunResult:
    started = time.monotonic()
    end = behave(datum)
    return end if isinstance(end, RunResult) else RunResult(end, time.monotonic() - started)
