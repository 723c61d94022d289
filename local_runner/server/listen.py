"""The transport: handlers behind a gRPC server. The only file that knows gRPC."""

from __future__ import annotations

import hmac
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc

from local_runner.api.stop import Stop
from local_runner.errors import LocalRunnerError
from local_runner.runner import Runner
from local_runner.server.call import Call
from local_runner.server.schema import Method, message_class, methods, parse
from local_runner.server.table import handlers, refusal
from local_runner.server.threads import CallThreads

LOOPBACK = "127.0.0.1"
_LARGEST = 64 << 20  # bytes of a message; clients send 20 MiB at most
_LONGEST_TEXT = 1200  # characters of an error; each may take nine bytes on the wire
_MOST_CALLS = 512  # at once, those that wait included
_TRANSACTION, _TOKEN, _AGENT = "pach-transaction", "authn-token", "user-agent"
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # two servers on one port would each get half of the calls
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


# Asked for without a token, also by pachctl: whether it is well, and which version it is.
_FOR_ANYBODY = ("grpc.health.", "versionpb_v2.")


class Done(NamedTuple):
    """A call that is over: its path, the name of its code, how long it took, and what went wrong."""

    path: str
    code: str
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Beyond loopback with a token, which clients send as their session's, and a key and certificate for TLS."""

    host: str = LOOPBACK
    port: int = 0
    token: str = ""
    key: bytes = b""
    certificate: bytes = b""


