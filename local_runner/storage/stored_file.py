"""Large contents as they lie in `objects/`: a file each, or parts of such files, one after the other (FORMAT.md, *Parts*)."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from local_runner.model.file_hash import Chunk
from local_runner.storage.intake import share
from local_runner.storage.sums import Fingerprint, fingerprint

_PART, _CHUNK = struct.Struct(">32sQQ"), struct.Struct(">32sQ")


class FilePart(NamedTuple):
    """So many bytes from an offset on of the file of another content."""

    name: bytes
    offset: int
    size: int


def pack_parts(parts: Iterable[FilePart]) -> bytes:
    """As they lie in the records: 48 bytes each, and a CRC-32; none are nothing."""
    packed = b"".join(_PART.pack(*part) for part in parts)
    return packed + zlib.crc32(packed).to_bytes(4, "big") if packed else b""


def unpack_parts(packed: bytes) -> list[FilePart]:
    """Raises `ValueError` for what is damaged: nobody knows what it needs."""
    content, sum_of_it = packed[:-4], packed[-4:]
    if packed and (len(content) % _PART.size or zlib.crc32(content).to_bytes(4, "big") != sum_of_it):
        raise ValueError("the parts of a large content are damaged")
    return [FilePart(*fields) for fields in _PART.iter_unpack(content)]


def pack_chunks(chunks: Iterable[Chunk]) -> bytes:
    """As they lie in the records: 40 bytes each."""
    return b"".join(_CHUNK.pack(*chunk) for chunk in chunks)


def unpack_chunks(packed: bytes) -> list[Chunk]:
    """Raises `ValueError` for what is damaged."""
    if len(packed) % _CHUNK.size:
        raise ValueError("the chunks of a large content are damaged")
    return [Chunk(*fields) for fields in _CHUNK.iter_unpack(packed)]


def first_bytes(parts: Sequence[FilePart], size: int) -> list[FilePart]:
    """The parts that are the first `size` bytes."""
    found = []
    for part in parts:
        taken = min(part.size, size)
        if taken:
            found.append(part._replace(size=taken))
        size -= taken
    return found


class StoredFile:
    """A large content that is open to be read. Use as a context manager."""

    def __init__(self, parts: Sequence[FilePart], path: Callable[[bytes], Path]) -> None:
        """Raises `FileNotFoundError` if the file of a part is not there."""
        self._files = ExitStack()
        self._parts: list[tuple[int, int, int]] = []  # descriptor, offset, size
        self._position = 0
        try:
            for name, offset, size in parts:
                descriptor = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
                self._files.callback(os.close, descriptor)
                there = os.fstat(descriptor).st_size - offset
                self._parts.append((descriptor, offset, max(0, min(size, there))))
        except BaseException:
            self._files.close()
            raise
        self.size = sum(size for _, _, size in self._parts)

    def __enter__(self) -> StoredFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def seek(self, offset: int) -> None:
        """Let the next `read` begin there."""
        self._position = offset

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        begin = self._position
        for descriptor, offset, length in self._parts:
            if begin < length:
                found = os.pread(descriptor, min(size, length - begin), offset + begin)
                self._position += len(found)
                return found
            begin -= length
        return b""

    def fingerprint(self) -> Fingerprint:
        """Changes whenever somebody writes to a file of it."""
        found = [fingerprint(descriptor) for descriptor, _, _ in self._parts]
        if len(found) == 1:
            return found[0]
        return Fingerprint(found[0].device, hash(tuple(found)), self.size, max(f.mtime for f in found), max(f.ctime for f in found))

    def share(self, target: int) -> bool:
        """Make an empty file the same without a copy. False if the file system cannot, or it is in parts."""
        return len(self._parts) == 1 and share(target, self._parts[0][0])
