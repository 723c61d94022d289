"""Commands that are ready: a process that has imported them forks for each, which takes a tenth of the time of starting a Python.

A command is a process of its own as ever, with the streams, folder and environment of whoever calls it, and so is the engine that it
starts in the background. What is not tried in this way is the import of the package, and how a command takes it that a stream is closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import pkgutil
import select
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from local_runner.runner import Runner

ROOT = Path(__file__).parents[2]
# Rooms that commands seldom need, and which bring libraries that do not like to be forked.
_LEFT_OUT = tuple(f"local_runner.{room}" for room in ("__main__", "deploy", "executors.dask", "search", "server"))
# What calls one: hands over its streams and waits for the exit status. It imports next to nothing, to be there in 10 ms.
_CALL = """
import _socket, marshal, os, sys
call = marshal.dumps((sys.argv[2:], os.getcwd(), os.umask(0), dict(os.environ), False))
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
line.connect(sys.argv[1])
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
line.sendmsg([len(call).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
line.sendall(call)
os._exit(int.from_bytes(line.recv(1), "big"))
"""


@contextlib.contextmanager
def ready_commands(folder: Path) -> Iterator[str]:
    """The words of a shell that begin a command, while the block lasts; `folder` is an empty one for what that needs."""
    call, at = folder / "call.py", folder / "socket"
    call.write_text(_CALL)
    with subprocess.Popen([sys.executable, "-m", __name__, str(at)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"it listens\n"
        yield shlex.join([sys.executable, "-I", "-S", str(call), str(at)])
        process.stdin.close()  # which ends it, as the end of this process does


def _serve(at: str) -> None:
    """Fork for each call until standard input ends."""
    for module in pkgutil.walk_packages([str(ROOT / "local_runner")], "local_runner."):
        if not module.name.startswith(_LEFT_OUT):
            with contextlib.suppress(ImportError):  # what stands on an extra that is not installed
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    children: dict[int, int] = {}  # by the number of the connection of whoever waits for them
    callers: dict[int, socket.socket] = {}  # by child
    ended, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    with select.epoll() as events, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(at)
        listener.listen(100)
        for source in (0, ended, listener):
            events.register(source, select.EPOLLIN)
        print("it listens", flush=True)
        while True:
            for number, _ in events.poll(maxevents=1):
                if not number:
                    return
                if number == listener.fileno():
                    caller, _ = listener.accept()
                    if not (child := os.fork()):
                        _become(caller, at)
                    callers[child] = caller
                    children[caller.fileno()] = child
                    events.register(caller, select.EPOLLRDHUP)
                elif number == ended:
                    os.read(ended, 4096)
                    for caller in _answered(callers):
                        events.unregister(caller)  # closing is not enough: a child that is being made may hold it, too
                        del children[caller.fileno()]
                        caller.close()
                elif number in children:  # whoever called was killed, so the command is ended
                    events.modify(number, 0)
                    os.kill(children[number], signal.SIGTERM)


def _answered(callers: dict[int, socket.socket]) -> Iterator[socket.socket]:
    """Those whose commands are over, after they were told how they ended."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            caller = callers.pop(ended.si_pid)
            status = ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
            with contextlib.suppress(OSError):
                caller.sendall(bytes([status]))
            yield caller


def _become(caller: socket.socket, at: str) -> NoReturn:
    """Be the command that is called for, in a process that is there for it alone."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(caller, 4, 3)
    with caller.makefile("rb") as call:
        words, folder, umask, environment, alone = marshal.loads(call.read(int.from_bytes(size, "big")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    if alone:
        if os.fork():
            os._exit(0)
        os.setsid()
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(ROOT / "local_runner" / "__main__.py"), *words]
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    from local_runner.cli.main import main

    status = main(start_engine=lambda runner: _start_engine(runner, at))
    sys.stderr.flush()
    os._exit(status)


def _start_engine(runner: Runner, at: str) -> None:
    """As a runner starts it: alone, in the home, with what it says in a log."""
    from local_runner.storage.home import STARTED_IN, VARIABLE

    umask = os.umask(0)
    os.umask(umask)
    environment = {STARTED_IN: os.getcwd(), **os.environ, VARIABLE: str(runner.home)}
    call = marshal.dumps((["engine"], str(runner.home), umask, environment, True))
    with runner.database.home.engine_log.open("ab") as log, open(os.devnull, "rb") as nothing, socket.socket(socket.AF_UNIX) as line:
        line.connect(at)
        socket.send_fds(line, [len(call).to_bytes(4, "big")], [nothing.fileno(), log.fileno(), log.fileno()])
        line.sendall(call)
        line.recv(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
