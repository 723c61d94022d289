"""Stores a large content in one pass: each byte is read once, cut, summed, written and hashed.

Of a content of some size, one thread sums and hashes what another reads and writes, and a third makes it last meanwhile. All of them
work without the interpreter's lock most of the time. A large file is only cut while it is written, and hashed from the draft, several
chunks side by side. What a file of 512 MiB costs is in benchmarks/README.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from local_runner.model.file_hash import Chunk, FileHasher, Piece, hash_of_chunks
from local_runner.storage.atomic import write_sparse
from local_runner.storage.draft_hash import DraftHasher, native_digests
from local_runner.storage.sums import BLOCK, Summer

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_ALONE = 8 * 1024 * 1024  # bytes for which no thread is started: it would cost more than it saves
_SIDE_BY_SIDE = 32 * 1024 * 1024  # bytes, some three chunks: fewer are hashed sooner one by one
_AHEAD = 3  # blocks that may wait to be hashed
_LASTING = 64 * 1024 * 1024  # bytes that are written before a thread makes them last
_FICLONE = 0x40049409  # Linux: share the blocks of another file


class Arrived(NamedTuple):
    """A content that was read: its hash, its size in bytes, the sums of its blocks."""

    name: bytes
    size: int
    sums: bytes
    chunks: list[Chunk]


class Source(Protocol):
    """A source of content; an `OpenFile` is read without a copy."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, none at the end."""
        ...


class OpenFile(NamedTuple):
    """A file as a source, read from where it stands; `check` is called before each block, and what it raises ends the reading."""

    file: io.FileIO
    check: Callable[[], None] = lambda: None

    def read(self, size: int, /) -> bytes:
        """What `Source.read` says."""
        self.check()
        return self.file.read(size)


class Stream:
    """Pieces as a source."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of the next piece."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


def bring_in(source: Source, draft: int, path: str, head: bytes = b"") -> Arrived:
    """Write `head` and what a source has left to an empty file that is open, and make it last.

    Of a file that nothing was read of the blocks are shared instead, where the file system can. Raises `OSError`; one about the draft
    has `path` as its name.
    """
    digests = native_digests() if _is_large(source) else None
    with _Intake(draft, path, DraftHasher(draft, digests) if digests else FileHasher()) as intake:
        if isinstance(source, OpenFile) and not head and not source.file.tell() and share(draft, source.file.fileno()):
            with io.FileIO(draft, closefd=False) as shared:
                return intake.take(_blocks(OpenFile(shared, source.check), b""), is_written=True)
        return intake.take(_blocks(source, head))


def _is_large(source: Source) -> bool:
    return isinstance(source, OpenFile) and os.fstat(source.file.fileno()).st_size - source.file.tell() >= _SIDE_BY_SIDE


def share(draft: int, source: int) -> bool:
    """Make an empty file the same as another without a copy. False if the file system cannot."""
    try:
        fcntl.ioctl(draft, _FICLONE, source)
    except OSError:
        return False
    return True


def _blocks(source: Source, head: bytes) -> Iterator[memoryview]:
    """The whole content. A file is read into the same memory again and again: a block is good until _AHEAD + 1 more were asked for."""
    if head:
        yield memoryview(head)
    if not isinstance(source, OpenFile):
        while piece := source.read(BLOCK):
            yield memoryview(piece)
        return
    buffers = deque(memoryview(bytearray(BLOCK)) for _ in range(_AHEAD + 2))
    while True:
        source.check()
        count = source.file.readinto(buffers[0])
        if not count:
            return
        yield buffers[0][:count]
        buffers.rotate()


class _Intake:
    """One content that comes in."""

    def __init__(self, draft: int, path: str, hasher: FileHasher | DraftHasher) -> None:
        self._draft, self._path = draft, path
        self._size = self._lasts = 0  # bytes so far, and those of them that were made last
        self._hasher, self._summer = hasher, Summer()
        self._threads = contextlib.ExitStack()
        self._hashing: ThreadPoolExecutor | None = None
        self._lasting: ThreadPoolExecutor | None = None
        self._unhashed: deque[Future[None]] = deque()
        self._flushed: Future[None] | None = None

    def __enter__(self) -> _Intake:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.close()

    def take(self, blocks: Iterator[memoryview], *, is_written: bool = False) -> Arrived:
        """Take in a content to its end; with `is_written` the blocks are in the draft already."""
        for block in blocks:
            if self._size >= _ALONE and self._hashing is None:
                self._start_threads()
            self._look_at(block)
            if not is_written:
                write_sparse(self._draft, block, self._path)
            self._size += len(block)
            self._make_last_meanwhile()
        for piece in self._unhashed:
            piece.result()
        chunks = self._finish()
        return Arrived(hash_of_chunks(chunks), self._size, self._summer.sums(), chunks)

    def _start_threads(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # 5 ms, and most contents are small

        self._hashing = self._threads.enter_context(ThreadPoolExecutor(1, "hashes"))
        self._lasting = self._threads.enter_context(ThreadPoolExecutor(1, "makes last"))

    def _look_at(self, block: memoryview) -> None:
        pieces: Iterable[Piece] = self._hasher.cut(block)
        if isinstance(self._hasher, FileHasher):
            pieces = list(pieces)  # here: to hash them is enough for the other thread
        if self._hashing is None:
            self._hash(block, pieces)
            return
        self._unhashed.append(self._hashing.submit(self._hash, block, pieces))
        if len(self._unhashed) > _AHEAD:
            self._unhashed.popleft().result()

    def _hash(self, block: memoryview, pieces: Iterable[Piece]) -> None:
        self._hasher.hash(pieces)
        self._summer.update(block)

    def _make_last_meanwhile(self) -> None:
        if self._lasting is None or self._size - self._lasts < _LASTING or (self._flushed and not self._flushed.done()):
            return
        self._check_flushed()
        self._flushed, self._lasts = self._lasting.submit(self._flush), self._size

    def _check_flushed(self) -> None:
        """Raise what went wrong: the kernel tells it once, and later calls would succeed."""
        if self._flushed:
            self._flushed.result()

    def _finish(self) -> list[Chunk]:
        """Make all of it last; gives its chunks."""
        self._check_flushed()
        with self._named():
            os.ftruncate(self._draft, self._size)  # the last block may be a hole
            os.fchmod(self._draft, 0o444)
            if self._lasting is None:
                os.fsync(self._draft)
                return self._hasher.chunks()
            flushed = self._lasting.submit(self._flush)
            chunks = self._hasher.chunks()
            flushed.result()
            return chunks

    def _flush(self) -> None:
        with self._named():
            os.fsync(self._draft)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = self._path
            raise
