"""Reads the tar file of a layer entry by entry, and refuses what no honest tool writes."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, Self, cast

from local_runner.errors import Invalid
from local_runner.oci.streams import CHUNK, Readable

# Headers that only carry names and times; no honest one is longer, and they are read into memory whole.
_CARRIERS = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_LONGEST_CARRIER = 1 << 20


class TarEntry:
    """Something in the tar file, good until the next is asked for."""

    __slots__ = ("_stream", "_what", "header", "path")

    def __init__(self, header: tarfile.TarInfo, stream: Readable, what: str) -> None:
        """Raises `Invalid` for a path that leads outside."""
        self.header, self._stream, self._what = header, stream, what
        self.path = inside(header.name, what)

    def read(self) -> Iterator[bytes]:
        """The content of a file, in pieces. Raises `Invalid` where it ends before its size."""
        left = self.header.size
        while left > 0:
            piece = self._stream.read(min(left, CHUNK))
            if not piece:
                raise Invalid(f"{self._what} is cut short in {self.path}", hint="get it again")
            left -= len(piece)
            yield piece


def entries(source: Readable, what: str) -> Iterator[TarEntry]:
    """Everything in a tar file, in its order. Raises `Invalid` for what is none, and for what is made to do harm."""
    try:
        with tarfile.open(fileobj=cast(Any, source), mode="r|", bufsize=CHUNK, tarinfo=_Header, errorlevel=2) as tar:
            stream = cast(Readable, tar.fileobj)
            for header in tar:
                tar.members = []  # type: ignore[attr-defined]  # else all are kept
                if header.issparse():
                    raise Invalid(f"{what}: {header.name!a} is a sparse file, which images do not have")
                yield TarEntry(header, stream, what)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as why:
        raise Invalid(f"{what} is no tar file that can be read: {why or type(why).__name__}", hint="it was damaged; get it again") from None


def inside(path: str, what: str) -> str:
    """A path in a layer, relative to the root folder, "" for that. Raises `Invalid` for one that leads outside."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise Invalid(f"{what} is refused: {path!a} leads outside", hint="such an image is made to do harm; do not use it")
    return "/".join(parts)


class _Header(tarfile.TarInfo):
    """A header that is looked at before anything else is done with it.

    Python takes a header that makes no sense in the middle for the end of the file.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except (tarfile.EmptyHeaderError, tarfile.EOFHeaderError):  # type: ignore[attr-defined]  # what ends it
            raise
        except tarfile.HeaderError as why:
            raise ValueError(str(why)) from None
        if header.size < 0 or (header.type in _CARRIERS and header.size > _LONGEST_CARRIER):
            raise ValueError(f"a size of {header.size}")
        return header
