"""The body of a request as a stream: so many bytes, or in pieces as HTTP or as S3 writes them; and what has to be true of all of it.

A stream that ends too early or is not what its sender said raises `S3Error` instead of ending, so that nobody takes what came for all.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Protocol, TypeVar

from local_runner.s3.errors import S3Error

_MAX_LINE = 8 * 1024  # bytes of the head of a chunk, or of a trailer
_MAX_TRAILERS = 16
PIECE = 1024 * 1024  # bytes at most that one read gives
_T = TypeVar("_T")


class Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, b"" at the end and after it."""


class Lines(Stream, Protocol):
    def readline(self, size: int = -1, /) -> bytes: ...


class Sized:
    """The next `size` bytes of a connection."""

    def __init__(self, source: Lines, size: int) -> None:
        self._source = source
        self.left = size

    def read(self, size: int = -1, /) -> bytes:
        wanted = _at_most(size, self.left)
        if not wanted:
            return b""
        piece = self._source.read(wanted)
        if len(piece) < wanted:
            raise S3Error("IncompleteBody")
        self.left -= len(piece)
        return piece

    def readline(self, size: int = -1, /) -> bytes:
        line = self._source.readline(_at_most(size, self.left))
        self.left -= len(line)
        return line


class _Chunks:
    """A body in pieces; `_next` reads the head of the next one, and what follows the last."""

    def __init__(self, source: Lines) -> None:
        self._source = source
        self._left = 0  # bytes of the present piece
        self._first = True
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        if not self._left and not self._ended:
            self._next()
        if self._ended:
            return b""
        piece = self._source.read(_at_most(size, self._left))
        if not piece:
            raise S3Error("IncompleteBody")
        self._left -= len(piece)
        return piece

    def _next(self) -> None:
        raise NotImplementedError


class HttpChunks(_Chunks):
    """A body of `Transfer-Encoding: chunked`."""

    def readline(self, size: int = -1, /) -> bytes:
        """For pieces of S3 inside pieces of HTTP."""
        line = bytearray()
        while len(line) < size and not line.endswith(b"\n"):
            byte = self.read(1)
            if not byte:
                break
            line += byte
        return bytes(line)

    def _next(self) -> None:
        if not self._first:
            _expect_end_of_line(self._source)
        self._first = False
        self._left = _hex(_line(self._source).partition(b";")[0])
        if not self._left:
            for _ in range(_MAX_TRAILERS):
                if not _line(self._source):
                    self._ended = True
                    return
            raise S3Error("InvalidRequest", "too many trailers")


class Signer(Protocol):
    """Signatures of pieces, each made of the digest of a content and of the signature before."""

    def sign_piece(self, digest: bytes) -> str: ...

    def sign_trailers(self, digest: bytes) -> str: ...


class S3Chunks(_Chunks):
    """A body of `x-amz-content-sha256: STREAMING-…`: pieces, each with its signature where it has one, and trailers after the last.

    `size` is that of the content; `signer` knows what signatures should be, and without one they are not looked at.
    """

    def __init__(self, source: Lines, size: int, signer: Signer | None, *, trailers: bool) -> None:
        super().__init__(source)
        self._signer, self._has_trailers = signer, trailers
        self._size = size
        self._signature = ""
        self._digest = hashlib.sha256()
        self.trailers: dict[str, str] = {}

    def read(self, size: int = -1, /) -> bytes:
        piece = super().read(size)
        self._size -= len(piece)
        if self._signer:
            self._digest.update(piece)
        return piece

    def _next(self) -> None:
        if not self._first:
            _expect_end_of_line(self._source)
            self._check_signature()
        self._first = False
        head, _, extension = _line(self._source).partition(b";")
        self._left = _hex(head)
        self._signature = extension.decode("latin-1").strip().removeprefix("chunk-signature=")
        if self._left > self._size or (not self._left and self._size):
            raise S3Error("IncompleteBody", "The pieces are not as long as x-amz-decoded-content-length says.")
        if not self._left:
            self._check_signature()
            self._ended = True
            self._read_trailers()
            # The pieces may stand in pieces of HTTP, whose end has to be read, too.
            while rest := self._source.read(_MAX_LINE):
                if rest.strip():
                    raise S3Error("InvalidRequest", "There is more behind the last piece of the body.")

    def _check_signature(self) -> None:
        if self._signer:
            _compare(self._signature, self._signer.sign_piece(self._digest.digest()))
        self._digest = hashlib.sha256()

    def _read_trailers(self) -> None:
        signature, is_signed = "x-amz-trailer-signature", self._has_trailers and self._signer is not None
        signed, empty = b"", 0
        for _ in range(_MAX_TRAILERS):
            line = _line(self._source, may_end=True)
            empty += not line
            # Some clients put an empty line before the signature of trailers, too.
            if empty > 1 or (not line and (signature in self.trailers or not is_signed)):
                break
            name, _, value = (part.strip() for part in line.decode("latin-1").partition(":"))
            self.trailers[name.lower()] = value
            signed += f"{name.lower()}:{value}\n".encode() if line and name.lower() != signature else b""
        if self._has_trailers and self._signer:
            _compare(self.trailers.get(signature, ""), self._signer.sign_trailers(hashlib.sha256(signed).digest()))


