"""One connection of HTTP/1.1: reads requests, has them answered, and sends what was answered.

Nothing but a request that is whole and right reaches the gateway, and whatever goes wrong on the way is told in S3's words. The standard
library's server is enough: what S3 clients do is long streams and a few hundred requests a second, and a thread for each connection does
both; the hash of what is put costs ten times what HTTP does.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local_runner.errors import LocalRunnerError
from local_runner.model.ids import new_id
from local_runner.s3.bodies import Checked, HttpChunks, Lines, S3Chunks, Sized, drained, ending
from local_runner.s3.checksums import Expected
from local_runner.s3.documents import error_document
from local_runner.s3.errors import S3Error, as_s3_error
from local_runner.s3.request import Request, Response, Target, read_target
from local_runner.s3.signatures import Seal, check_signature

if TYPE_CHECKING:
    from local_runner.s3.server import Listener

_MAX_LINE = 64 * 1024  # bytes of the first line
_DRAINED = 1024 * 1024  # bytes of a body that nobody wants, read so that the connection can be used again
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 64 * 1024 * 1024  # for a client that is still sending when it is refused
_SIGNED_PIECES = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_PIECES = ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", _SIGNED_PIECES, f"{_SIGNED_PIECES}-TRAILER")
_MAX_DIGITS = 18
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # of RFC 9110


class Connection(BaseHTTPRequestHandler):
    """The handler that the server makes for each connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60.0  # seconds without a byte
    disable_nagle_algorithm = True  # head and body are written apart
    server: Listener

    def handle_one_request(self) -> None:
        self._expects = self._has_answered = False
        self._id, self._began, self._target = new_id(), time.monotonic(), ""
        self.command = ""
        try:
            self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
            if not self.raw_requestline.strip():  # an empty line before a request is none (RFC 9112, 2.2)
                self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
            if not self.raw_requestline:
                self.close_connection = True
                return
            if len(self.raw_requestline) > _MAX_LINE:
                self.requestline = self.request_version = ""
                self._refuse(S3Error("InvalidURI", "The address is too long."))
            elif self.parse_request():
                self._serve()
        except (TimeoutError, ConnectionError):
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        """The client waits for a word before it sends the body: it comes when somebody reads it."""
        self._expects = True
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library finds wrong with a request."""
        self._refuse(S3Error("MetadataTooLarge" if code == 431 else "InvalidRequest", message or ""))

    def _serve(self) -> None:
        body: Checked | None = None
        try:
            headers = self._headers()
            target = read_target(self.path)
            self._target = target.path
            self._check_host(headers)
            token = self.server.token
            seal = check_signature(self.command, target, headers, token, datetime.now(UTC)) if token else None
            body = self._body(target, headers, seal)
            if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
                body.read()  # nothing: but that may not be what was said of it
            response = self.server.gateway.answer(Request(self.command, target, headers, body))
            if not body.ended and not drained(body, _DRAINED):
                raise S3Error("InvalidRequest", "This request has no body.")
            self._send(response)
        except S3Error as error:
            self._fail(error, body)
        except LocalRunnerError as error:
            self._fail(as_s3_error(error), body)
        except OSError as error:
            if isinstance(error, (TimeoutError, ConnectionError)):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._fail(S3Error("InsufficientStorage" if full else "InternalError", error.strerror or ""), body)
        except Exception as error:  # a fault of ours: said, not shown
            self.server.log(f"{self._id} {type(error).__name__}: {error}")
            self._fail(S3Error("InternalError"), body)

    # -- the request ---------------------------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        """By name in lower case. Raises `InvalidRequest` for what no client means."""
        if self.headers.defects or self.headers.get_payload():
            raise S3Error("InvalidRequest", "The headers cannot be read.")
        found: dict[str, str] = {}
        for name, value in self.headers.items():
            key, text = name.lower(), " ".join(str(value).split())
            if not _TOKEN.fullmatch(name) or "\0" in text:
                raise S3Error("InvalidRequest", "The headers cannot be read.")
            if key in found and key in ("content-length", "host", "authorization", "transfer-encoding"):
                raise S3Error("InvalidRequest", f"There is more than one {key}.")
            found[key] = f"{found[key]},{text}" if key in found else text
        return found

    def _check_host(self, headers: dict[str, str]) -> None:
        """Refuse bucket names in the host; and without a token whoever comes through a web page, whose reader knows nothing of it."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if host.endswith(".localhost"):
            raise S3Error("InvalidRequest", "Bucket names are not looked for in the host: use path style (addressing_style = path).")
        if self.server.token:
            return
        if "origin" in headers:
            raise S3Error("AccessDenied", "A server without a token does not answer web pages.")
        if host and host != "localhost" and not _is_address(host) and host not in self.server.hosts:
            raise S3Error("AccessDenied", "A server without a token is reached by its address, as in http://127.0.0.1:30600.")

    def _body(self, target: Target, headers: dict[str, str], seal: Seal | None) -> Checked:
        """The content of the body, which fails at its end if it is not what the headers say."""
        encoding, length = headers.get("transfer-encoding"), headers.get("content-length")
        source: Lines
        if encoding is not None:
            if length is not None or encoding.lower() != "chunked":
                raise S3Error("InvalidRequest", "The length of the body is not clear.")
            source = HttpChunks(_Reader(self))
        else:
            if length is None and self.command == "PUT" and target.key and "x-amz-copy-source" not in headers:
                raise S3Error("MissingContentLength")
            source = Sized(_Reader(self), _length(length or "0"))
        expected = Expected(headers)
        kind = headers.get("x-amz-content-sha256", "")
        if not kind.startswith("STREAMING-"):
            if kind and kind != "UNSIGNED-PAYLOAD" and not expected.has_content:
                raise S3Error("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-… or a SHA-256")
            return Checked(source, expected.sums(), expected.compare)
        if kind not in _PIECES:
            raise S3Error("NotImplemented", f"{kind} is not served.")
        is_signed = kind.startswith(_SIGNED_PIECES)
        if is_signed and self.server.token and seal is None:
            raise S3Error("InvalidRequest", "Pieces are signed in version 4 only.")
        size = _length(headers.get("x-amz-decoded-content-length", ""))
        signs = seal if is_signed else None
        pieces = S3Chunks(source, size, signs, trailers=kind.endswith("-TRAILER"))
        expected.trailers = pieces.trailers
        return Checked(pieces, expected.sums(), expected.compare)

    # -- the answer ----------------------------------------------------------------------------------------------------

    def _send(self, response: Response) -> None:
        pieces = response.pieces
        with contextlib.ExitStack() as stack:
            first = response.body
            if pieces is not None:
                stack.enter_context(ending(pieces))
                first = next(pieces, b"")  # what goes wrong before the first byte can still be told
            self._send_head(response)
            if self.command == "HEAD":
                return
            write = self._write_chunk if response.size < 0 else self.wfile.write
            try:
                while first:
                    write(first)
                    first = next(pieces, b"") if pieces is not None else b""
            except LocalRunnerError as error:  # the client sees that the content ends too early
                self.server.log(f"{self._id} {error.message}")
                self.close_connection = True
                return
            if response.size < 0:
                self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, response: Response) -> None:
        self._has_answered = True
        self.request_version = self.protocol_version  # also for what said nothing that could be read
        self.send_response(response.status)
        self.send_header("x-amz-request-id", self._id)
        for name, value in response.headers.items():
            self.send_header(name, value.encode("latin-1", "replace").decode("latin-1"))
        if response.size < 0:
            self.send_header("Transfer-Encoding", "chunked")
        elif response.status not in (204, 304):
            self.send_header("Content-Length", str(response.size if response.pieces is not None else len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        milliseconds = (time.monotonic() - self._began) * 1000
        self.server.log(f"{self._id} {self.command} {self._target} {response.status} {milliseconds:.1f} ms")

    def _write_chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _fail(self, error: S3Error, body: Checked | None) -> None:
        """Answer with an error, if nothing was answered yet."""
        if self._has_answered:
            self.close_connection = True
            return
        # A client that was not told to go on, or has much more to send, may not know where its next request would begin.
        is_whole = body is not None and body.ended
        if body is not None and not is_whole and not self._expects:
            with contextlib.suppress(S3Error, OSError):
                is_whole = drained(body, _DRAINED)
        self.close_connection = self.close_connection or not is_whole
        self._refuse(error, linger=not is_whole)

    def _refuse(self, error: S3Error, *, linger: bool = True) -> None:
        has_body = error.status != 304 and self.command != "HEAD"
        self.close_connection = self.close_connection or linger
        document = error_document(error, self._target, self._id) if has_body else b""
        headers = {"Content-Type": "application/xml", **error.headers} if has_body else error.headers
        self._send(Response(error.status, dict(headers), document))
        if linger:
            self._linger()

    def _linger(self) -> None:
        """Read what a client still sends for a moment: a connection that is closed over it loses the answer."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
            until, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
            while left > 0 and (seconds := until - time.monotonic()) > 0:
                self.connection.settimeout(seconds)
                piece = self.connection.recv(65536)
                if not piece:
                    return
                left -= len(piece)

    def tell_to_go_on(self) -> None:
        if self._expects:
            self._expects = False
            self.send_response_only(100)
            self.end_headers()

    def version_string(self) -> str:
        return "local_runner"

    def log_message(self, format: str, *arguments: object) -> None:
        """One line for each request is written where its head is sent."""


class _Reader:
    """The bytes of a body as they come, from a client that is told to go on first if it waits for that."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, size: int = -1, /) -> bytes:
        self._connection.tell_to_go_on()
        with _told():
            return self._connection.rfile.read(size)

    def readline(self, size: int = -1, /) -> bytes:
        self._connection.tell_to_go_on()
        with _told():
            return self._connection.rfile.readline(size)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A client that stops sending, as an error of S3."""
    try:
        yield
    except TimeoutError:
        raise S3Error("RequestTimeout") from None
    except ConnectionError:
        raise S3Error("IncompleteBody") from None


def _length(digits: str) -> int:
    if not digits:
        raise S3Error("MissingContentLength")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        raise S3Error("InvalidArgument", "A length is no number.")
    return int(digits)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
