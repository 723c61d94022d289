"""The launcher, a worker's own process: it enters the worker's namespaces once, then starts and watches commands.

It obeys messages on its standard input, a socket whose other end the engine holds, and ends, with all it started, when that end is
closed, however the engine ended. It imports as little as possible: it must start in 10 ms.

It also lays out the datums' trees, looks them over and hands over what is in them. It does so where user code runs, with the rights
of user code: whatever that made of its folders, it leads nowhere else. Two more sockets are for that, while a command stays: one of the
engine's, one of the NextDatum server's; their questions are answered at once.
"""

from __future__ import annotations

# signal, selectors and socket would cost 6 ms: they build enumerations.
import _signal as signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os
import select
import sys
import time
from collections.abc import Sequence
from typing import Any

from local_runner.executors.launcher.collect import Collector
from local_runner.executors.launcher.command import StartedCommand
from local_runner.executors.launcher.datum_folder import DatumFolder
from local_runner.executors.launcher.entering import enter
from local_runner.executors.launcher.killing import kill_descendants
from local_runner.executors.launcher.messages import CHUNK, End, WorkerPlan, describe, pack, unpack
from local_runner.executors.launcher.programs import Starter, explain, in_words
from local_runner.executors.launcher.pty import arrange_terminal, resize
from local_runner.executors.launcher.sockets import EngineGone, hand_over, write
from local_runner.executors.launcher.tree import Tree, TreeChanges

# How long the processes left in a command's group may take to die before its end is reported regardless.
_PATIENCE, _PATIENCE_WITH_CROWDS = 0.5, 10.0
_TICK = 0.001
# A command that prints line by line is left alone for a moment now and then, while its pipe fills: to be waked for each line takes as
# long as to print it. 200 000 lines in 0.95 s instead of 1.8, with 0.85 for nobody who listens.
_SIP, _MANY_SIPS, _FEW_SIPS, _PAUSE = 4096, 32, 4, 0.002


