"""Contents of files, each stored once under its Pachyderm hash: small ones as rows, large ones as files (FORMAT.md, *Objects*).

Everything read is checked against its name; damaged bytes are never returned (FORMAT.md, *What is checked when*).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from local_runner.errors import ContentLost
from local_runner.model.file_hash import Chunk, FileHasher, file_hash, hash_of_chunks
from local_runner.storage.arrivals import Arrivals
from local_runner.storage.atomic import write_all, write_sparse
from local_runner.storage.home import WITH_PARTS, Home, disk_full, need_format
from local_runner.storage.intake import OpenFile, Source, bring_in
from local_runner.storage.packed import get_packed, packed_sizes, put_packed
from local_runner.storage.stored_file import FilePart, StoredFile, pack_chunks, pack_parts, unpack_chunks, unpack_parts
from local_runner.storage.sums import BLOCK, KnownContents, Summer, ahead, blocks, covers, fits, sums_of

# Below this SQLite is faster than a file of one's own (10 000 files of 1 kB: 0.1 s against 0.5 s), and fewer inodes are used.
INLINE_BYTES = 64 * 1024
WORTH_SHARING = 16 * 1024 * 1024  # a content of so many bytes is worth it to remember its chunks: what is appended shares the rest
_ALL = 1 << 63
_AHEAD_BYTES = 8 * 1024 * 1024  # of a content whose next block is read and summed while the one before is written
_SUMMED_BYTES = 8 * 1024  # a smaller content is hashed sooner than its sum is looked up


class Content(NamedTuple):
    """A content that was read: its hash and size, and its bytes if it is yet to be stored as a row, else its block sums."""

    name: bytes
    size: int
    inline: bytes | None = None
    sums: bytes | None = None
    chunks: tuple[Chunk, ...] = ()
    parts: tuple[FilePart, ...] = ()  # of other contents, which it is stored as


def hashed(content: bytes | Source | Path) -> Content:
    """The hash and size of a content that is read to its end and stored nowhere."""
    if isinstance(content, bytes):
        return Content(file_hash(content), len(content))
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashed(file)
    hasher, size = FileHasher(), 0
    while block := content.read(BLOCK):
        hasher.update(block)
        size += len(block)
    return Content(hasher.digest(), size)


class ObjectFiles:
    """Large contents, as files. Safe for any number of threads and processes: a file appears whole, under the name of its content."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.arrivals = Arrivals(home)
        self.known = KnownContents()

    def take(self, source: bytes | Source | Path) -> Content:
        """Read content to its end and hash it; if it is large it is stored when this returns, else the caller stores `inline`.

        Raises `Unavailable` if the disk is full.
        """
        if isinstance(source, bytes):
            if len(source) <= INLINE_BYTES:
                return Content(file_hash(source), len(source), source)
            return self.store(io.BytesIO(source))
        if isinstance(source, Path):
            with source.open("rb", buffering=0) as file:
                return self.take(file)
        if isinstance(source, io.FileIO):
            source = OpenFile(source)
        if isinstance(source, OpenFile) and os.fstat(source.file.fileno()).st_size > INLINE_BYTES:
            return self.store(source)
        head = source.read(INLINE_BYTES + 1)
        while head and len(head) <= INLINE_BYTES:
            more = source.read(INLINE_BYTES + 1 - len(head))
            if not more:
                break
            head += more
        if len(head) <= INLINE_BYTES:
            return Content(file_hash(head), len(head), head)
        return self.store(source, head)

    def store(self, source: Source, head: bytes = b"") -> Content:
        """Store the rest of a source as a file, however small it is; `head` stands before it. Raises `Unavailable` if the disk is full."""
        descriptor, draft = tempfile.mkstemp(dir=self.arrivals.folder())
        try:
            try:
                arrived = bring_in(source, descriptor, draft, head)
            finally:
                os.close(descriptor)
            self.arrivals.shelve(draft, arrived.name, self.path(arrived.name))
        except BaseException as error:
            Path(draft).unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(self.home.path) from error
            raise
        return Content(arrived.name, arrived.size, sums=arrived.sums, chunks=tuple(arrived.chunks))

    def names(self) -> Iterator[bytes]:
        """Names of all large contents."""
        for path in self.home.objects.glob("*/*"):
            with contextlib.suppress(ValueError):
                yield bytes.fromhex(path.parent.name + path.name)

    def path(self, name: bytes) -> Path:
        """Where a large content lies."""
        text = name.hex()
        return self.home.objects / text[:2] / text[2:]


