"""Counts the bytes of commits that were removed, and of pieces of trees that were replaced in open ones, since the last collection: an
upper bound of what a collection frees.
"""

from __future__ import annotations

import sqlite3

_SETTING = "let go"
_REPLACED = "replaced"


def count_removed(connection: sqlite3.Connection) -> None:
    """Have a connection count what it removes, also with a repo or project."""
    add = "ON CONFLICT (name) DO UPDATE SET value = value + OLD.size"
    connection.execute(
        "CREATE TEMP TRIGGER IF NOT EXISTS let_go AFTER DELETE ON main.commits WHEN OLD.size > 0"
        f" BEGIN INSERT INTO setting VALUES ('{_SETTING}', OLD.size) {add}; END"
    )


def let_go(connection: sqlite3.Connection) -> int:
    """The bytes counted."""
    found = connection.execute("SELECT value FROM setting WHERE name = ?", (_SETTING,)).fetchone()
    return int(found[0]) if found else 0


def count_replaced(connection: sqlite3.Connection, size: int) -> None:
    """Count pieces that an open commit had and has no more; part of the transaction under way."""
    add = "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
    connection.execute(f"INSERT INTO setting VALUES (?, ?) {add}", (_REPLACED, size))


def replaced(connection: sqlite3.Connection) -> int:
    """The bytes counted of pieces."""
    found = connection.execute("SELECT value FROM setting WHERE name = ?", (_REPLACED,)).fetchone()
    return int(found[0]) if found else 0


def forget_removed(connection: sqlite3.Connection) -> None:
    """Begin to count anew; part of the transaction under way."""
    connection.execute("DELETE FROM setting WHERE name IN (?, ?)", (_SETTING, _REPLACED))
