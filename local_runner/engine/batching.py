"""Datum batching: user code that stays up asks its worker for one datum after the other (reference pps 2.8)."""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local_runner.engine.worker_protos import METHOD, SERVICE, messages
from local_runner.errors import Refused, Unavailable

_LOOPBACK = "127.0.0.1"


class Call:
    """A NextDatum that waits for its answer; `error` tells how the datum before it went ("" is well)."""

    def __init__(self, error: str) -> None:
        self.error = error
        self._answer: queue.SimpleQueue[Sequence[str] | None] = queue.SimpleQueue()

    def answer(self, env: Sequence[str]) -> None:
        """Give the caller its next datum."""
        self._answer.put(env)

    def drop(self) -> None:
        """End the call without an answer: its process is gone, or about to be."""
        self._answer.put(None)

    def wait(self) -> Sequence[str] | None:
        return self._answer.get()


class NextDatumServer:
    """Serves NextDatum to one worker's processes on a port of its own, loopback only. Calls are put where `listen` said."""

    def __init__(self) -> None:
        import grpc  # 70 ms, for pipelines that batch only

        self._sink: queue.SimpleQueue[Any] | None = None
        self._lock = threading.Lock()
        self._waiting: set[Call] = set()
        request, response = messages()
        # Two threads: one call may still be ending while the next process makes its first.
        self._server = grpc.server(ThreadPoolExecutor(2, thread_name_prefix="next-datum"), options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(
            self._next_datum, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        self._response = response
        self._failed = grpc.StatusCode.UNKNOWN
        self.port: int = self._server.add_insecure_port(f"{_LOOPBACK}:0")
        if not self.port:
            raise Unavailable("cannot listen on the loopback interface", hint="datum batching needs a free port on 127.0.0.1")
        self._server.start()

    def listen(self, sink: queue.SimpleQueue[Any] | None) -> None:
        """From now on put calls into this queue; None refuses them. Calls that still wait are dropped."""
        with self._lock:
            self._sink = sink
            dropped, self._waiting = self._waiting, set()
        for call in dropped:
            call.drop()

    def _next_datum(self, request: Any, context: Any) -> Any:
        call = Call(request.error)
        with self._lock:
            sink = self._sink
            if sink is not None:
                self._waiting.add(call)
                # The process may die while it waits: then nobody is left to answer.
                context.add_callback(call.drop)
                sink.put(call)
        if sink is None:
            context.abort(self._failed, "datum batching not enabled")
        env = call.wait()
        with self._lock:
            self._waiting.discard(call)
        if env is None:
            context.abort(self._failed, "this process has no more datums")
        return self._response(env=env)

    def close(self) -> None:
        self.listen(None)
        self._server.stop(None).wait()


def prefetch() -> None:
    """Load gRPC in a thread, while whoever calls this waits for other things; 70 ms that the first batching worker would need."""
    threading.Thread(target=importlib.import_module, args=("grpc",), name="prefetch gRPC", daemon=True).start()


def next_datum(port: int, error: str = "") -> list[str]:
    """Ask a worker for the next datum, as user code does; returns its environment. Raises `Refused`."""
    import grpc

    request, response = messages()
    with grpc.insecure_channel(f"{_LOOPBACK}:{port}") as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/{METHOD}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        try:
            return list(call(request(error=error)).env)
        except grpc.RpcError as failed:
            raise Refused(f"error from next datum: {failed.details()}") from None
