"""Accepts calls of `pachctl` on a socket for each worker, and starts a process outside for each call."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_runner import beneath
from local_runner.executors.base import Pachctl
from local_runner.executors.pachctl.frames import SOCKET

_MOST_CALLS = 8  # at once; more have to wait
# All but `next datum` goes to the runner; that is asked of the worker, on a port which only its own processes see.
_SCRIPT = """#!/bin/sh
case "$1" in next | next-datum) exec {whole} "$@" ;; esac
exec {client} "$@"
"""
CLIENT = "from local_runner.executors.pachctl.client import main; main()"
WHOLE = "from local_runner.__main__ import main; sys.exit(main())"


@contextlib.contextmanager
def pachctl_server(own: Path, pachctl: Pachctl, client: Sequence[str], whole: Sequence[str]) -> Iterator[Path]:
    """A folder with `pachctl`, to be shown to a worker as `calls.BIN`, which works until the block ends; then no call is left.

    `client` and `whole` are the commands that start, in there, the program of pachctl.py and that of the command line.
    """
    folder, calls = own / "bin", own / "calls"
    folder.mkdir()
    calls.mkdir(mode=0o700)
    script = folder / "pachctl"
    script.write_text(_SCRIPT.format(client=shlex.join(client), whole=shlex.join(whole)))
    script.chmod(0o755)
    server = PachctlServer(_listen(folder), pachctl, calls)
    try:
        yield folder
    finally:
        server.close()


class PachctlServer:
    """Starts a process for each connection, and ends those that are left. `folder` is for what they need for their calls."""

    def __init__(self, listener: socket.socket, pachctl: Pachctl, folder: Path) -> None:
        self._listener, self._pachctl, self._folder = listener, pachctl, folder
        self._free = threading.Semaphore(_MOST_CALLS)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="calls of pachctl", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a mere close would not end `accept`
        self._thread.join()
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            self._free.acquire()
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                self._free.release()
                continue
            with connection:
                process = self._start(connection)
            if process is None:
                self._free.release()
                continue
            thread = threading.Thread(target=self._see_off, args=process, daemon=True)
            self._threads.add(thread)
            thread.start()

    def _start(self, connection: socket.socket) -> tuple[subprocess.Popen[bytes], Path] | None:
        """The process for a call and its folder; None if there can be none: the caller finds its connection closed."""
        with self._lock, contextlib.suppress(OSError):
            if not self._closed:
                folder = Path(tempfile.mkdtemp(dir=self._folder))
                process = subprocess.Popen(
                    self._pachctl.answer,
                    stdin=connection.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **self._pachctl.env},
                    cwd=folder,
                    start_new_session=True,  # Ctrl-C in the engine's terminal is for the engine
                )
                self._running.add(process)
                return process, folder
        return None

    def _see_off(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        process.wait()
        with self._lock:
            self._running.discard(process)
        with contextlib.suppress(OSError):
            beneath.remove(folder)
        self._threads.discard(threading.current_thread())
        self._free.release()


def _listen(folder: Path) -> socket.socket:
    """Listen on a socket in a folder, named from the folder, as its whole path may be too long for a socket."""
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        name = os.path.basename(SOCKET)
        listener.bind(f"/proc/self/fd/{descriptor}/{name}")
        os.chmod(folder / name, 0o666)
        listener.listen(_MOST_CALLS)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(descriptor)
    return listener
