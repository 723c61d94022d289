"""Datum batching: user code that stays up asks its worker for one datum after the other (reference pps 2.8).

The calls come to an attendant, a process beside the engine (attendant.py); this is the engine's end of it.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from local_runner.engine.worker_protos import LOOPBACK, METHOD, SERVICE, messages, next_datum_response
from local_runner.errors import Refused, Unavailable
from local_runner.executors.base import unlaid
from local_runner.executors.messages import CHUNK, pack, unpack
from local_runner.executors.tree import Left, Tree

_START = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[1])
from local_runner.engine.attendant import main
main(socket.socket(fileno=0))
"""


class Call(NamedTuple):
    """A NextDatum that waits for its answer; `error` tells how the datum before it went ("" is well), `left` what it left."""

    number: int
    error: str
    left: Left


class Attendants:
    """Where attendants come from: a process that has gRPC imported. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Get ready, without waiting: importing gRPC takes 0.1 s that the first worker would need. Idempotent."""
        with self._lock:
            if self._process is not None:
                return
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START, json.dumps(sys.path)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C in the engine's terminal is for the engine
                )

    def hire(self) -> Attendant:
        """An attendant with a port. Raises `Unavailable`."""
        self.start()
        assert self._socket is not None
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._socket, [b"+"], [theirs.fileno()])
            except OSError as why:
                ours.close()
                raise _gone() from why
        try:
            return Attendant(ours)
        except OSError as why:
            raise Unavailable(f"no port on the loopback interface: {why.strerror}", hint="datum batching needs one on 127.0.0.1") from why

    def close(self) -> None:
        """End the process, whatever it is at; attendants end with their own sockets."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Attendant:
    """The one who answers one worker's processes. Not safe for several threads, except `wake`."""

    def __init__(self, attendant: socket.socket) -> None:
        self._socket = attendant
        self._received = bytearray()
        self._messages: deque[Any] = deque()
        self._wake, self._waker = os.pipe()
        self._poll = select.poll()
        self._poll.register(attendant, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        # Held until the attendant has it as well: so the worker can be set up while gRPC is still being imported.
        self._reservation: socket.socket | None = socket.socket()
        try:
            self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._reservation.bind((LOOPBACK, 0))
            self.port: int = self._reservation.getsockname()[1]
            self._tell("bind", self.port)
        except (OSError, Unavailable):
            self.close()
            raise

    def close(self) -> None:
        self._let_go()
        self._socket.close()
        os.close(self._wake)
        os.close(self._waker)

    def settle(self, pfs: Path, scratch: Path, root: str, owner: tuple[int, int] | None) -> None:
        """Where to lay out datums: `pfs` and `scratch` are folders here, `root` is what user code calls `pfs`, `owner` who it runs as."""
        self._tell("settle", str(pfs), str(scratch), root, owner)

    def listen(self) -> None:
        """Take calls from now on. Raises `Unavailable` if the port cannot be listened on."""
        if self._reservation is not None:
            if self._receive() != self.port:
                raise Unavailable("cannot listen on the loopback interface", hint="datum batching needs a free port on 127.0.0.1")
            self._let_go()
        self._tell("listen")

    def _let_go(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def deafen(self) -> None:
        """Refuse calls from now on; those that wait, or are on their way, are dropped."""
        if self._reservation is not None:
            return  # it never listened
        self._tell("deafen")
        while self._receive()[0] != "deaf":
            pass

    def look(self) -> Left:
        """What was left of the datum that is laid out."""
        self._tell("look")
        while (message := self._receive())[0] != "left":
            pass
        return Left(*message[1])

    def answer(self, call: Call, tree: Tree, env: Sequence[str]) -> None:
        """Lay out a datum and give it to the caller; that the tree could not be laid out, the next `next_call` says."""
        self._tell("answer", call.number, tuple(tree), next_datum_response(env))

    def next_call(self, timeout: float | None) -> Call | None:
        """The next call; None when there was none in `timeout` seconds, or somebody called `wake`. Raises `Unavailable`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._messages:
            patience = None if deadline is None else max(deadline - time.monotonic(), 0) * 1000
            ready = [descriptor for descriptor, _ in self._poll.poll(patience)]
            if self._wake in ready:
                os.read(self._wake, CHUNK)
                return None
            if not ready:
                return None
            self._read()
        verb, *details = self._messages.popleft()
        if verb == "unlaid":
            raise unlaid(details[0])
        number, error, left = details
        return Call(number, error, Left(*left))

    def wake(self) -> None:
        """End the present or the next `next_call`."""
        os.write(self._waker, b"+")

    def _tell(self, *message: object) -> None:
        try:
            self._socket.sendall(pack(message))
        except OSError as why:
            raise _gone() from why

    def _receive(self) -> Any:
        while not self._messages:
            self._read()
        return self._messages.popleft()

    def _read(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except OSError as why:
            raise _gone() from why
        if not data:
            raise _gone()
        self._received += data
        self._messages += unpack(self._received)


def _gone() -> Unavailable:
    return Unavailable("the process that answers NextDatum ended unexpectedly", hint="was it killed, or is memory short?")


def next_datum(port: int, error: str = "") -> list[str]:
    """Ask a worker for the next datum, as user code does; returns its environment. Raises `Refused`."""
    import grpc

    request, response = messages()
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/{METHOD}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        try:
            return list(call(request(error=error)).env)
        except grpc.RpcError as failed:
            raise Refused(f"error from next datum: {failed.details()}") from None
