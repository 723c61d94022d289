"""The worker of all real executors: the engine's end of a launcher (launcher/main.py)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from local_runner.errors import Unavailable, WorkerLost
from local_runner.executors.base import Output, RunRequest, RunResult, WorkerHere, WorkerRequest, unlaid
from local_runner.executors.launcher.collect import Collected, collected
from local_runner.executors.launcher.messages import CHUNK, WorkerPlan, pack, unpack
from local_runner.executors.launcher.removal import remove_leftover
from local_runner.executors.launcher.tree import Tree, TreeChanges
from local_runner.executors.terminal import Terminal

# A longer line reaches `output` in pieces: a program that never ends a line must not fill the engine's memory.
_LONGEST_LINE = 1 << 20

# The launcher is started without site and environment, in 10 ms instead of 30, and finds only this package.
_START = "import sys; sys.path.append(sys.argv[1]); "
_LAUNCHER = ("from local_runner.executors.launcher.main import main; main(int(sys.argv[2]), int(sys.argv[3]), hands=True)",)
# All of the engine's environment that it has: user code may get to see what a launcher was started with.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_CLOSED_BY_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # Linux
_PACKAGE_ROOT = str(Path(__file__).parents[2])


class LauncherWorker(WorkerHere):
    """A worker whose commands a launcher starts. `translate` rewrites what a command is told, where /pfs is not at /pfs.

    Measured: 35 ms to start one, 40 ms with a sandbox; 1.4 ms for a run of `true` with its tree laid out, 1.55 in a sandbox.
    """

    def __init__(
        self,
        pfs: Path,
        plan: WorkerPlan,
        working_dir: str,
        translate: Callable[[str], str] = str,
        program: Sequence[str] = _LAUNCHER,
    ) -> None:
        """Start the launcher, or what leads to one (`program`: code, arguments), and wait until it is ready. Raises `Unavailable`."""
        self.env: Mapping[str, str] = plan["env"]
        self.root = plan["pfs"]
        self.inside = 0
        self._pfs = pfs
        self._working_dir = working_dir
        self._translate = translate
        self._received = bytearray()
        self._messages: list[Any] = []
        self._sending = threading.RLock()
        self._last_number = 0
        self._running: int | None = None
        self._staying: StayingProcess | None = None
        self._socket, theirs = socket.socketpair()
        self._trees, their_trees = socket.socketpair()
        self.datums, their_datums = socket.socketpair()
        others = [str(their_trees.fileno()), str(their_datums.fileno())]
        with theirs, their_trees, their_datums:
            self._launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START + program[0], _PACKAGE_ROOT, *others, *program[1:]],
                stdin=theirs.fileno(),
                pass_fds=[their_trees.fileno(), their_datums.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} if program is _LAUNCHER else None,
                start_new_session=True,  # Ctrl-C in the engine's terminal is for the engine
            )
        try:
            self._send(plan)
            verb, *details = self._receive()
        except Unavailable:
            self.close()
            raise
        if verb == "broken":
            self.close()
            raise Unavailable(f"a worker could not be set up: {details[0]}", hint="try --executor process, which isolates nothing")
        if plan["empty"]:
            self.inside = self._launcher.pid

    def close(self) -> None:
        """End the launcher and everything it started; returns when all of it is gone."""
        # Not just close(): a thread of a staying process may be waiting in recv, which only a shutdown ends.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._launcher.wait()
        if self._staying:
            self._staying.wait()
        for end in (self._socket, self._trees, self.datums):
            end.close()

    def run(self, request: RunRequest) -> RunResult:
        with self._sending:  # so that `cancel` comes after the command it is about
            number = self._running = self._spawn(request, request.timeout)
        try:
            with self._lent(request.terminal, number):
                return self._follow(number, request.output, request.terminal)
        except Unavailable:
            raise  # nothing runs
        except BaseException:
            with contextlib.suppress(Unavailable):
                self._send(("kill", number, True))
                self._follow(number, lambda *_: None)
            raise
        finally:
            self._running = None

    def _lent(self, terminal: Terminal | None, number: int) -> AbstractContextManager[None]:
        if terminal is None:
            return contextlib.nullcontext()

        def tell(verb: str, what: object) -> None:
            with contextlib.suppress(Unavailable):  # the thread that follows the command reports it
                self._send((verb, number, what))

        return terminal.lent(lambda keys: tell("type", keys), lambda size: tell("resize", tuple(size)))

    def start(self, request: RunRequest) -> StayingProcess:
        if request.tree is not None:
            self.lay(request.tree)  # here, for trees to come must not overtake it
        number = self._spawn(replace(request, tree=None), timeout=None)
        self._staying = StayingProcess(lambda: self._follow(number, request.output), lambda: self._send(("kill", number, False)))
        return self._staying

    def lay(self, tree: Tree) -> None:
        if why_not := self._ask(("lay", tuple(tree))):
            raise unlaid(why_not)

    def look(self) -> TreeChanges:
        return TreeChanges(*self._ask(("look",)))

    def translate(self, text: str) -> str:
        return self._translate(text)

    def collect(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Collected]:
        return collected(self._ask_for_files, folder, paths, real)

    def cancel(self) -> None:
        with self._sending:
            if self._running is not None:
                self._send(("kill", self._running, True))

    def _spawn(self, request: RunRequest, timeout: float | None) -> int:
        if self._staying and self._staying.goes_on:
            raise RuntimeError("a worker runs one command at a time: kill the staying process first")
        self._last_number += 1
        translate = self._translate
        folder = translate(os.path.join("/", request.working_dir)) if request.working_dir else self._working_dir
        stdin = request.stdin
        if stdin is not None and translate is not str:
            stdin = os.fsencode(translate(os.fsdecode(stdin)))
        env = {name: translate(value) for name, value in request.env.items()}
        tree = None if request.tree is None else tuple(request.tree)
        size = tuple(request.terminal.size) if request.terminal else None
        self._send(("spawn", self._last_number, tree, [translate(word) for word in request.cmd], env, folder, stdin, timeout, size))
        return self._last_number

    def _follow(self, number: int, output: Output, terminal: Terminal | None = None) -> RunResult:
        """Pass on the output of a command until it ends."""
        lines = {"stdout": _Lines("stdout", output), "stderr": _Lines("stderr", output)}
        while True:
            verb, about, *details = self._receive()
            if about != number:  # the rest of a command whose `run` was interrupted twice
                continue
            if verb == "output":
                stream, data = details
                if terminal:
                    terminal.show(data)
                else:
                    lines[stream].add(data)
            elif verb == "unlaid":
                raise unlaid(details[0])
            else:
                for rest in lines.values():
                    rest.finish()
                exit_code, seconds, timed_out, cancelled, error, laying, left = details[0]
                return RunResult(exit_code, seconds, timed_out, cancelled, error, laying, TreeChanges(*left))

    def _send(self, message: object) -> None:
        try:
            with self._sending:
                self._socket.sendall(pack(message))
        except OSError as why:
            raise self._died() from why

    def _ask(self, question: object) -> Any:
        """Ask the launcher about trees, and return its answer."""
        return self._ask_for_files(question)[0]

    def _ask_for_files(self, question: object) -> tuple[Any, int | None]:
        """The same, with the open file that came with the answer, if one did."""
        received = bytearray()
        file: int | None = None
        try:
            self._trees.sendall(pack(question))
            while True:
                data, files, _, _ = socket.recv_fds(self._trees, CHUNK, 1, _CLOSED_BY_EXEC)
                file = files[0] if files else file
                received += data
                for answer in unpack(received):
                    return answer, file
                if not data:
                    raise ConnectionResetError
        except OSError as why:
            if file is not None:
                os.close(file)
            raise self._died() from why

    def _receive(self) -> Any:
        while not self._messages:
            try:
                data = self._socket.recv(CHUNK)
            except OSError as why:
                raise self._died() from why
            if not data:
                raise self._died()
            self._received += data
            self._messages = unpack(self._received)
        return self._messages.pop(0)

    def _died(self) -> WorkerLost:
        return WorkerLost(f"the launcher of the worker at {self._pfs} ended unexpectedly", hint="was it killed, or is memory short?")


class StayingProcess:
    """A command that was started to stay; a thread of its own passes on what it prints."""

    def __init__(self, follow: Callable[[], RunResult], kill: Callable[[], None]) -> None:
        self._follow = follow
        self._kill = kill
        self._result: RunResult | None = None
        self._lost: WorkerLost | None = None
        self._thread = threading.Thread(target=self._watch, name="output of a staying process", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        try:
            self._result = self._follow()
        except Unavailable as why:
            self._lost = why if isinstance(why, WorkerLost) else None
            self._result = RunResult(None, 0.0, error=why.message)

    def poll(self) -> RunResult | None:
        if self._lost:
            raise self._lost
        return self._result

    def wait(self, timeout: float | None = None) -> RunResult | None:
        self._thread.join(timeout)
        return self._result

    @property
    def goes_on(self) -> bool:
        return self._result is None

    def kill(self) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(Unavailable):
                self._kill()
            self._thread.join()


class _Lines:
    """Collects bytes and passes on whole lines."""

    def __init__(self, stream: str, output: Output) -> None:
        self._stream = stream
        self._output = output
        self._rest = bytearray()  # of a line that goes on

    def add(self, data: bytes) -> None:
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            self._output(self._stream, bytes(self._rest) + lines)
            self._rest.clear()
        self._rest += rest
        if len(self._rest) >= _LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        if self._rest:
            self._output(self._stream, bytes(self._rest))
        self._rest.clear()


def plan_in_the_open(env: Mapping[str, str], pfs: str, user: tuple[int, int] | None, *, memory: int = 0, processes: int = 0) -> WorkerPlan:
    """The plan of a launcher that makes no sandbox: on the host, or in a container."""
    return {
        "env": dict(env),
        "empty": "",
        "steps": [],
        "layers": [],
        "upper": "",
        "user": user,
        "network": False,
        "memory": memory,
        "processes": processes,
        "pfs": pfs,
    }


def ports_of(request: WorkerRequest) -> list[int]:
    """The ports on which a worker's processes reach the runner: NextDatum if they batch, their S3 gateway if they have one."""
    ports = (int(request.env.get(name, "0")) for name in ("PPS_WORKER_GRPC_PORT", "S3GATEWAY_PORT"))
    return [port for port in ports if port]


@contextlib.contextmanager
def own_folder(request: WorkerRequest) -> Iterator[Path]:
    """Make the folder of a worker's own files besides /pfs, removed with the worker, and its folder for datums."""
    request.scratch.mkdir(parents=True, exist_ok=True)
    folder = request.folder.resolve() / "own"
    folder.mkdir()
    try:
        yield folder
    finally:
        remove_leftover(str(folder))


def link_scratch(request: WorkerRequest) -> None:
    """Link `.scratch` into `/pfs`, for executors that cannot mount it there."""
    link = request.pfs / ".scratch"
    if not link.is_symlink():
        link.symlink_to(request.scratch.absolute())