class Pieces:
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        size = len(self._rest) if size < 0 else size
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


class Sum(Protocol):
    def update(self, content: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class Checked:
    """A stream of which sums are taken on its way, and compared at its end with what was said before or comes in trailers."""

    def __init__(self, source: Stream, sums: dict[str, Sum], compare: Callable[[Mapping[str, bytes]], None]) -> None:
        """`compare` gets the digest of each sum at the end, and raises `S3Error` if one is not what it should be."""
        self._source, self._sums, self._compare = source, sums, compare
        self.digests: dict[str, bytes] = {}  # at the end
        self.size = 0
        self.ended = False

    def read(self, size: int = -1, /) -> bytes:
        if self.ended:
            return b""
        piece = self._source.read(_at_most(size, PIECE))
        self.size += len(piece)
        for taken in self._sums.values():
            taken.update(piece)
        if not piece:
            self.digests = {name: taken.digest() for name, taken in self._sums.items()}
            self._compare(self.digests)
            self.ended = True
        return piece

    def also(self, name: str, taken: Sum) -> None:
        """Take one more sum, if nothing was read yet."""
        self._sums.setdefault(name, taken)

    def whole(self, most: int) -> bytes:
        """All of it. Raises `MaxMessageLengthExceeded`."""
        pieces: list[bytes] = []
        while piece := self.read():
            pieces.append(piece)
            if self.size > most:
                raise S3Error("MaxMessageLengthExceeded")
        return b"".join(pieces)


def _compare(signature: str, right: str) -> None:
    if not hmac.compare_digest(signature.encode(), right.encode()):
        raise S3Error("SignatureDoesNotMatch")


def _at_most(size: int, left: int) -> int:
    return min(left, PIECE) if size < 0 else min(size, left)


def _line(source: Lines, *, may_end: bool = False) -> bytes:
    """The next line without its end. Raises `IncompleteBody`."""
    line = source.readline(_MAX_LINE)
    if not line.endswith(b"\n") and not (may_end and not line):
        raise S3Error("IncompleteBody" if len(line) < _MAX_LINE else "InvalidRequest")
    return line.rstrip(b"\r\n")


def _expect_end_of_line(source: Lines) -> None:
    if _line(source):
        raise S3Error("IncompleteBody", "A piece of the body is longer than it says.")


def _hex(digits: bytes) -> int:
    text = digits.strip()
    if not text or len(text) > 15 or text.strip(b"0123456789abcdefABCDEF"):
        raise S3Error("InvalidRequest", "A piece of the body has no length.")
    return int(text, 16)


@contextlib.contextmanager
def ending(pieces: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """An iterator that is closed at the end of the block, also if it was not used up: it may hold a view of the records."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


def drained(source: Stream, most: int) -> bool:
    """Read what is left of a body, but not more than `most` bytes; whether that was all."""
    while most > 0:
        piece = source.read(min(most, PIECE))
        if not piece:
            return True
        most -= len(piece)
    return False
