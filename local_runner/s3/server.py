"""The gateway on a port: started and stopped by whoever serves a home."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import HTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any

from local_runner.errors import Invalid, Refused, Unavailable
from local_runner.runner import Runner
from local_runner.s3.buckets import HomeBuckets
from local_runner.s3.connection import Connection
from local_runner.s3.documents import error_document
from local_runner.s3.errors import S3Error
from local_runner.s3.routes import Gateway
from local_runner.s3.signatures import presigned
from local_runner.s3.uploads import Uploads

PORT = 30600  # of the gateway of a cluster
MAX_CONNECTIONS = 256
UPLOADS = "s3-uploads"  # a folder of the home
_HOLDS_SECONDS = 1800  # what an address is good for, as long as a file set may be kept
_DRAIN_SECONDS = 10.0  # for requests under way, when the server is closed


class Listener(ThreadingMixIn, HTTPServer):
    """Accepts connections, and gives each a thread, up to so many."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, where: tuple[str, int] | socket.socket, runner: Runner, gateway: Gateway, token: str, log: Callable[[str], None]
    ) -> None:
        """`where` is an address, or a socket that listens already. Raises `OSError`."""
        address = where.getsockname() if isinstance(where, socket.socket) else where
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.runner, self.gateway, self.token, self.log = runner, gateway, token, log
        self.hosts: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(address, Connection, bind_and_activate=not isinstance(where, socket.socket))
        if isinstance(where, socket.socket):
            self.socket.close()
            self.socket = where

    def server_bind(self) -> None:
        super(HTTPServer, self).server_bind()  # without asking for a name of the address
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            is_full = len(self._open) >= MAX_CONNECTIONS
            if not is_full:
                self._open.add(request)
        if is_full:
            with contextlib.suppress(OSError):
                request.settimeout(1)
                request.sendall(_too_many())
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)
            self.runner.close_thread()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke: nobody is left to be told."""

    def drain(self, seconds: float) -> None:
        """Let requests under way end, and no further ones begin; after so many seconds cut them off."""
        until = time.monotonic() + seconds
        self._shut(socket.SHUT_RD)
        while self._open and time.monotonic() < until:
            time.sleep(0.01)
        self._shut(socket.SHUT_RDWR)
        while self._open and time.monotonic() < until + 1:
            time.sleep(0.01)

    def _shut(self, how: int) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, how)  # that of TLS would send the rest in the clear


class S3Server:
    """A gateway that runs, in threads of its own."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.1}, name="s3", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.server_address[1])

    @property
    def url(self) -> str:
        """What clients call the endpoint."""
        host = str(self._listener.server_address[0])
        scheme = "https" if isinstance(self._listener.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    def address_of(self, bucket: str, key: str) -> str:
        """Where an object can be fetched for some minutes, by whoever has this address."""
        return presigned(self.url, bucket, key, self._listener.token, datetime.now(UTC), _HOLDS_SECONDS)

    def close(self) -> None:
        """Take no more connections, let requests under way end, and come back when they have."""
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        self._listener.drain(_DRAIN_SECONDS)

    def __enter__(self) -> S3Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def serve_s3(
    runner: Runner,
    address: tuple[str, int] = ("127.0.0.1", PORT),
    token: str = "",
    *,
    tls: ssl.SSLContext | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> S3Server:
    """Serve the repos of a home to clients of S3, until it is closed. Port 0 takes a free one.

    With a `token`, requests must be signed with it; without one only clients of this machine are served. `log` gets a line for each
    request. Raises `Refused` for an address beyond this machine without token, `Unavailable` if the port is taken.
    """
    if not token and not _is_loopback(address[0]):
        raise Refused(f"without a token nobody beyond this machine is served: {address[0]}", hint="set a token, or listen on 127.0.0.1")
    uploads = Uploads(runner.home / UPLOADS)
    uploads.remove_old()
    gateway = Gateway(runner, HomeBuckets(runner), uploads)
    try:
        listener = Listener(address, runner, gateway, token, log)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", "") or str(error)
        raise Unavailable(f"cannot listen on {address[0]} port {address[1]}: {said}", hint="--s3-port 0 takes a free port") from None
    if tls:
        # Each connection shakes hands in its own thread, with its patience.
        listener.socket = tls.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    return S3Server(listener)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """How to speak TLS with a certificate and its key, both in PEM. Raises `Invalid`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f"{certificate} and {key} are no certificate and key for TLS: {error}") from None
    return context


def _too_many() -> bytes:
    """The whole answer to a connection that gets no thread."""
    document = error_document(S3Error("SlowDown", "There are too many connections."))
    head = f"HTTP/1.1 503 SlowDown\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: {len(document)}\r\n\r\n"
    return head.encode() + document


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