class Launcher:
    """Starts commands and tells the engine what becomes of them, in one loop over all their pipes."""

    def __init__(self, control: int, trees: Sequence[int], plan: WorkerPlan, *, hands: bool) -> None:
        self._control = control
        self._env = plan["env"]
        self._memory = plan["memory"]
        self._starter = Starter(plan["processes"])
        self._place = DatumFolder(plan["pfs"], plan["pfs"], os.path.realpath(f"{plan['pfs']}/.scratch"))
        self._collector = Collector(plan["pfs"], hands=hands)
        # Whether everything that was ever started is known to be gone. Only Linux gives us the orphans to wait for.
        self._alone = self._adopts = sys.platform == "linux"
        self._sips = 0
        self._received = bytearray()
        self._asked = {descriptor: bytearray() for descriptor in trees}
        self._commands: dict[int, StartedCommand] = {}  # by pid
        self._by_pipe: dict[int, StartedCommand] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        for descriptor in trees:
            self._poll.register(descriptor, select.POLLIN)
        # A child's end must wake poll(): the interpreter writes a byte here at each signal that has a handler.
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll.register(self._wake, select.POLLIN)

    def serve(self) -> None:
        """Serve the engine until it is gone (`EngineGone`)."""
        while True:
            for pipe, event in self._poll.poll(self._patience()):
                if pipe == self._control:
                    self._obey()
                elif pipe == self._wake:
                    self._drain_wake()
                elif pipe in self._asked:
                    self._answer(pipe)
                elif command := self._by_pipe.get(pipe):
                    if pipe == command.stdin:
                        self._feed(command, broken=bool(event & (select.POLLERR | select.POLLHUP)))
                    else:
                        self._forward(command, pipe)
            self._expire()
            self._reap()
            self._place.clear()
            if self._sips >= _MANY_SIPS:
                self._sips -= _FEW_SIPS
                time.sleep(_PAUSE)

    def shut_down(self) -> None:
        for command in self._commands.values():
            command.kill()

    def _patience(self) -> float | None:
        """Milliseconds until the next timeout; None without one."""
        if not self._commands:
            return None
        now = time.monotonic()
        due = [now + _TICK if command.end else command.deadline for command in self._commands.values()]
        soonest = min((moment for moment in due if moment is not None), default=None)
        return None if soonest is None else max(0.0, soonest - now) * 1000 + 1

    def _obey(self) -> None:
        data = os.read(self._control, CHUNK)
        if not data:
            raise EngineGone
        self._received += data
        for verb, number, *details in unpack(self._received):
            if verb == "spawn":
                self._spawn(number, *details)
            elif verb == "kill":
                self._kill(number, *details)
            else:
                self._pass_on(verb, number, *details)

    def _answer(self, descriptor: int) -> None:
        data = os.read(descriptor, CHUNK)
        if not data:
            self._poll.unregister(descriptor)  # the engine's end of `control` says when it is gone
            return
        received = self._asked[descriptor]
        received += data
        for verb, *details in unpack(received):
            answer = pack(self._about_trees(verb, *details))
            file, self._collector.handed = self._collector.handed, None
            if file is None:
                write(descriptor, answer)
            else:
                hand_over(descriptor, answer, file)

    def _about_trees(self, verb: str, *details: Any) -> Any:
        if verb == "lay":
            return self._lay(*details)
        if verb == "look":
            return tuple(self._look())
        if verb == "collect":
            folder, *rest = details
            return self._collector.answer(verb, self._place.at(folder), *rest)
        return self._collector.answer(verb)

    def _look(self) -> TreeChanges:
        return self._place.look(is_alone=self._alone)

    def _lay(self, tree: tuple[Any, ...]) -> str:
        """Lay out a tree; says why that failed."""
        try:
            self._place.lay(Tree(*tree))
        except OSError as why:
            return describe(why)
        return ""

    def _spawn(
        self,
        number: int,
        tree: tuple[Any, ...] | None,
        argv: list[str],
        env: dict[str, str],
        folder: str,
        stdin: bytes | None,
        timeout: float | None,
        size: tuple[int, int] | None,
    ) -> None:
        self._sips = 0
        began = time.monotonic()
        if tree is not None and (why_not := self._lay(tree)):
            self._tell(("unlaid", number, why_not))
            return
        started = time.monotonic()
        laying = started - began
        pipes: list[int] = []  # of the command's end, then ours
        try:
            try:
                os.chdir(folder)
            except OSError as why:
                raise OSError(f"chdir {folder}: {in_words(why)}") from why
            environment = self._env | env
            program = self._starter.find(argv, environment.get("PATH", ""))
            arranged = self._starter.arrange_pipes(pipes, with_stdin=stdin is not None) if size is None else arrange_terminal(pipes, size)
            pid = self._starter.start(program, argv, environment, arranged, is_alone=self._alone, memory=self._memory)
        except (OSError, ValueError) as why:
            for pipe in pipes:
                os.close(pipe)
            self._tell(("end", number, End(None, time.monotonic() - started, error=explain(why, argv), laying=laying).plain()))
            return
        self._alone = False
        command = self._commands[pid] = StartedCommand(number, pid, started, laying, timeout)
        if size is not None:
            theirs, screen, keys = pipes
            os.close(theirs)
            command.has_terminal, command.outputs, command.stdin = True, {screen: "terminal"}, keys
            self._watch(command, keys, 0)
        else:
            os.close(pipes[1])
            os.close(pipes[3])
            command.outputs = {pipes[0]: "stdout", pipes[2]: "stderr"}
            if stdin is not None:
                os.close(pipes[4])
                command.stdin, command.unread = pipes[5], memoryview(stdin)
                self._watch(command, pipes[5], select.POLLOUT)
                self._feed(command)
        for pipe in command.outputs:
            self._watch(command, pipe, select.POLLIN)

    def _watch(self, command: StartedCommand, pipe: int, event: int) -> None:
        os.set_blocking(pipe, False)
        self._by_pipe[pipe] = command
        self._poll.register(pipe, event)

    def _forget(self, pipe: int) -> None:
        del self._by_pipe[pipe]
        self._poll.unregister(pipe)
        os.close(pipe)

    def _feed(self, command: StartedCommand, broken: bool = False) -> None:
        """Write what fits into stdin. A command need not read it (reference pps 3.3)."""
        if command.stdin is None:
            return
        try:
            while command.unread and not broken:
                command.unread = command.unread[os.write(command.stdin, command.unread[:CHUNK]) :]
            if command.has_terminal and not broken:
                self._poll.modify(command.stdin, 0)
                return
        except BlockingIOError:
            self._poll.modify(command.stdin, select.POLLOUT)
            return
        except OSError:
            pass
        self._forget(command.stdin)
        command.stdin = None

    def _pass_on(self, verb: str, number: int, what: Any) -> None:
        """Pass keys or a new size on to the terminal of a command."""
        for command in self._commands.values():
            if command.number == number and command.stdin is not None:
                if verb == "resize":
                    resize(command.stdin, what)
                else:
                    command.unread = memoryview(bytes(command.unread) + what)
                    self._feed(command)

    def _forward(self, command: StartedCommand, pipe: int) -> bool:
        """Pass on one piece of output; whether there may be more."""
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # what Linux says at the end of a terminal
            data = b""
        if data:
            self._sips += len(data) < _SIP
            self._tell(("output", command.number, command.outputs[pipe], data))
        else:
            self._forget(pipe)
            del command.outputs[pipe]
        return bool(data)

    def _kill(self, number: int, cancelled: bool) -> None:
        for command in self._commands.values():
            if command.number == number and not command.end:
                command.cancelled = cancelled
                command.kill()

    def _expire(self) -> None:
        now = time.monotonic()
        for command in self._commands.values():
            if command.deadline is not None and command.deadline <= now and not command.end:
                command.timed_out, command.deadline = True, None
                command.kill()

    def _drain_wake(self) -> None:
        try:
            os.read(self._wake, CHUNK)
        except BlockingIOError:
            return

    def _reap(self) -> None:
        """Collect ended commands, and report those whose output is complete."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = self._adopts
                break
            if pid == 0:
                break
            if command := self._commands.get(pid):
                now = time.monotonic()
                code = os.waitstatus_to_exitcode(status)
                command.end = End(code, now - command.started, command.timed_out, command.cancelled, laying=command.laying)
                command.patience = now + _PATIENCE
                if code and self._starter.is_crowded():
                    command.patience = now + _PATIENCE_WITH_CROWDS
                    self._tell(("output", command.number, "stderr", self._starter.crowded))
        for command in [command for command in self._commands.values() if command.end]:
            # Orphans of the group are ours to reap; until that is done the group exists.
            if not command.kill() or time.monotonic() > command.patience:
                self._conclude(command)

    def _conclude(self, command: StartedCommand) -> None:
        del self._commands[command.pid]
        for pipe in list(command.outputs):
            # What left the group may hold the pipe open and go on writing: take what there is, and no more than a pipe holds.
            for _ in range(16):
                if not self._forward(command, pipe):
                    break
            if pipe in command.outputs:
                self._forget(pipe)
        if command.stdin is not None:
            self._forget(command.stdin)
        assert command.end
        self._tell(("end", command.number, command.end._replace(left=self._look()).plain()))

    def _tell(self, message: object) -> None:
        write(self._control, pack(message))


def _read_plan(control: int) -> WorkerPlan:
    received = bytearray()
    while True:
        data = os.read(control, CHUNK)
        if not data:
            raise EngineGone
        received += data
        for message in unpack(received):
            return message  # type: ignore[no-any-return]  # the first message is the plan


def main(*trees: int, hands: bool = False) -> None:
    """Be a launcher; `trees` are the descriptors of the sockets for questions about trees, to which `hands` may give open files."""
    control = os.dup(0)
    for descriptor in trees:
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from user code: it is all that could end process 1 of a namespace
    try:
        plan = _read_plan(control)
        try:
            enter(plan, control)
            launcher = Launcher(control, trees, plan, hands=hands)
        except Exception as why:
            write(control, pack(("broken", describe(why))))
            return
        os.close(0)  # the socket; nothing that is started may inherit it
        os.open(os.devnull, os.O_RDONLY)
        write(control, pack(("ready",)))
        try:
            launcher.serve()
        finally:
            launcher.shut_down()
            kill_descendants()
    except EngineGone:
        return
