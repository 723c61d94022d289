"""The table of packed contents: documents of a job, which are alike, each as what it has beside the first (FORMAT.md, *Packed*)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from local_runner.storage.home import WITH_PACKED, Home, need_format
from local_runner.storage.packing import deflate, inflate

_TABLES = (
    "CREATE TABLE IF NOT EXISTS dictionary (key INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, content BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS packed (name BLOB PRIMARY KEY, dictionary INTEGER NOT NULL, content BLOB NOT NULL)",
)
# As `put_row`: what lies there damaged is replaced, what lies there whole is left alone.
_PUT = (
    "INSERT INTO packed VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET dictionary = excluded.dictionary, content = excluded.content"
    " WHERE content IS NOT excluded.content OR dictionary IS NOT excluded.dictionary"
)


def has_packed(connection: sqlite3.Connection) -> bool:
    """Whether there are the tables, which are made with the first packed content."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'packed'").fetchone() is not None


def put_packed(home: Home, connection: sqlite3.Connection, label: str, contents: Sequence[tuple[bytes, bytes]]) -> None:
    """Store contents (name, bytes) that are alike; part of the transaction under way. The first of a label are its dictionary."""
    need_format(home, WITH_PACKED)
    for statement in _TABLES:
        connection.execute(statement)
    found = connection.execute("SELECT key, content FROM dictionary WHERE label = ?", (label,)).fetchone()
    if found is None:
        dictionary = b"".join(content for _, content in contents[:2])
        found = connection.execute("INSERT INTO dictionary (label, content) VALUES (?, ?)", (label, dictionary)).lastrowid, dictionary
    key, dictionary = found
    connection.executemany(_PUT, ((name, key, deflate(content, dictionary)) for name, content in contents))
    # One that is there unpacked may be damaged, and would be read first.
    connection.executemany("DELETE FROM object WHERE name = ?", ((name,) for name, _ in contents))


def get_packed(connection: sqlite3.Connection, name: bytes) -> bytes | None:
    """A packed content, unchecked; None if there is none. What cannot be unpacked is given as it lies there."""
    if not has_packed(connection):
        return None
    statement = "SELECT packed.content, dictionary.content FROM packed LEFT JOIN dictionary ON key = dictionary WHERE name = ?"
    found = connection.execute(statement, (name,)).fetchone()
    if found is None:
        return None
    try:
        return inflate(*found)
    except (ValueError, TypeError):
        return bytes(found[0]) if isinstance(found[0], bytes) else b""


def packed_sizes(connection: sqlite3.Connection) -> Iterator[tuple[bytes, int]]:
    """The names of packed contents, and what each takes."""
    if has_packed(connection):
        yield from connection.execute("SELECT name, length(content) FROM packed")


def drop_unused_dictionaries(connection: sqlite3.Connection) -> None:
    """Remove the dictionaries that no content needs; part of the transaction under way."""
    if has_packed(connection):
        connection.execute("DELETE FROM dictionary WHERE key NOT IN (SELECT dictionary FROM packed)")
