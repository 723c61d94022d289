"""Reads and writes the rows of file sets: changes of files that are in no commit. Their table is made with the first."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from local_runner.storage.rows import reads

_TABLE = "CREATE TABLE IF NOT EXISTS file_set (id TEXT PRIMARY KEY, expires REAL NOT NULL, root BLOB, layers TEXT NOT NULL) WITHOUT ROWID"


class Layer(NamedTuple):
    """What one set of changes does: files of these (path, tag) go, folders with everything below, and those of a tree are added after."""

    deleted: tuple[tuple[str, str], ...]
    added: bytes | None


class FileSetRow(NamedTuple):
    """`root` is the tree that the layers make of nothing; `expires` is in seconds since the epoch."""

    id: str
    expires: float
    root: bytes | None
    layers: tuple[Layer, ...]


class FileSetRecords:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def find(self, id: str, now: float) -> FileSetRow | None:
        """A file set, if its time is not over."""
        if not self._are_there():
            return None
        found = self._db.execute("SELECT * FROM file_set WHERE id = ? AND expires > ?", (id, now)).fetchone()
        return _row(found) if found else None

    def put(self, row: FileSetRow, now: float) -> None:
        """Keep one, and forget those whose time is over."""
        self._db.execute(_TABLE)
        self._db.execute("DELETE FROM file_set WHERE expires <= ?", (now,))
        layers = [[layer.deleted, layer.added and layer.added.hex()] for layer in row.layers]
        self._db.execute("INSERT OR REPLACE INTO file_set VALUES (?, ?, ?, ?)", (row.id, row.expires, row.root, json.dumps(layers)))

    def roots(self, now: float) -> Iterator[bytes]:
        """The roots of all trees that some file set holds."""
        for found in self._db.execute("SELECT * FROM file_set WHERE expires > ?", (now,)) if self._are_there() else ():
            row = _row(found)
            yield from (root for root in (row.root, *(layer.added for layer in row.layers)) if root)

    def _are_there(self) -> bool:
        return self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'file_set'").fetchone() is not None


def layers(rows: Sequence[FileSetRow]) -> tuple[Layer, ...]:
    """Those of several file sets, one upon the other."""
    return tuple(layer for row in rows for layer in row.layers)


@reads("file_set")
def _row(row: tuple[str, float, bytes | None, str]) -> FileSetRow:
    found = [
        Layer(tuple((path, tag) for path, tag in deleted), bytes.fromhex(added) if added else None) for deleted, added in json.loads(row[3])
    ]
    return FileSetRow(row[0], row[1], row[2], tuple(found))
