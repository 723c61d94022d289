"""Layers as streams of bytes: unpacked as they are read, and checked by digest at their end."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from local_runner.errors import Invalid, Unavailable
from local_runner.oci.documents import hasher

CHUNK = 1 << 18
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31  # zlib's number for a header of gzip around the largest window


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Checked:
    """Passes on what it reads, and knows the digest of it. `digest` may be "": then nothing is checked."""

    def __init__(self, source: Readable, digest: str, what: str, advance: Callable[[int], None] = lambda size: None) -> None:
        self._source, self._digest, self._what, self._advance = source, digest, what, advance
        self._computed = hasher(digest) if digest else None

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        if self._computed is not None:
            self._computed.update(data)
        self._advance(len(data))
        return data

    def finish(self) -> None:
        """Read to the end. Raises `Invalid` if it was something else than the digest is of."""
        while self.read(CHUNK):
            pass
        if self._computed is not None and self._computed.hexdigest() != self._digest.partition(":")[2]:
            raise Invalid(f"{self._what} is not what its digest {self._digest} is of", hint="it was damaged or replaced; get it again")


def unpacked(source: Readable, what: str) -> Readable:
    """The tar file in a layer, which may be packed by gzip or zstd: its first bytes tell. Raises `Unavailable` where zstd is missing."""
    start = b""
    while len(start) < len(_ZSTD) and (piece := source.read(CHUNK)):
        start += piece
    if start.startswith(_GZIP):
        return _Unzipped(Begun(start, source), what)
    if start.startswith(_ZSTD):
        return _Unpressed(Begun(start, source), what)
    return Begun(start, source)


class Begun:
    """A stream of which something was read already."""

    def __init__(self, start: bytes, rest: Readable) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int, /) -> bytes:
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        return self._rest.read(size)


class _Unzipped:
    """What gzip packed, in one member or several (RFC 1952, 2.2); pigz and estargz make many.

    Python's own reader asks for 8 KB at a time: a third of the time to unpack went there.
    """

    def __init__(self, source: Readable, what: str) -> None:
        self._source, self._what = source, what
        self._unzip = zlib.decompressobj(_GZIP_WINDOW)
        self._packed = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, however much comes of few. Raises `Invalid` where it is damaged or cut short."""
        while True:
            packed = self._packed or self._source.read(CHUNK)
            if self._unzip.eof:
                packed = packed.lstrip(b"\0")  # padding
                if packed:
                    self._unzip = zlib.decompressobj(_GZIP_WINDOW)
                elif not self._packed:
                    return b""
                self._packed = packed
                continue
            try:
                data = self._unzip.decompress(packed, size)
            except zlib.error as why:
                raise Invalid(f"{self._what} cannot be unzipped: {why}", hint="it was damaged; get it again") from None
            self._packed = self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
            if data:
                return data
            if not packed:
                raise Invalid(f"{self._what} is cut short", hint="get it again")


class _Unpressed:
    """What zstd packed, in one frame or several (RFC 8878, 3.1)."""

    def __init__(self, source: Readable, what: str) -> None:
        self._source, self._what = source, what
        self._new, self._error = _zstd(what)
        self._unpress = self._new()
        self._packed = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises `Invalid` where it is damaged or cut short."""
        while True:
            if self._unpress.eof:
                self._packed = self._unpress.unused_data or self._source.read(CHUNK)
                if not self._packed:
                    return b""
                self._unpress = self._new()
            if self._unpress.needs_input and not self._packed:
                self._packed = self._source.read(CHUNK)
                if not self._packed:
                    raise Invalid(f"{self._what} is cut short", hint="get it again")
            try:
                data = self._unpress.decompress(self._packed, max_length=size)
            except self._error as why:
                raise Invalid(f"{self._what} cannot be unpacked: {why}", hint="it was damaged; get it again") from None
            self._packed = b""
            if data:
                return bytes(data)


def _zstd(what: str) -> tuple[Any, type[Exception]]:
    """What makes decompressors, and what they raise: the standard library's from Python 3.14 on, before that its backport."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise Unavailable(
            f"{what} is packed with zstd, which this Python cannot unpack", hint="pip install 'local_runner[zstd]', and try again"
        ) from None
    return zstd.ZstdDecompressor, zstd.ZstdError