class Objects:
    """All contents, through one connection to the records."""

    def __init__(self, files: ObjectFiles, connection: sqlite3.Connection) -> None:
        self.files = files
        self._connection = connection
        self.added: list[bytes] = []  # by the transaction under way

    def add(self, contents: Iterable[Content]) -> None:
        """Store what is yet to become a row; part of the transaction under way, which has a commit for all of them.

        What is stored, but damaged, is mended by it.
        """
        for content in contents:
            self.added.append(content.name)
            sums = content.sums
            if content.inline is not None:
                self._put("object", content.name, content.inline)
                sums = sums_of(content.inline) if len(content.inline) > _SUMMED_BYTES else None
            if sums is not None:
                self._put("block_sums", content.name, sums)
            if content.parts or (content.size >= WORTH_SHARING and content.chunks):
                self._put_large(content)

    def add_alike(self, label: str, contents: Sequence[Content]) -> None:
        """As `add` for small contents of which many are to come, all alike: they are packed. `label` is the same for all."""
        self.added += [content.name for content in contents]
        packed = [(content.name, content.inline) for content in contents if content.inline is not None]
        put_packed(self.files.home, self._connection, label, packed)

    def _put(self, table: str, name: bytes, value: bytes) -> None:
        self._connection.execute(put_row(table), (name, value))

    def _put_large(self, content: Content) -> None:
        if content.parts:
            need_format(self.files.home, WITH_PARTS)
        connection = self._connection
        connection.execute("CREATE TABLE IF NOT EXISTS large (name BLOB PRIMARY KEY, chunks BLOB NOT NULL, parts BLOB NOT NULL)")
        values = (content.name, pack_chunks(content.chunks), pack_parts(content.parts))
        connection.execute("INSERT OR REPLACE INTO large VALUES (?, ?, ?)", values)

    def large(self, name: bytes) -> tuple[list[Chunk], list[FilePart]] | None:
        """The chunks of a large content, and of which parts it is; None if nothing is known, as of one that an earlier version stored."""
        if not has_large(self._connection):
            return None
        found = self._connection.execute("SELECT chunks, parts FROM large WHERE name = ?", (name,)).fetchone()
        try:
            chunks, parts = (unpack_chunks(found[0]), unpack_parts(found[1])) if found else ([], [])
        except (ValueError, TypeError):
            return None
        if not chunks or hash_of_chunks(chunks) != name:
            return None
        return chunks, parts

    def names(self) -> set[bytes]:
        """Those of all contents, those that no commit needs any more included."""
        small = {bytes(name) for (name,) in self._connection.execute("SELECT name FROM object")}
        packed = {bytes(name) for name, _ in packed_sizes(self._connection)}
        large = self._connection.execute("SELECT name FROM large") if has_large(self._connection) else ()
        return small | packed | {bytes(name) for (name,) in large} | set(self.files.names())

    def stored(self, name: bytes) -> bytes | None:
        """A small content, unchecked; None if it is large or missing."""
        found = self._connection.execute("SELECT content FROM object WHERE name = ?", (name,)).fetchone()
        return found[0] if found else get_packed(self._connection, name)

    def inline(self, name: bytes) -> bytes | None:
        """A small content; None if it is large or missing. Raises `ContentLost` if it is damaged."""
        content = self.stored(name)
        if content is not None and not self._is_whole(name, content):
            raise ContentLost(name.hex())
        return content

    def small(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of some contents that are small and whole, by name: in a third of the time of one by one. At most a few hundred."""
        marks = ",".join("?" * len(names))
        found = self._connection.execute(f"SELECT name, content FROM object WHERE name IN ({marks})", names)
        return {name: content for name, content in found if self._is_whole(name, content)}

    def _is_whole(self, name: bytes, content: object) -> bool:
        if not isinstance(content, bytes):
            return False
        return (len(content) > _SUMMED_BYTES and self.sums(name) == sums_of(content)) or file_hash(content) == name

    def problem(self, name: bytes, size: int, *, read: bool) -> str:
        """What is wrong with a stored content that should have so many bytes, as the end of a sentence; "" if nothing is.

        With `read` all of it is hashed, whatever was found before.
        """
        small = self.stored(name)
        if small is not None:
            if not isinstance(small, bytes):
                return "is not what its name says"
            if len(small) != size:
                return f"has {len(small)} bytes, not {size}"
            return "is not what its name says" if read and file_hash(small) != name else ""
        try:
            with self._open(name) as file:
                found = file.size
                if found != size:
                    return f"has {found} bytes, not {size}"
                if read:
                    self._judge(name, file)
        except ContentLost as error:
            return "is missing" if error.is_missing else "is not what its name says"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        return ""

    def without_sums(self) -> Iterator[Content]:
        """Large contents that are whole, but have no sums or wrong ones; with the right ones."""
        for name in self.files.names():
            summer, size = Summer(), 0
            with contextlib.suppress(ContentLost), self._open(name) as file:
                for block in _hashed(name, blocks(file)):
                    summer.update(block)
                    size += len(block)
                if summer.sums() != self.sums(name):
                    yield Content(name, size, sums=summer.sums())

    def read(self, name: bytes, offset: int = 0) -> Iterator[bytes]:
        """A content from an offset to its end, in blocks. Raises `ContentLost` if it is missing, and before it is damaged bytes' turn.

        Only of a content that was stored without sums damage is known at its end; then the last block is kept back.
        """
        content = self.inline(name)
        if content is not None:
            yield content[offset:]
            return
        with self._open(name) as file:
            yield from self._checked(name, file, offset)

    def place(self, name: bytes, target: Path | str) -> None:
        """Write a private copy of a content to a new file; blocks are shared where the file system can.

        Raises `ContentLost` for a damaged or missing content, and `OSError` that names the target; then no file is left there.
        """
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            try:
                self.copy(name, descriptor, target)
            finally:
                os.close(descriptor)
        except BaseException:
            os.unlink(target)
            raise

    def copy(self, name: bytes, descriptor: int, target: Path | str) -> None:
        """Write a content into an empty file that is open; `target` is its name for errors, which are those of `place`."""
        content = self.inline(name)
        if content is not None:
            write_all(descriptor, content, target)
            return
        with self._open(name) as source:
            if source.share(descriptor):
                if not self.files.known.has(name, source.fingerprint()):
                    for _ in self._checked(name, source):
                        pass
                return
            for block in self._checked(name, source):
                write_sparse(descriptor, block, target)
            os.ftruncate(descriptor, source.size)  # the last block may be a hole

    def _open(self, name: bytes) -> StoredFile:
        """A file of its own, if there is one, else parts of others."""
        with contextlib.suppress(FileNotFoundError):
            return StoredFile([FilePart(name, 0, _ALL)], self.files.path)
        with contextlib.suppress(FileNotFoundError, sqlite3.DatabaseError):
            found = self.large(name)
            if found and found[1]:
                return StoredFile(found[1], self.files.path)
        raise ContentLost(name.hex(), is_missing=True)

    # -- checking ------------------------------------------------------------------------------------------------------

    def _checked(self, name: bytes, file: StoredFile, offset: int = 0) -> Iterator[bytes]:
        """The blocks of a large content from an offset, each checked before it is given out."""
        before = file.fingerprint()
        if self.files.known.has(name, before):
            yield from blocks(file, offset)
            return
        sums = self.sums(name)
        if not covers(sums, before.size):
            if offset:
                self._judge(name, file)
                yield from blocks(file, offset)
                return
            yield from _hashed(name, blocks(file))
        else:
            pieces = self._summed(name, file, sums, offset)
            yield from ahead(pieces) if before.size - offset >= _AHEAD_BYTES else pieces
        if not offset:
            self.files.known.add(name, before, file.fingerprint())

    def sums(self, name: bytes) -> bytes:
        """Those of the blocks of a content; none if they are not known."""
        # Records made by an earlier version have none, and damaged ones cannot be read: then the name alone decides.
        with contextlib.suppress(sqlite3.DatabaseError):
            found = self._connection.execute("SELECT sums FROM block_sums WHERE name = ?", (name,)).fetchone()
            return found[0] if found and isinstance(found[0], bytes) else b""
        return b""

    def _summed(self, name: bytes, file: StoredFile, sums: bytes, offset: int) -> Iterator[bytes]:
        first = offset // BLOCK
        for number, block in enumerate(blocks(file, first * BLOCK), first):
            if not fits(sums, number, block):
                # Which of the two is damaged, the block or its sum, the name tells.
                self._judge(name, file)
                yield from blocks(file, max(offset, number * BLOCK))
                return
            yield block[offset - number * BLOCK :] if number * BLOCK < offset else block

    def _judge(self, name: bytes, file: StoredFile) -> None:
        """Hash a whole content. Raises `ContentLost` if it is not what its name says."""
        for _ in _hashed(name, blocks(file)):
            pass


def _hashed(name: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces; the last of them only if all together are what the name says."""
    hasher, held = FileHasher(), b""
    for piece in pieces:
        hasher.update(piece)
        if held:
            yield held
        held = piece
    if hasher.digest() != name:
        raise ContentLost(name.hex())
    yield held


def has_large(connection: sqlite3.Connection) -> bool:
    """Whether there is the table of large contents, which is made with the first of them."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'large'").fetchone() is not None


def put_row(table: str) -> str:
    """The statement that puts a value under the hash of it: what lies there damaged is replaced, what lies there whole is left alone."""
    column = "sums" if table == "block_sums" else "content"
    mend = f"DO UPDATE SET {column} = excluded.{column} WHERE {column} IS NOT excluded.{column}"
    return f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT (name) {mend}"
