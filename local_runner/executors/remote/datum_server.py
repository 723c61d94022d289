"""The server of NextDatum beside a worker on another machine, and the lines between it and the engine, through questions and answers."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from local_runner.errors import Unavailable
from local_runner.executors.launcher.messages import pack

_BYTES = 1 << 18
ORDERS, CALLS = 0, 1


class DatumServer:
    """The server as a process of the worker's machine. `pull` and `push` are for one thread of each line."""

    def __init__(self, program: str, inside: int, port: int, datums: socket.socket) -> None:
        """Start it, and set it to serve a worker: `inside` and `datums` are as in `Worker`."""
        pairs = [socket.socketpair() for _ in range(3)]
        self._lines = [pair[0] for pair in pairs[:2]]
        self._control = pairs[2][0]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, json.dumps(sys.path)],
                stdin=pairs[2][1].fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            socket.send_fds(self._control, [b"+"], [pair[1].fileno() for pair in pairs[:2]])
            socket.send_fds(self._lines[ORDERS], [pack(("attach", inside, port))], [datums.fileno()])
        finally:
            for pair in pairs:
                pair[1].close()

    def pull(self, line: int, patience: float) -> bytes | None:
        """What came on a line, b"" if nothing did in time, None if it is at its end."""
        end = self._lines[line]
        if not select.select([end], [], [], patience)[0]:
            return b""
        return end.recv(_BYTES) or None

    def push(self, line: int, data: bytes) -> None:
        self._lines[line].sendall(data)

    def close(self) -> None:
        """End it, and whoever waits for a line."""
        for end in self._lines:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._control.close()
        self._process.kill()
        self._process.wait()


class DatumLine:
    """A line to that server as a socket of the engine's: `end` is the engine's end of it."""

    def __init__(self, pull: Callable[[], Any], push: Callable[[bytes], Any]) -> None:
        self.end, self._ours = socket.socketpair()
        self._pull, self._push = pull, push
        self._upward = threading.Thread(target=self._up, name="a line to a server of NextDatum", daemon=True)
        self._upward.start()
        threading.Thread(target=self._down, name="a line from a server of NextDatum", daemon=True).start()

    def close(self) -> None:
        """End it; the engine's end is the engine's to close."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    def _down(self) -> None:
        with contextlib.suppress(Unavailable, OSError):
            while (data := self._pull()) is not None:
                self._ours.sendall(data)
        self.close()
        self._upward.join()
        self._ours.close()

    def _up(self) -> None:
        with contextlib.suppress(Unavailable, OSError):
            while data := self._ours.recv(_BYTES):
                self._push(data)
        self.close()
