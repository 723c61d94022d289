"""The launcher, a worker's own process: it enters the worker's namespaces once, then starts and watches commands.

It obeys messages on its standard input, a socket whose other end the engine holds, and ends, with all it started, when that end is
closed, however the engine ended. It imports as little as possible: it must start in 10 ms.

It also lays out the datums' trees, looks them over and hands over what is in them. It does so where user code runs, with the rights
of user code: whatever that made of its folders, it leads nowhere else. Two more sockets are for that, while a command stays: one of the
engine's, one of whoever answers NextDatum; their questions are answered at once.
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
from local_runner.executors.launcher.killing import is_process_1, kill_all, kill_descendants
from local_runner.executors.launcher.messages import CHUNK, End, WorkerPlan, describe, pack, unpack
from local_runner.executors.launcher.pty import arrange_terminal, resize
from local_runner.executors.launcher.tree import DatumFolder, Tree, TreeChanges

# How long the processes left in a command's group may take to die before its end is reported regardless.
_PATIENCE, _PATIENCE_WITH_CROWDS = 0.5, 10.0
_TICK = 0.001
# A command that prints line by line is left alone for a moment now and then, while its pipe fills: to be waked for each line takes as
# long as to print it. 200 000 lines in 0.95 s instead of 1.8, with 0.85 for nobody who listens.
_SIP, _MANY_SIPS, _FEW_SIPS, _PAUSE = 4096, 32, 4, 0.002
_CROWDED = b"there are very many processes: a worker has at most %d, and who asks for more is told: Resource temporarily unavailable\n"


class _EngineGone(Exception):
    """Raised when the engine closed its end of the socket, or died."""


class _Command:
    """One command that was started."""

    def __init__(self, number: int, pid: int, started: float, laying: float, timeout: float | None) -> None:
        self.number = number
        self.pid = pid
        self.started = started
        self.laying = laying
        self.deadline = started + timeout if timeout is not None else None
        self.timed_out = self.cancelled = False
        self.outputs: dict[int, str] = {}
        self.stdin: int | None = None
        self.has_terminal = False  # then `stdin` stays when everything is read
        self.unread = memoryview(b"")
        self.end: End | None = None  # known when the main process ended
        self.patience = 0.0

    def kill(self) -> bool:
        """SIGKILL to the process group; whether there was anything left of it.

        Where all processes are ours it goes, unless the command ended well, to whatever else was started: to fork away is no help.
        """
        if is_process_1() and not (self.end and self.end.exit_code == 0):
            return kill_all()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            return False
        return True


class Launcher:
    """Starts commands and tells the engine what becomes of them, in one loop over all their pipes."""

    def __init__(self, control: int, trees: Sequence[int], plan: WorkerPlan, *, hands: bool) -> None:
        self._control = control
        self._env = plan["env"]
        self._memory = plan["memory"]
        self._processes = plan["processes"]
        self._place = DatumFolder(plan["pfs"], plan["pfs"], os.path.realpath(f"{plan['pfs']}/.scratch"))
        self._collector = Collector(plan["pfs"], hands=hands)
        # Whether everything that was ever started is known to be gone. Only Linux gives us the orphans to wait for.
        self._alone = self._adopts = sys.platform == "linux"
        self._programs: dict[tuple[str, str], str] = {}
        self._sips = 0
        self._received = bytearray()
        self._asked = {descriptor: bytearray() for descriptor in trees}
        self._commands: dict[int, _Command] = {}  # by pid
        self._by_pipe: dict[int, _Command] = {}
        self._null = os.open(os.devnull, os.O_RDONLY)
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
        """Serve the engine until it is gone (`_EngineGone`)."""
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
            raise _EngineGone
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
                _write(descriptor, answer)
            else:
                _hand_over(descriptor, answer, file)

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
                raise OSError(f"chdir {folder}: {_words(why)}") from why
            environment = self._env | env
            program = self._find(argv, environment.get("PATH", ""))
            arranged = self._arrange_pipes(pipes, stdin is not None) if size is None else arrange_terminal(pipes, size)
            pid = self._start(program, argv, environment, arranged)
        except (OSError, ValueError) as why:
            for pipe in pipes:
                os.close(pipe)
            self._tell(("end", number, End(None, time.monotonic() - started, error=_explain(why, argv), laying=laying).plain()))
            return
        if self._memory:
            _limit_memory(pid, self._memory)
        self._alone = False
        command = self._commands[pid] = _Command(number, pid, started, laying, timeout)
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

    def _start(self, program: str, argv: list[str], env: dict[str, str], arranged: dict[str, Any]) -> int:
        """The process's number. Raises OSError."""
        signals = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)  # ignored here
        if not self._alone and self._is_crowded():
            kill_descendants()
        try:
            return os.posix_spawn(program, argv, env, setsigmask=(), setsigdef=signals, **arranged)
        except BlockingIOError:  # EAGAIN: there are as many processes as there may be
            if not is_process_1():
                raise
        kill_descendants()
        return os.posix_spawn(program, argv, env, setsigmask=(), setsigdef=signals, **arranged)

    def _is_crowded(self) -> bool:
        """Whether more than half of the allowed processes exist, so that another command may lack some."""
        return bool(self._processes) and len(os.listdir("/proc")) > self._processes // 2

    def _find(self, argv: list[str], path: str) -> str:
        """As `find_program`, with a cache: searching a PATH of a dozen folders takes 40 µs. Raises OSError."""
        where = (argv[0] if argv else "", path)
        found = self._programs.get(where)
        if found is None or not os.access(found, os.X_OK):
            found = self._programs[where] = find_program(argv, path)
        return found

    def _arrange_pipes(self, pipes: list[int], with_stdin: bool) -> dict[str, Any]:
        """Make the pipes of a command: read, write of stdout, stderr and then stdin. Returns what `posix_spawn` has to know."""
        pipes += os.pipe() + os.pipe() + (os.pipe() if with_stdin else ())
        reads_from = pipes[4] if with_stdin else self._null
        actions = [(os.POSIX_SPAWN_DUP2, reads_from, 0), (os.POSIX_SPAWN_DUP2, pipes[1], 1), (os.POSIX_SPAWN_DUP2, pipes[3], 2)]
        return {"file_actions": actions, "setpgroup": 0}

    def _watch(self, command: _Command, pipe: int, event: int) -> None:
        os.set_blocking(pipe, False)
        self._by_pipe[pipe] = command
        self._poll.register(pipe, event)

    def _forget(self, pipe: int) -> None:
        del self._by_pipe[pipe]
        self._poll.unregister(pipe)
        os.close(pipe)

    def _feed(self, command: _Command, broken: bool = False) -> None:
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

    def _forward(self, command: _Command, pipe: int) -> bool:
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
                if code and self._is_crowded():
                    command.patience = now + _PATIENCE_WITH_CROWDS
                    self._tell(("output", command.number, "stderr", _CROWDED % self._processes))
        for command in [command for command in self._commands.values() if command.end]:
            # Orphans of the group are ours to reap; until that is done the group exists.
            if not command.kill() or time.monotonic() > command.patience:
                self._conclude(command)

    def _conclude(self, command: _Command) -> None:
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
        _write(self._control, pack(message))


