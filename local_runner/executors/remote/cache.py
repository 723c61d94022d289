"""Keeps contents on the machine of a worker, by their hashes; shared by the workers of a machine, and kept when they end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from local_runner.executors.launcher.messages import describe

BLOCK = 1 << 20
_SUM_BYTES = 32  # of the SHA-256 that ends each file: 1.2 GB/s, where a Pachyderm hash may take 20 times as long
_STALE_SECONDS = 24 * 3600.0  # a draft that is older was left by a process that is gone


class NotKept(Exception):
    """A content is not in the cache, or was damaged there and is not any more. `name` is its hash."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name.hex())
        self.name = name


class ContentCache:
    """Contents in a folder, each as a file that ends with its SHA-256. Safe for several threads and processes.

    Those that were not used for the longest time go when all take more than `most` bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        """Raises OSError if the folder cannot be made."""
        self.folder, self._most = folder, most
        self._drafts = folder / "drafts"
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._since_look = most  # bytes that came since the folder was looked through
        for draft in self._drafts.iterdir():
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < time.time() - _STALE_SECONDS:
                    draft.unlink()

    def has(self, name: bytes) -> bool:
        """Whether a content is kept; it then counts as used."""
        try:
            os.utime(self._path(name))
        except OSError:
            return False
        return True

    def begin(self) -> Draft:
        """A file for a content that comes in pieces."""
        return Draft(self._drafts / uuid.uuid4().hex)

    def keep(self, draft: Draft, name: bytes, digest: bytes) -> bool:
        """Keep a draft under a name if it has this SHA-256. Says whether it has. Raises OSError; then nothing is left of the draft."""
        try:
            if draft.finish() != digest:
                draft.drop()
                return False
            self._make_room(draft.path.stat().st_size)
            path = self._path(name)
            path.parent.mkdir(exist_ok=True)
            draft.path.rename(path)
        except OSError:
            draft.drop()
            raise
        return True

    def read(self, name: bytes) -> Iterator[bytes]:
        """A content in blocks, the whole of it checked before the first is given. Raises `NotKept`."""
        with self._opened(name) as file:
            for _ in self._blocks(name, file):
                pass
            left = file.seek(0, os.SEEK_END) - _SUM_BYTES
            file.seek(0)
            while left > 0 and (block := file.read(min(BLOCK, left))):
                left -= len(block)
                yield block

    def copy(self, name: bytes, descriptor: int) -> None:
        """Write a content to an open file, checked on the way. Raises `NotKept`, and OSError if it cannot be written."""
        with self._opened(name) as file:
            for block in self._blocks(name, file):
                view = memoryview(block)
                while view:
                    view = view[os.write(descriptor, view) :]

    def size(self) -> int:
        """How many bytes are kept."""
        return sum(size for _, size, _ in self._files())

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self.folder / text[:2] / text[2:]

    def _opened(self, name: bytes) -> io.FileIO:
        """The file of a content. Raises `NotKept`."""
        try:
            return self._path(name).open("rb", buffering=0)
        except OSError:
            raise NotKept(name) from None

    def _blocks(self, name: bytes, file: io.FileIO) -> Iterator[bytes]:
        """The content of an open file; one that is damaged goes. Raises `NotKept` at its end."""
        hasher = hashlib.sha256()
        left = os.fstat(file.fileno()).st_size - _SUM_BYTES
        while left > 0 and (block := file.read(min(BLOCK, left))):
            hasher.update(block)
            left -= len(block)
            yield block
        if left or file.read(_SUM_BYTES) != hasher.digest():
            self._path(name).unlink(missing_ok=True)
            raise NotKept(name)

    def _make_room(self, size: int) -> None:
        """Remove what was used the longest ago if all would be more than there may be; looked at once for a sixteenth of that."""
        self._since_look += size
        if self._since_look < self._most // 16:
            return
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            files = sorted(self._files())
            over = sum(found for _, found, _ in files) + size - self._most
            for _, found, path in files:
                if over <= 0:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    over -= found
        self._since_look = 0

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path


class Draft:
    """A content that comes in, in order. `path` is the file it is written to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hasher = hashlib.sha256()
        self._file = path.open("xb")
        self.size = 0

    def write(self, blocks: Iterable[bytes]) -> None:
        """Append to it. Raises OSError; then nothing is left of it: a disk that is full would stay so."""
        try:
            for block in blocks:
                self._hasher.update(block)
                self.size += len(block)
                self._file.write(block)
            self._file.flush()
        except OSError:
            self.drop()
            raise

    def finish(self) -> bytes:
        """End it with its SHA-256, which is returned. Raises OSError."""
        digest = self._hasher.digest()
        self._file.write(digest)
        self._file.close()
        return digest

    def drop(self) -> None:
        """Remove it."""
        with contextlib.suppress(OSError):  # what could not be written before
            self._file.close()
        self.path.unlink(missing_ok=True)


def cache_trouble(folder: Path, why: OSError) -> str:
    """The sentence for a cache that cannot be written."""
    return f"the cache of contents {folder} of a worker's machine cannot be written: {describe(why)}"
