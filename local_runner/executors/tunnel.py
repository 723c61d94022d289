"""Carries the sockets of a launcher into a container and back, over the standard input and output of the engine's `run -i`.

That way works with every engine, rootless or not, and without a network. Ports of the container's loopback interface are carried
too: connections made to one inside are made to the same port outside (datum batching, reference pps 2.8; S3). The number of a stream
says which: they go round the ports.

Both ends are programs that need the standard library only. A frame is a stream's number and a length, each in four bytes, and that
many bytes; none end the stream. 0 to 2 are the launcher's sockets, the rest are connections.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence

_CONTROL, _TREES, _DATUMS, _FIRST_CONNECTION = 0, 1, 2, 3
_CHUNK = 1 << 16
_HEADER = struct.Struct(">II")
_LOOPBACK = "127.0.0.1"
_PATIENCE = 5.0  # seconds a container has to end by itself
_LONGEST_REASON = 2000


class Tunnel:
    """One end. `reads` and `writes` are descriptors; a frame for a stream that is not known opens a connection to one of `ports`.

    There is a thread for each stream: with blocking writes on both sides, one loop for all of them could wait for itself.
    """

    def __init__(self, reads: int, writes: int, ports: Sequence[int] = ()) -> None:
        self._reads, self._writes, self._ports = reads, writes, ports
        self._sending, self._ending = threading.Lock(), threading.Lock()
        self._streams: dict[int, socket.socket] = {}
        self._half_closed: set[int] = set()

    def join(self, number: int, stream: socket.socket, ended: Callable[[], None] = lambda: None) -> threading.Thread:
        """Carry a stream; `ended` is called when this side of it is over, and then the thread ends."""
        self._streams[number] = stream
        thread = threading.Thread(target=self._collect, args=(number, stream, ended), daemon=True)
        thread.start()
        return thread

    def listen(self) -> None:
        """Carry what connects to the ports on this side."""
        for place, port in enumerate(self._ports):
            server = socket.create_server((_LOOPBACK, port))
            threading.Thread(target=self._accept, args=(server, _FIRST_CONNECTION + place), daemon=True).start()

    def deliver(self) -> bool:
        """Pass frames on to their streams until the other end is gone; returns whether any came."""
        anything = False
        while header := self._read(_HEADER.size):
            number, length = _HEADER.unpack(header)
            data = self._read(length) if length else b""
            anything = True
            stream = self._streams.get(number) or self._connect(number)
            if stream is None:
                continue
            with contextlib.suppress(OSError):  # the other end was closed
                if data:
                    stream.sendall(data)
                else:
                    stream.shutdown(socket.SHUT_WR)
            if not data:
                self._end(number)
        return anything

    def serve(self) -> None:
        """Pass frames on until the other end is gone, then end every stream."""
        self.deliver()
        self.hang_up()

    def hang_up(self) -> None:
        """End every stream on this side."""
        for stream in list(self._streams.values()):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)

    def _collect(self, number: int, stream: socket.socket, ended: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            while data := stream.recv(_CHUNK):
                self._send(number, data)
        with contextlib.suppress(OSError):
            self._send(number, b"")
        self._end(number)
        ended()

    def _end(self, number: int) -> None:
        """One direction of a stream is over; with the second it is closed."""
        with self._ending:
            if number not in self._half_closed:
                self._half_closed.add(number)
                return
            self._half_closed.remove(number)
            stream = self._streams.pop(number, None)
        if stream:
            stream.close()

    def _accept(self, server: socket.socket, number: int) -> None:
        while True:
            connection, _ = server.accept()
            self.join(number, connection)
            number += len(self._ports)

    def _connect(self, number: int) -> socket.socket | None:
        try:
            connection = socket.create_connection((_LOOPBACK, self._ports[(number - _FIRST_CONNECTION) % len(self._ports)]))
        except (OSError, ZeroDivisionError):  # nobody listens, or there is no port at all
            with contextlib.suppress(OSError):
                self._send(number, b"")
            return None
        self.join(number, connection)
        return connection

    def _send(self, number: int, data: bytes) -> None:
        frame = memoryview(_HEADER.pack(number, len(data)) + data)
        with self._sending:
            while frame:
                frame = frame[os.write(self._writes, frame) :]

    def _read(self, length: int) -> bytes:
        """So many bytes, or none at the end."""
        parts = []
        while length:
            part = os.read(self._reads, min(length, _CHUNK))
            if not part:
                return b""
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def inside(ports: Sequence[int], working_dir: str) -> None:
    """Be process 1 of a container, which nothing inside can end: a launcher, and threads that carry its sockets.

    Everything ends with it, and it when the other end is gone.
    """
    with contextlib.suppress(OSError):  # a command that cannot start there will say so
        os.makedirs(working_dir, exist_ok=True)
    (control, theirs), (trees, their_trees), (datums, their_datums) = (socket.socketpair() for _ in range(3))
    tunnel = Tunnel(os.dup(0), os.dup(1), ports)
    os.dup2(theirs.fileno(), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if ports:
        tunnel.listen()  # before the launcher can start what will ask
    words = tunnel.join(_CONTROL, control)
    tunnel.join(_TREES, trees)
    tunnel.join(_DATUMS, datums)
    threading.Thread(target=tunnel.serve, daemon=True).start()

    from local_runner.executors.launcher.main import main

    main(their_trees.detach(), their_datums.detach())
    theirs.shutdown(socket.SHUT_RDWR)
    words.join()  # until the last of them is on its way
    os._exit(0)


def outside(trees: int, datums: int, ports: Sequence[int], remove: list[str], run: list[str]) -> None:
    """Run a container with the command `run`, and carry its launcher's sockets to the other ends: standard input, `trees`, `datums`.

    It outlives an engine that was killed, and ends the container; one that does not end by itself, with the command `remove`.
    """
    import subprocess
    import tempfile

    from local_runner.executors.launcher.messages import pack

    control = socket.socket(fileno=os.dup(0))
    with tempfile.TemporaryFile() as said:
        container = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        assert container.stdin
        assert container.stdout
        tunnel = Tunnel(container.stdout.fileno(), container.stdin.fileno(), ports)

        def engine_gone() -> None:
            try:
                container.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                subprocess.run(remove, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

        tunnel.join(_CONTROL, control, ended=engine_gone)
        tunnel.join(_TREES, socket.socket(fileno=trees))
        tunnel.join(_DATUMS, socket.socket(fileno=datums))
        began = tunnel.deliver()
        container.wait()
        if not began:
            said.seek(0)
            reason = said.read().decode(errors="replace").strip()[-_LONGEST_REASON:]
            with contextlib.suppress(OSError):
                control.sendall(pack(("broken", reason or f"it ended with status {container.returncode}")))
    tunnel.hang_up()
    os._exit(0)