def find_program(argv: list[str], path: str) -> str:
    """argv[0] as a file: as it is if it names a folder, else the first executable of that name in `path`. Raises OSError."""
    name = argv[0] if argv else ""
    if "/" in name:
        return name
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if name and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise OSError(f'exec: "{name}": executable file not found in $PATH')


def _limit_memory(pid: int, most: int) -> None:
    """Limit the memory of a process and its descendants, each for itself; allocations beyond that fail."""
    if sys.platform == "linux":
        import resource

        try:
            resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))
        except OSError:  # it has ended
            return


def _explain(why: OSError | ValueError, argv: list[str]) -> str:
    if isinstance(why, OSError) and why.strerror:
        return f"exec: {argv[0]}: {_words(why)}"
    return str(why)


def _words(why: OSError) -> str:
    return (why.strerror or str(why)).lower()


def _write(control: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(control, view) :]
    except (BrokenPipeError, ConnectionResetError):
        raise _EngineGone from None


def _hand_over(line: int, data: bytes, file: int) -> None:
    """Write, and let an open file go with it."""
    import _socket  # only for large files

    end = _socket.socket(fileno=line)
    try:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, file.to_bytes(4, sys.byteorder))]
        sent = end.sendmsg([data], rights)
    except (BrokenPipeError, ConnectionResetError):
        raise _EngineGone from None
    finally:
        end.detach()
    _write(line, data[sent:])


def _read_plan(control: int) -> WorkerPlan:
    received = bytearray()
    while True:
        data = os.read(control, CHUNK)
        if not data:
            raise _EngineGone
        received += data
        for message in unpack(received):
            return message  # type: ignore[no-any-return]  # the first message is the plan


def _prepare(plan: WorkerPlan, control: int) -> None:
    """Enter the worker's namespaces and become its user, for all that follows. Raises OSError."""
    os.umask(0o022)
    if plan["empty"]:
        import resource  # noqa: F401  # while this host's files are there: what an image has by that name is somebody else's

        from local_runner.executors.launcher import linux, mounts  # with ctypes 5 ms, and Linux only

        is_new_user = mounts.enter_namespaces(network=plan["network"])
        if inside := os.fork():
            # Everything in the namespace is gone when its process 1 has been waited for: that is what the engine waits for.
            os.close(control)
            os.close(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) & 0xFF)
        processes = 0 if is_new_user else plan["processes"]
        mounts.build_root(plan["empty"], plan["steps"], plan["layers"], plan["upper"], memory=plan["memory"], processes=processes)
        if plan["layers"]:
            sys.path.clear()
        if is_new_user and plan["processes"]:
            linux.limit_processes(plan["processes"])
        linux.refuse_calls()
        linux.keep_container_capabilities()
    elif sys.platform == "linux":
        from local_runner.executors.launcher import linux  # as above; before the user changes, who may not be able to read it

        linux.adopt_orphans()
    if plan["user"]:
        user, group = plan["user"]
        for folder in (plan["pfs"], f"{plan['pfs']}/.scratch"):  # so that user code may make files there, as root may
            os.chown(folder, user, group)
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if plan["empty"]:
        linux.die_with_parent()
    if sys.platform == "linux":
        linux.forbid_tracing()  # who had our sockets could tell the engine anything


def main(*trees: int, hands: bool = False) -> None:
    """Be a launcher; `trees` are the descriptors of the sockets for questions about trees, to which `hands` may give open files."""
    control = os.dup(0)
    for descriptor in trees:
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from user code: it is all that could end process 1 of a namespace
    try:
        plan = _read_plan(control)
        try:
            _prepare(plan, control)
            launcher = Launcher(control, trees, plan, hands=hands)
        except Exception as why:
            _write(control, pack(("broken", describe(why))))
            return
        os.close(0)  # the socket; nothing that is started may inherit it
        os.open(os.devnull, os.O_RDONLY)
        _write(control, pack(("ready",)))
        try:
            launcher.serve()
        finally:
            launcher.shut_down()
            kill_descendants()
    except _EngineGone:
        return
