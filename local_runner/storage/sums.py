"""Block sums of large contents, which check them at the speed of a disk.

Pachyderm's hash of a large file takes four times as long as reading it; CRC-32 of each block a fifth (FORMAT.md, *What is checked when*).
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

BLOCK = 1024 * 1024
_WIDTH = 4
_REMEMBERED = 10_000
_TICK = 1_000_000_000  # nanoseconds; within one, a second change of a file may leave its dates as they are


class Summer:
    """Sums the blocks of a content that comes in pieces."""

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._left = 0  # bytes that the last block still takes

    def update(self, content: bytes | memoryview) -> None:
        """Add what comes next."""
        view = memoryview(content)
        while view:
            if not self._left:
                self._sums.append(0)
                self._left = BLOCK
            piece = view[: self._left]
            self._sums[-1] = zlib.crc32(piece, self._sums[-1])
            self._left -= len(piece)
            view = view[len(piece) :]

    def sums(self) -> bytes:
        """Four bytes for each block so far."""
        return b"".join(each.to_bytes(_WIDTH, "big") for each in self._sums)


def sums_of(content: bytes) -> bytes:
    """The sums of a content that is in memory."""
    summer = Summer()
    summer.update(content)
    return summer.sums()


class Readable(Protocol):
    """What blocks are read from."""

    def seek(self, offset: int, /) -> object: ...

    def read(self, size: int, /) -> bytes: ...


def blocks(file: Readable, offset: int = 0) -> Iterator[bytes]:
    """An unbuffered file from an offset to its end; all but the last block end where a summed one does."""
    file.seek(offset)
    wanted = BLOCK - offset % BLOCK
    while block := _read_whole(file, wanted):
        yield block
        wanted = BLOCK


def _read_whole(file: Readable, size: int) -> bytes:
    block = file.read(size)
    while 0 < len(block) < size:
        more = file.read(size - len(block))
        if not more:
            break
        block += more
    return block


def ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces; the next one is made in a thread while the one before is used."""
    from concurrent.futures import ThreadPoolExecutor  # 5 ms, and most contents are small

    with ThreadPoolExecutor(1, "reads ahead") as thread:
        coming = thread.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, pieces, None)
            yield piece


def fits(sums: bytes, number: int, block: bytes) -> bool:
    """Whether a block is what was summed under its number, from 0."""
    return sums[number * _WIDTH : (number + 1) * _WIDTH] == zlib.crc32(block).to_bytes(_WIDTH, "big")


def covers(sums: bytes, size: int) -> bool:
    """Whether there are as many sums as a content of this size has blocks."""
    return len(sums) == -(-size // BLOCK) * _WIDTH


class Fingerprint(NamedTuple):
    """Values that change whenever a file is written to."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int


def fingerprint(descriptor: int) -> Fingerprint:
    """The fingerprint of an open file."""
    found = os.fstat(descriptor)
    return Fingerprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class KnownContents:
    """Remembers contents that this process has verified, with their files' fingerprints. Safe for threads."""

    def __init__(self) -> None:
        self._clean: dict[bytes, Fingerprint] = {}

    def has(self, name: bytes, now: Fingerprint) -> bool:
        """Whether a content was verified and its file is unchanged since."""
        return self._clean.get(name) == now

    def add(self, name: bytes, before: Fingerprint, after: Fingerprint) -> None:
        """Remember one, unless it was changed while it was read, or so shortly before that another change would not show."""
        if before == after and abs(time.time_ns() - after.ctime) > _TICK:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean[name] = after
