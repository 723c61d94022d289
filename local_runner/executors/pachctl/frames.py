"""The protocol of `pachctl` between a worker and the runner: frames on a connection of the worker's own socket.

A frame is a letter, a length in four bytes, and that many bytes. The end inside opens whatever user code names, where user code may;
the end outside never sees more of it than its contents.

    from inside   a: what was typed, with null bytes between the words; then, when asked for, i: of standard input, I: its end
                  f: the name of a file below the one asked for ("" itself), d: of its content, x: why it cannot be had, z: that is all
    from outside  w: a file is wanted, by its name as typed, W: or a folder with all below · i: standard input is wanted
                  1, 2: for standard output and error · o: a file or folder to be written, by its name as typed, then m: a folder below it,
                  f and d as above, z · s: the exit status, which ends the call
"""

from __future__ import annotations

import socket
import struct

BIN = "/pach-bin"  # where a cluster has its programs for user code (reference pps 3.2)
SOCKET = f"{BIN}/.runner"
CHUNK = 1 << 16

_HEADER = struct.Struct(">cI")
_LARGEST = 1 << 22  # what was typed may take 2 MiB


class ConnectionClosed(Exception):
    """The other end closed the connection, or broke the protocol."""


def send(line: socket.socket, kind: bytes, data: bytes = b"") -> None:
    """Send a frame; not from several threads at once. Raises `ConnectionClosed`."""
    try:
        line.sendall(_HEADER.pack(kind, len(data)) + data)
    except OSError:
        raise ConnectionClosed from None


def receive(line: socket.socket) -> tuple[bytes, bytes]:
    """Receive a frame: its letter and its content. Raises `ConnectionClosed`."""
    kind, length = _HEADER.unpack(_read(line, _HEADER.size))
    if length > _LARGEST:
        raise ConnectionClosed
    return kind, _read(line, length)


def _read(line: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        try:
            part = line.recv(min(length, CHUNK))
        except OSError:
            raise ConnectionClosed from None
        if not part:
            raise ConnectionClosed
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