class Server:
    """Answers calls on a home until it is stopped. `done` is told of every call that is over, from any thread."""

    def __init__(self, runner: Runner, address: Address, done: Callable[[Done], None] = lambda call: None) -> None:
        """Raises `OSError` if the port is taken."""
        self._threads = CallThreads(runner.close_thread)
        self._calls = _Calls(runner, address.token, done)
        self._server = grpc.server(self._threads, handlers=(self._calls,), options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        where = f"{address.host}:{address.port}"
        try:
            if address.key:
                credentials = grpc.ssl_server_credentials([(address.key, address.certificate)])
                self.port: int = self._server.add_secure_port(where, credentials)
            else:
                self.port = self._server.add_insecure_port(where)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {where}: {error}") from None
        if not self.port:
            raise OSError(f"cannot listen on {where}")

    def start(self) -> None:
        """Begin to answer, with all that is loaded on demand loaded: the first client is not to wait for it."""
        for method in methods().values():
            message_class(method.request)
        self._server.start()

    def offer(self, address_of: Callable[[str, str], str]) -> None:
        """Tell clients that ask where contents can be fetched; the function gives the address of a key of a bucket."""
        self._calls.address_of = address_of

    def stop(self, grace: float = 5.0) -> None:
        """Take no new calls, and end those that are under way after `grace` seconds."""
        self._server.stop(grace).wait()
        self._threads.shutdown()


class _Calls(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Finds the handler of a call. Messages are read and written here, so that what is wrong with them gets the right code."""

    def __init__(self, runner: Runner, token: str, done: Callable[[Done], None]) -> None:
        self._runner = runner
        self._token = token
        self._done = done
        self.address_of: Callable[[str, str], str] | None = None
        self._known: dict[str, Any] = {}

    def service(self, details: Any) -> Any:
        path = details.method.lstrip("/")
        known = self._known.get(path)
        if known is not None:
            return known
        method, handler = methods().get(path), handlers().get(path)
        if method is None or handler is None:
            reason = refusal(path)
            return grpc.stream_stream_rpc_method_handler(self._refusal(path, reason)) if reason else None
        answer = self._answer(method, handler)
        kinds = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        self._known[path] = kinds[method.takes_stream, method.gives_stream](answer)
        return self._known[path]

    def _refusal(self, path: str, reason: str) -> Callable[[Any, Any], Iterator[bytes]]:
        def refuse(requests: Any, context: Any) -> Iterator[bytes]:
            self._done(Done(path, "UNIMPLEMENTED", 0.0, reason))
            context.abort(grpc.StatusCode.UNIMPLEMENTED, reason)
            yield b""  # never reached: it makes this a stream

        return refuse

    def _answer(self, method: Method, handler: Callable[[Call, Any], Any]) -> Callable[[Any, Any], Any]:
        by_hand = getattr(handler, "reads_bytes", False)

        def one(data: Any, context: Any) -> bytes:
            with _Watched(method, context, self._done) as watched:
                return _wire(handler(watched.call(self._runner, self._token, self.address_of), data if by_hand else _read(method, data)))
            raise AssertionError("aborted")  # pragma: no cover - a watched block ends well or aborts

        def many(data: Any, context: Any) -> Iterator[bytes]:
            with _Watched(method, context, self._done) as watched:
                found = handler(watched.call(self._runner, self._token, self.address_of), data if by_hand else _read(method, data))
                try:
                    yield from map(_wire, found)
                finally:
                    if hasattr(found, "close"):
                        found.close()

        return many if method.gives_stream else one


def _read(method: Method, data: Any) -> Any:
    """The request, or an iterator of them. Raises `Invalid` for bytes that are none."""
    return (parse(method.request, one) for one in data) if method.takes_stream else parse(method.request, data)


def _wire(answer: Any) -> bytes:
    found: bytes = answer if isinstance(answer, bytes) else answer.SerializeToString()
    return found


class _Watched:
    """A call under way: what goes wrong in the block becomes its status, and it is told of when it is over."""

    def __init__(self, method: Method, context: Any, done: Callable[[Done], None]) -> None:
        self._method = method
        self._context = context
        self._done = done
        self._begun = time.monotonic()

    def call(self, runner: Runner, token: str, address_of: Callable[[str, str], str] | None) -> Call:
        """Raises `_Unauthenticated`, `NotFound` for a transaction that is not there."""
        metadata = {key: value for key, value in self._context.invocation_metadata() if isinstance(value, str)}
        if token and not self._method.path.startswith(_FOR_ANYBODY) and not _same(metadata.get(_TOKEN, ""), token):
            raise _Unauthenticated
        stop = Stop()
        if not self._context.add_callback(stop.set):
            stop.set()
        id = metadata.get(_TRANSACTION, "")
        home = runner.view(stop=stop)
        return Call(home.view(transaction=id) if id else home, home, stop, metadata.get(_AGENT, ""), id, address_of)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        code, text = _status(error)
        self._done(Done(self._method.path, code, time.monotonic() - self._begun, text))
        if error is not None and not isinstance(error, GeneratorExit):
            self._context.abort(getattr(grpc.StatusCode, code), _shortened(text))


class _Unauthenticated(LocalRunnerError):
    grpc_code = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("no authentication token (try logging in): this server asks for the token it was started with")


def _shortened(text: str) -> str:
    """A text that fits into the trailers of an answer, of which clients take 8 KiB."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT // 2]}…{text[-_LONGEST_TEXT // 4 :]}"


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode(errors="replace"))


def _status(error: BaseException | None) -> tuple[str, str]:
    """The code and text of what went wrong; nothing of the inside is shown."""
    if error is None:
        return "OK", ""
    if isinstance(error, LocalRunnerError):
        return error.grpc_code, f"{error.text_for_clients} (hint: {error.hint})" if error.hint else error.text_for_clients
    if isinstance(error, RecursionError):
        return "INVALID_ARGUMENT", "something given is nested too deeply"
    if isinstance(error, UnicodeError):
        return "INVALID_ARGUMENT", f"something given is no UTF-8 text: {error}"
    if isinstance(error, GeneratorExit | grpc.RpcError):  # the client is gone: while it was answered, or while it was to say more
        return "CANCELLED", ""
    traceback.print_exception(error, file=sys.stderr)
    return "INTERNAL", f"internal error: {type(error).__name__}: {error}"
