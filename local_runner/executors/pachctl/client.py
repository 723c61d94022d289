"""The program `pachctl` inside a sandbox or a container: it sends the command to the runner, and the files that this needs.

It runs as user code does, and sees what user code sees; it is started without site and environment, in 30 ms.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from local_runner.executors.pachctl.frames import CHUNK, SOCKET, ConnectionClosed, receive, send

_UNAVAILABLE, _BROKEN_PIPE = 5, 141  # exit statuses, as in errors.py and of shells


def main(path: str = SOCKET) -> NoReturn:
    """Be `pachctl`, with the words in sys.argv; ends this process."""
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(path)
        send(line, b"a", b"\0".join(map(os.fsencode, sys.argv[1:])))
        status = _Call(line).serve()
    except ConnectionClosed:
        status = _fail("the runner ended this call", _UNAVAILABLE)
    except BrokenPipeError:
        status = _BROKEN_PIPE
    except OSError as why:
        status = _fail(f"the runner of this worker cannot be reached: {why.strerror}", _UNAVAILABLE)
    os._exit(status)  # also while a thread reads standard input


class _Call:
    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._sending = threading.Lock()

    def serve(self) -> int:
        """Do what the runner asks for until it says how the call ended."""
        failed = 0
        while True:
            kind, data = receive(self._line)
            if kind in (b"1", b"2"):
                _write(int(kind), data)
            elif kind == b"i":
                threading.Thread(target=self._send_input, daemon=True).start()
            elif kind in (b"w", b"W"):
                self._send_files(os.fsdecode(data), recursive=kind == b"W")
            elif kind == b"o":
                failed = self._take_files(os.fsdecode(data)) or failed
            elif kind == b"s":
                return failed or int(data)

    def _send(self, kind: bytes, data: bytes = b"") -> None:
        with self._sending:
            send(self._line, kind, data)

    def _send_input(self) -> None:
        try:
            while data := os.read(0, CHUNK):
                self._send(b"i", data)
            self._send(b"I")
        except (ConnectionClosed, OSError):
            return

    def _send_files(self, path: str, *, recursive: bool) -> None:
        try:
            for name, file in _files(path, recursive=recursive):
                with open(file, "rb", buffering=0) as content:
                    self._send(b"f", os.fsencode(name))
                    while data := content.read(CHUNK):
                        self._send(b"d", data)
        except (OSError, ValueError) as why:
            self._send(b"x", f"{getattr(why, 'errno', 0) or 0} {getattr(why, 'strerror', None) or why}".encode())
        self._send(b"z")

    def _take_files(self, path: str) -> int:
        """Write what the runner sends; returns the exit status if that cannot be done, and takes all of it even so."""
        status, file = 0, -1
        while True:
            kind, data = receive(self._line)
            if kind != b"d" and file >= 0:
                os.close(file)
                file = -1
            if kind == b"z":
                return status
            try:
                target = os.path.join(path, os.fsdecode(data)) if data else path
                if kind == b"m" and not status:
                    os.makedirs(target, exist_ok=True)
                elif kind == b"f" and not status:
                    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
                elif kind == b"d" and file >= 0:
                    _write(file, data)
            except OSError as why:
                status = _fail(f"{(why.strerror or str(why)).lower()}: {path}", _UNAVAILABLE)


def _files(path: str, *, recursive: bool) -> Iterator[tuple[str, str]]:
    """A file, or all files in a folder by name, as (name below `path`, path). Raises OSError."""
    if not recursive or not os.path.isdir(path):
        yield "", path
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            if not stat.S_ISREG(os.stat(file).st_mode):
                raise OSError(errno.EINVAL, "is no regular file", file)
            yield os.path.relpath(file, path), file


def _raise(why: OSError) -> None:
    raise why


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _fail(what: str, status: int) -> int:
    print(f"pachctl: {what}", file=sys.stderr, flush=True)
    return status
