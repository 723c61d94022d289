"""The program that answers NextDatum: a process for each worker that batches, beside the engine.

In the engine, one interpreter for all workers, a call would take 0.4 ms of gRPC, one worker after the other.
gRPC is imported once, in a process that does nothing else, and each server is forked from it (a process may fork after the import,
not after the first use).

Two sockets lead to the engine, so that a call is told and answered in the thread that gRPC has it in, without waking another.
Messages go as those of executors/launcher/messages.py: marshalled tuples after their length.

    orders, to a server    ("attach", inside, port): first, with a socket to ask the worker about trees · ("listen",) · ("pause",)
    orders, from a server  why the port cannot be had, or "": to "attach"
    calls, from a server   ("call", error, what is left, whether a datum was given, when) · ("unlaid", why): it could not be
                               ("paused",): to "pause"; no call comes after it
    calls, to a server     ("datum", tree, response) · ("go",): give the first of them to the call that waits
                               ("drop",): drop the call that waits · ("forget",): the datums that are here

Datums come ahead of their turn. One of them is given without asking if the datum before went well and left nothing that the engine
has to read first: then the engine learns of several at a time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local_runner.engine.batching.protos import LOOPBACK, METHOD, SERVICE, messages
from local_runner.executors.launcher.messages import CHUNK, describe, pack, unpack
from local_runner.executors.launcher.tree import TreeChanges


class NextDatumServer:
    """Serves NextDatum to one worker's processes on a port of its own, loopback only."""

    def __init__(self, orders: socket.socket, calls: socket.socket) -> None:
        self._orders, self._calls = orders, calls
        self._listening = False
        self._calling = threading.Lock()
        self._received = bytearray()
        self._ahead: deque[Any] = deque()
        self._verdict = ""

    def serve(self) -> None:
        """Do as the engine says until it closes its end."""
        received = bytearray()
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._orders, CHUNK, 1)
            if not data:
                return
            if descriptors:
                self._worker = socket.socket(fileno=descriptors[0])
            received += data
            for message in unpack(received):
                self._obey(*message)

    def _obey(self, verb: str, *details: Any) -> None:
        if verb == "listen":
            self._listening = True
        elif verb == "pause":
            with self._calling:
                self._listening = False
                self._tell(("paused",))
        else:
            self._report(self._attach(*details))

    def _attach(self, inside: int, port: int) -> str:
        """Enter the worker's namespaces and listen there; returns why that fails, "" if it does not."""
        try:
            if inside:
                from local_runner.executors.launcher.join import join_namespaces  # Linux only

                join_namespaces(inside)
            self._serve_calls(port)
        except (OSError, RuntimeError) as why:
            return describe(why)
        return ""

    def _serve_calls(self, port: int) -> None:
        """Have gRPC listen on a port; on the host's network it is one that the engine holds as well. Raises RuntimeError."""
        import grpc

        self._failed = grpc.StatusCode.UNKNOWN
        request, _ = messages()
        # One thread: calls come one after the other, and one that is dropped ends before the next begins.
        server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
        # What goes back are bytes that the engine has made.
        handler = grpc.unary_unary_rpc_method_handler(self._next_datum, request_deserializer=request.FromString)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        server.add_insecure_port(f"{LOOPBACK}:{port}")
        server.start()
        self._server = server

    def _report(self, message: object) -> None:
        self._orders.sendall(pack(message))

    def _next_datum(self, request: Any, context: Any) -> bytes:
        """Answer a call of NextDatum; runs in gRPC's thread."""
        with self._calling:
            if listening := self._listening:
                left = TreeChanges(*self._ask(("look",)))
                while self._hear(socket.MSG_DONTWAIT):
                    pass
                given = bool(self._ahead) and not (request.error or left.wrote or left.changed)
                response = self._lay() if given else None
                self._tell(("call", request.error, tuple(left), given, time.monotonic()))
        if not listening:
            context.abort(self._failed, "datum batching not enabled")
        if not given:
            response = self._wait()
        if response is None:
            context.abort(self._failed, "this process has no more datums")
        assert response is not None
        return response

    def _wait(self) -> bytes | None:
        """Wait for the engine's verdict on a call and return the response; None if the call is dropped or the engine is gone."""
        while not self._verdict:
            if not self._hear():
                return None
        verdict, self._verdict = self._verdict, ""
        return self._lay() if verdict == "go" else None

    def _hear(self, flags: int = 0) -> bool:
        """Take in messages of the engine about calls; returns False if there are none or the engine is gone."""
        try:
            data = self._calls.recv(CHUNK, flags)
        except BlockingIOError:
            return False
        self._received += data
        for verb, *details in unpack(self._received):
            if verb == "datum":
                self._ahead.append(details)
            elif verb == "forget":
                self._ahead.clear()
            else:
                self._verdict = verb
        return bool(data)

    def _lay(self) -> bytes | None:
        """Lay out the first datum sent ahead; returns the response for the call, None if it cannot be laid out."""
        tree, response = self._ahead.popleft()
        if why_not := self._ask(("lay", tree)):
            self._tell(("unlaid", why_not))
            return None
        return bytes(response)

    def _ask(self, question: object) -> Any:
        """The worker's answer to something about trees. Ends this process if the worker is gone."""
        received = bytearray()
        with contextlib.suppress(OSError):
            self._worker.sendall(pack(question))
            while data := self._worker.recv(CHUNK):
                received += data
                for answer in unpack(received):
                    return answer
        os._exit(1)  # the caller and the engine see the closed connections

    def _tell(self, message: object) -> None:
        self._calls.sendall(pack(message))


def main(engine: socket.socket) -> None:
    """Fork a server for each two sockets that come through this one, until it is closed."""
    # For the children. What gRPC imports only when it is used has to be there before: then packages may be out of sight.
    import grpc
    import grpc._server
    import grpc._utilities  # noqa: F401

    messages()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which then closes the sockets
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # servers are not waited for
    while True:
        data, descriptors, _, _ = socket.recv_fds(engine, 1, 2)
        if not data:
            return
        orders, calls = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        if os.fork() == 0:
            engine.close()
            try:
                NextDatumServer(orders, calls).serve()
            finally:
                os._exit(0)  # without waiting for gRPC's threads
        orders.close()
        calls.close()
