"""The store as workers on other machines get contents from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local_runner.storage.database import Database


@dataclass(frozen=True, slots=True)
class StoredContents:
    """The contents of a home, by their hashes; `executors.base.Contents`. Each thread that reads has a connection of its own."""

    database: Database

    def read(self, name: bytes) -> Iterator[bytes]:
        """A content in blocks, checked. Raises `ContentLost`."""
        with self.database.read() as session:
            yield from session.objects.read(name)

    def file(self, name: bytes) -> Path | None:
        """The file that holds just this content; None for a small one, and for one that is made of parts."""
        path = self.database.files.path(name)
        return path if path.is_file() else None
