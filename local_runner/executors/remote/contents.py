"""Sends contents to the machines of workers: by their hashes, in chunks, and only what is not there."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from local_runner.errors import Unavailable, WorkerLost
from local_runner.executors.base import Contents
from local_runner.executors.remote.wire import CHUNK
from local_runner.model.file_hash import FileHasher

_TRIES = 3
_BLOCK = 1 << 20


class Asks(Protocol):
    """Whoever brings a question to a machine and its answer back."""

    def __call__(self, verb: str, *details: object) -> object: ...


class Sender:
    """Sends contents to machines, each once at a time to each cache. Safe for several threads. `moved` counts the bytes that went."""

    def __init__(self) -> None:
        self.moved = 0
        self._guard = threading.Lock()
        self._turns: defaultdict[tuple[str, bytes], threading.Lock] = defaultdict(threading.Lock)
        self._digests: dict[bytes, tuple[bytes, int]] = {}

    def send(self, ask: Asks, cache: str, names: Iterable[bytes], contents: Contents) -> None:
        """Send contents to a machine whose cache is called `cache`. Raises `ContentLost`, `WorkerLost` and `Unavailable`."""
        for name in names:
            with self._guard:
                turn = self._turns[cache, name]
            with turn:
                if not ask("has", name):
                    self._send(ask, name, contents)
            with self._guard:
                self._turns.pop((cache, name), None)

    def _send(self, ask: Asks, name: bytes, contents: Contents) -> None:
        shared = contents.file(name)
        if shared is not None:
            digest, size = self._digest(name, contents)
            if ask("see", str(shared), name, size, digest):
                return
        for _ in range(_TRIES):
            if self._push(ask, name, contents):
                return
        raise Unavailable(
            f"the content {name.hex()} does not arrive whole at a worker's machine", hint="look for errors of its network or disk"
        )

    def _push(self, ask: Asks, name: bytes, contents: Contents) -> bool:
        draft, hasher, offset = uuid.uuid4().hex, hashlib.sha256(), 0
        for chunk, is_last in _chunks(contents.read(name)):
            hasher.update(chunk)
            if not ask("put", draft, name, offset, chunk, hasher.digest() if is_last else b""):
                return False
            offset += len(chunk)
        with self._guard:
            self.moved += offset
        return True

    def _digest(self, name: bytes, contents: Contents) -> tuple[bytes, int]:
        """The SHA-256 and size of a content, which is read for that the first time."""
        known = self._digests.get(name)
        if known is None:
            hasher, size = hashlib.sha256(), 0
            for block in contents.read(name):
                hasher.update(block)
                size += len(block)
            known = self._digests[name] = hasher.digest(), size
        return known


def _chunks(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same bytes in chunks of one size, and whether each is the last; at least one."""
    held = bytearray()
    for block in blocks:
        held += block
        while len(held) > CHUNK:
            yield bytes(held[:CHUNK]), False
            del held[:CHUNK]
    yield bytes(held), True


class WithFiles:
    """The contents of a store, and files of code besides, by the hashes of what they held when they were looked at."""

    def __init__(self, contents: Contents | None, files: Mapping[bytes, Path]) -> None:
        self._contents, self._files = contents, files

    def read(self, name: bytes) -> Iterator[bytes]:
        """Raises `WorkerLost`, so that a worker is opened anew, for a file of code that is another one by now."""
        if path := self._files.get(name):
            hasher = FileHasher()
            with path.open("rb", buffering=0) as file:
                for block in iter(lambda: file.read(_BLOCK), b""):
                    hasher.update(block)
                    yield block
            if hasher.digest() != name:  # else it would be kept there under the name of what it was, for all who have that
                raise WorkerLost(f"{path} was changed while it was sent to a worker's machine")
        elif self._contents:
            yield from self._contents.read(name)
        else:
            raise Unavailable(f"the content {name.hex()} is asked for, and there is no store")

    def file(self, name: bytes) -> Path | None:
        return self._files.get(name) or (self._contents.file(name) if self._contents else None)
