"""Datum batching: user code that stays up asks its worker for one datum after the other (reference pps 2.8).

The calls come to a process beside the engine, one for each worker that batches (server.py); this is the engine's end of it.
"""

from __future__ import annotations

import contextlib
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
from typing import Any, NamedTuple

from local_runner.engine.batching.protos import LOOPBACK, METHOD, SERVICE, messages, next_datum_response
from local_runner.errors import Refused, Unavailable, WorkerLost
from local_runner.executors.base import Worker, unlaid
from local_runner.executors.launcher.messages import CHUNK, pack, unpack
from local_runner.executors.launcher.tree import Tree, TreeChanges

# Bytes of datums that are sent ahead: less than a socket holds, as the other end may not read.
_MOST_AHEAD = 32 * 1024

_START = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[1])
from local_runner.engine.batching.server import main
main(socket.socket(fileno=0))
"""


class NextDatumCall(NamedTuple):
    """A call of NextDatum; `error` says how the datum before it failed ("" if it did not), `left` what it left.

    It waits for its answer unless it was `given` the first datum sent; that was at `moment` of the monotonic clock.
    """

    error: str
    left: TreeChanges
    given: bool
    moment: float


class NextDatumServers:
    """Starts NextDatum servers, by a process that has gRPC imported. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Get ready, without waiting: importing gRPC takes 0.1 s that the first worker would need. Idempotent.

        One that died is followed by another.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._end()
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START, json.dumps(sys.path)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C in the engine's terminal is for the engine
                )

    def open(self) -> NextDatumClient:
        """Start a server for one worker, on a port of its own. Raises `Unavailable`."""
        orders, calls = self._sockets()
        try:
            return NextDatumClient(orders, calls)
        except OSError as why:
            raise Unavailable(f"no port on the loopback interface: {why.strerror}", hint="datum batching needs one on 127.0.0.1") from why

    def _sockets(self) -> tuple[socket.socket, socket.socket]:
        self.start()
        (orders, their_orders), (calls, their_calls) = socket.socketpair(), socket.socketpair()
        with their_orders, their_calls, self._lock:
            assert self._socket is not None
            try:
                socket.send_fds(self._socket, [b"+"], [their_orders.fileno(), their_calls.fileno()])
            except OSError as why:
                orders.close()
                calls.close()
                self._end()  # it is dying, if not dead: the next worker gets another
                raise _gone() from why
        return orders, calls

    def close(self) -> None:
        """End the process at once; the servers it started end with their own sockets."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None


class _Line:
    """A socket with messages in both directions. Raises `Unavailable` when the other end is gone."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._received = bytearray()
        self.messages: deque[Any] = deque()

    def tell(self, message: object) -> int:
        """Returns how many bytes that took."""
        data = pack(message)
        try:
            self.socket.sendall(data)
        except OSError as why:
            raise _gone() from why
        return len(data)

    def read(self) -> None:
        """Take in what has come; wait if there is nothing."""
        try:
            data = self.socket.recv(CHUNK)
        except OSError as why:
            raise _gone() from why
        if not data:
            raise _gone()
        self._received += data
        self.messages += unpack(self._received)

    def receive(self) -> Any:
        while not self.messages:
            self.read()
        return self.messages.popleft()


