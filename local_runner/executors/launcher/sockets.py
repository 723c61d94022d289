"""Writes to the launcher's sockets. Imports next to nothing, as the launcher imports it."""

from __future__ import annotations

import os
import sys


class EngineGone(Exception):
    """Raised when the engine closed its end of the socket, or died."""


def write(control: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(control, view) :]
    except (BrokenPipeError, ConnectionResetError):
        raise EngineGone from None


def hand_over(line: int, data: bytes, file: int) -> None:
    """Write, and let an open file go with it."""
    import _socket  # only for large files

    end = _socket.socket(fileno=line)
    try:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, file.to_bytes(4, sys.byteorder))]
        sent = end.sendmsg([data], rights)
    except (BrokenPipeError, ConnectionResetError):
        raise EngineGone from None
    finally:
        end.detach()
    write(line, data[sent:])
