"""Contents of files, each stored once under its Pachyderm hash: small ones as rows, large ones as files (FORMAT.md, *Objects*)."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from local_runner.errors import Unavailable
from local_runner.model.file_hash import FileHasher, file_hash
from local_runner.storage.arrivals import Arrivals
from local_runner.storage.home import Home, disk_full

# Below this SQLite is faster than a file of one's own (10 000 files of 1 kB: 0.1 s against 0.5 s), and fewer inodes are used.
INLINE_BYTES = 64 * 1024
_BLOCK = 1024 * 1024
_HOLE = bytes(64 * 1024)  # as much of nothing as is not written down
_FICLONE = 0x40049409  # Linux: share the blocks of another file


class Content(NamedTuple):
    """Content on its way in: its hash and size, and the bytes themselves if they are yet to be made a row."""

    name: bytes
    size: int
    inline: bytes | None = None


class ObjectFiles:
    """Large contents, as files. Safe for any number of threads and processes: a file appears whole, under the name of its content."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.arrivals = Arrivals(home)

    def take(self, source: bytes | BinaryIO | Path) -> Content:
        """Read content to its end and hash it; if it is large it is stored when this returns, else the caller stores `inline`.

        Raises `Unavailable` if the disk is full.
        """
        if isinstance(source, bytes):
            if len(source) <= INLINE_BYTES:
                return Content(file_hash(source), len(source), source)
            return self._store(iter([source]))
        if isinstance(source, Path):
            with source.open("rb", buffering=0) as file:
                return self.take(file)
        head = source.read(INLINE_BYTES + 1)
        while head and len(head) <= INLINE_BYTES:
            more = source.read(INLINE_BYTES + 1 - len(head))
            if not more:
                break
            head += more
        if len(head) <= INLINE_BYTES:
            return Content(file_hash(head), len(head), head)
        return self._store(_blocks(head, source))

    def _store(self, blocks: Iterator[bytes]) -> Content:
        hasher, size = FileHasher(), 0
        descriptor, draft = tempfile.mkstemp(dir=self.arrivals.folder())
        try:
            with os.fdopen(descriptor, "wb", buffering=0):
                for block in blocks:
                    hasher.update(block)
                    size += len(block)
                    _write_sparse(descriptor, block)
                os.ftruncate(descriptor, size)  # the last block may be a hole
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
            name = hasher.digest()
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.arrivals.shelve(draft, name, path)
        except BaseException as error:
            Path(draft).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(self._home) from error
            raise
        return Content(name, size)

    def path(self, name: bytes) -> Path:
        """Where a large content lies."""
        text = name.hex()
        return self._home.objects / text[:2] / text[2:]

    def clear(self) -> None:
        """Remove them all."""
        for folder in self._home.objects.iterdir():
            shutil.rmtree(folder)


class Objects:
    """All contents, through one connection to the records."""

    def __init__(self, files: ObjectFiles, connection: sqlite3.Connection) -> None:
        self.files = files
        self._connection = connection
        self.added: list[bytes] = []  # by the transaction under way

    def add(self, contents: Iterable[Content]) -> None:
        """Store what is yet to become a row; part of the transaction under way, which has a commit for all of them."""
        contents = list(contents)
        self.added += [content.name for content in contents]
        rows = ((content.name, content.inline) for content in contents if content.inline is not None)
        self._connection.executemany("INSERT OR IGNORE INTO object VALUES (?, ?)", rows)

    def inline(self, name: bytes) -> bytes | None:
        """A small content, or None if it is a large one (or not there)."""
        found = self._connection.execute("SELECT content FROM object WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def read(self, name: bytes, offset: int = 0) -> Iterator[bytes]:
        """A content from an offset to its end, in blocks."""
        content = self.inline(name)
        if content is not None:
            yield content[offset:]
            return
        with self._open(name) as file:
            file.seek(offset)
            while block := file.read(_BLOCK):
                yield block

    def place(self, name: bytes, target: Path | str) -> None:
        """Write a private copy of a content to a new file; blocks are shared where the file system can."""
        content = self.inline(name)
        if content is not None:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)
            return
        with self._open(name) as source, open(target, "xb", buffering=0) as copy:
            try:
                fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
            except OSError:
                shutil.copyfileobj(source, copy, _BLOCK)

    def _open(self, name: bytes) -> BinaryIO:
        try:
            return self.files.path(name).open("rb", buffering=0)
        except FileNotFoundError:
            raise Unavailable(f"the content {name.hex()} is missing from the store", hint="run fsck to see what else is damaged") from None


def _write_sparse(descriptor: int, block: bytes) -> None:
    """Write a block where an open file stands, and pass over what is empty in it: a file that had holes has them here, too."""
    begin = 0
    for at in range(0, len(block), len(_HOLE)):
        if block[at] == 0 and block.startswith(_HOLE, at):
            _write(descriptor, memoryview(block)[begin:at])
            begin = at + len(_HOLE)
            os.lseek(descriptor, len(_HOLE), os.SEEK_CUR)
    _write(descriptor, memoryview(block)[begin:])


def _write(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]


def _blocks(head: bytes, source: BinaryIO) -> Iterator[bytes]:
    yield head
    while block := source.read(_BLOCK):
        yield block