class NextDatumClient:
    """The engine's end of the server that answers one worker's processes. Not safe for several threads, except `wake`."""

    def __init__(self, orders: socket.socket, calls: socket.socket) -> None:
        self._orders, self._calls = _Line(orders), _Line(calls)
        self._asked = False  # a call waits
        self._is_elsewhere = False  # the server is on another machine, whose clock says nothing here
        self._on_their_way: deque[int] = deque()  # sizes of the datums sent
        self._wake, self._waker = os.pipe()
        self._waking = threading.Lock()
        self._poll = select.poll()
        self._poll.register(calls, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        # Held until the server has it as well: so the worker can be set up while gRPC is still being imported.
        self._reservation: socket.socket | None = socket.socket()
        self._inside = 0  # a process of the worker, if it has namespaces of its own
        try:
            self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._reservation.bind((LOOPBACK, 0))
            self.port: int = self._reservation.getsockname()[1]
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._let_go()
        self._orders.socket.close()
        self._calls.socket.close()
        with self._waking:
            os.close(self._wake)
            os.close(self._waker)
            self._waker = -1

    def attach(self, worker: Worker) -> None:
        """Set the worker to serve; to be called before `listen`. Raises `Unavailable` for one elsewhere that is lost."""
        if there := worker.serve(_START, self.port):
            self._is_elsewhere = True
            self._poll.unregister(self._calls.socket)
            for line in (self._orders, self._calls):
                line.socket.close()  # the server that was started here ends
            self._orders, self._calls = map(_Line, there)
            self._poll.register(self._calls.socket, select.POLLIN)
            return
        self._inside = worker.inside
        with contextlib.suppress(OSError):  # `listen` says that it is gone
            socket.send_fds(self._orders.socket, [pack(("attach", worker.inside, self.port))], [worker.datums.fileno()])

    def listen(self) -> None:
        """Take calls from now on. Raises `Unavailable` if the port cannot be listened on, `WorkerLost` if its worker is gone."""
        if self._reservation is not None:
            if why_not := self._orders.receive():
                if self._inside and not os.path.exists(f"/proc/{self._inside}/ns/net"):
                    raise _gone()
                raise Unavailable(f"NextDatum cannot be answered: {why_not}", hint="datum batching needs a free port on 127.0.0.1")
            self._let_go()
        self._orders.tell(("listen",))

    def _let_go(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def pause(self) -> bool:
        """Refuse calls from now on, and drop one that waits: its process is gone, or about to be. Datums that were sent are forgotten.

        Returns True if a datum sent ahead had already been handed out; its output must be discarded.
        """
        if self._reservation is not None:
            return False  # it never listened
        self._orders.tell(("pause",))
        given = False
        while (message := self._calls.receive())[0] != "paused":
            given = self._note(*message).given or given
        if self._asked:
            self._decide("drop")
        self._on_their_way.clear()
        self._calls.tell(("forget",))
        return given

    def offer(self, tree: Tree, env: Sequence[str]) -> bool:
        """Send a datum ahead of its turn; False if there are enough of them, or it is too large."""
        if sum(self._on_their_way) + sum(len(content) for _, content in tree.files) > _MOST_AHEAD:
            return False
        self.send(tree, env)
        return True

    def send(self, tree: Tree, env: Sequence[str]) -> None:
        """Send the datum to be handed out next; if its tree cannot be laid out, `next_call` raises.

        May wait until the one before is taken: for a call that waits.
        """
        self._on_their_way.append(self._calls.tell(("datum", tuple(tree), next_datum_response(env))))

    def go(self) -> None:
        """Give the call that waits the first datum."""
        self._on_their_way.popleft()
        self._decide("go")

    def _decide(self, verdict: str) -> None:
        self._asked = False
        self._calls.tell((verdict,))

    def next_call(self, timeout: float | None) -> NextDatumCall | None:
        """Wait for the next call; None after `timeout` seconds or if `wake` was called. Raises `Unavailable`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._calls.messages:
            patience = None if deadline is None else max(deadline - time.monotonic(), 0) * 1000
            ready = [descriptor for descriptor, _ in self._poll.poll(patience)]
            if self._wake in ready:
                os.read(self._wake, CHUNK)
                return None
            if not ready:
                return None
            self._calls.read()
        return self._note(*self._calls.messages.popleft())

    def _note(self, verb: str, *details: Any) -> NextDatumCall:
        if verb == "unlaid":
            raise unlaid(details[0])
        error, left, given, moment = details
        if given:
            self._on_their_way.popleft()
        else:
            self._asked = True
        return NextDatumCall(error, TreeChanges(*left), given, time.monotonic() if self._is_elsewhere else moment)

    def wake(self) -> None:
        """End the present or the next `next_call`; also after `close`."""
        with self._waking:
            if self._waker >= 0:
                os.write(self._waker, b"+")


def _gone() -> WorkerLost:
    return WorkerLost("the process that answers NextDatum ended unexpectedly", hint="was it killed, or is memory short?")


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
