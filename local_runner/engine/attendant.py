"""The program that answers NextDatum beside the engine: a process for each worker that batches, which also lays out its datums.

In the engine, one interpreter for all workers, a call would take 0.4 ms of gRPC and 0.3 ms of files, one worker after the other.
gRPC is imported once, in a process that does nothing else, and each attendant forked from it (a process may fork after the import,
not after the first use).

Messages go as those of executors/messages.py: marshalled tuples after their length.

    to an attendant    ("bind", port): first · ("settle", pfs, scratch, root, owner) · ("listen",) · ("deafen",) · ("look",)
                       ("answer", call, tree, response)
    from an attendant  port, or 0 if it cannot be had: first · ("call", call, error, what is left) · ("deaf",) · ("left", what)
                       ("unlaid", why)
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local_runner.engine.worker_protos import LOOPBACK, METHOD, SERVICE, messages
from local_runner.executors.messages import CHUNK, describe, pack, unpack
from local_runner.executors.tree import Place, Tree


class Attendant:
    """Serves NextDatum to one worker's processes on a port of its own, loopback only."""

    def __init__(self, engine: socket.socket) -> None:
        import grpc

        self._engine = engine
        self._telling = threading.Lock()
        self._calling = threading.Lock()
        self._listening = False
        self._calls: dict[int, queue.SimpleQueue[bytes | None]] = {}
        self._last_call = 0
        self._place = Place("", "", "")
        self._failed = grpc.StatusCode.UNKNOWN
        request, _ = messages()
        # Two threads: one call may still be ending while the next process makes its first.
        self._server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 1)])
        # What goes back are bytes that the engine has made.
        handler = grpc.unary_unary_rpc_method_handler(self._next_datum, request_deserializer=request.FromString)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))

    def serve(self) -> None:
        """Do as the engine says until it closes its end."""
        received = bytearray()
        while data := self._engine.recv(CHUNK):
            received += data
            for message in unpack(received):
                self._obey(*message)

    def _obey(self, verb: str, *details: Any) -> None:
        if verb == "answer":
            self._answer(*details)
        elif verb == "look":
            self._tell(("left", tuple(self._place.look())))
        elif verb == "listen":
            self._listening = True
        elif verb == "deafen":
            self._deafen()
        elif verb == "bind":
            self._bind(*details)
        else:
            self._settle(*details)

    def _bind(self, port: int) -> None:
        """Take the port that the engine holds; nobody listens on it yet."""
        try:
            bound = self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        except RuntimeError:
            bound = 0
        self._server.start()
        self._tell(bound)

    def _settle(self, pfs: str, scratch: str, root: str, owner: tuple[int, int] | None) -> None:
        self._place = Place(pfs, root, scratch)
        os.umask(0o022)
        if owner:
            user, group = owner
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)

    def _answer(self, call: int, tree: Sequence[Any], response: bytes) -> None:
        try:
            # The process that asks is the one that had the datum before.
            self._place.lay(Tree(*tree), reuse=True, held=True)
        except OSError as why:
            self._tell(("unlaid", describe(why)))
            return
        if waiting := self._calls.pop(call, None):
            waiting.put(response)

    def _deafen(self) -> None:
        """Refuse calls from now on, and drop those that wait: their process is gone, or about to be."""
        with self._calling:
            self._listening = False
            dropped, self._calls = self._calls, {}
        for waiting in dropped.values():
            waiting.put(None)
        self._tell(("deaf",))

    def _next_datum(self, request: Any, context: Any) -> bytes:
        """In a thread of gRPC's."""
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self._calling:
            if listening := self._listening:
                self._last_call += 1
                self._calls[self._last_call] = waiting
                self._tell(("call", self._last_call, request.error, tuple(self._place.look())))
        if not listening:
            context.abort(self._failed, "datum batching not enabled")
        # The process may die while it waits: then nobody is left to answer.
        context.add_callback(lambda: waiting.put(None))
        response = waiting.get()
        if response is None:
            context.abort(self._failed, "this process has no more datums")
        assert response is not None
        return response

    def _tell(self, message: object) -> None:
        with self._telling:
            self._engine.sendall(pack(message))


def main(engine: socket.socket) -> None:
    """Fork an attendant for each socket that comes through this one, until it is closed."""
    import grpc  # noqa: F401  # for the children

    messages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which then closes the sockets
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for an attendant
    while True:
        data, descriptors, _, _ = socket.recv_fds(engine, 1, 1)
        if not data:
            return
        theirs = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            engine.close()
            try:
                Attendant(theirs).serve()
            finally:
                os._exit(0)  # gRPC's threads do not matter to anybody now
        theirs.close()
