"""Keeps a check sum for each row of the records, so that `fsck` finds damaged rows.

Pieces of trees and contents are named by their hashes and need none. The sums are kept by triggers of each writing connection, which
call a function of this module; they lie in a table of their own, and a reader never looks at them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from local_runner.storage.rows import MISREADINGS

TABLES = (
    "setting",
    "project",
    "repo",
    "branch",
    "branch_source",
    "commits",
    "commit_source",
    "pipeline",
    "job",
    "pending",
    "secret",
)
_FUNCTION = "sum_of_row"


class RowText(bytes):
    """A text of a row that may be no UTF-8."""


class WrongRow(NamedTuple):
    """A row that is not what was written, or is gone (`found` is false); `row` is its key, as SQL writes it."""

    table: str
    row: str
    found: bool

    @property
    def problem(self) -> str:
        """The end of a sentence."""
        return "is not what was written" if self.found else "has gone"


def sum_of_row(*values: object) -> int:
    """CRC-32 over the values of a row, each with its kind. Whole numbers count the same as integers and as floats, as for SQLite."""
    parts = []
    for value in values:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str | RowText):
            kind, content = b"t", value.encode() if isinstance(value, str) else bytes(value)
        elif isinstance(value, bytes):
            kind, content = b"b", value
        elif isinstance(value, float):
            kind, content = b"f", struct.pack(">d", value)
        else:
            kind, content = b"i", str(value).encode()  # None too
        parts.append(b"%s%d:%s" % (kind, len(content), content))
    return zlib.crc32(b"".join(parts))


def keep_sums(connection: sqlite3.Connection) -> None:
    """Have a connection keep the sums of all rows it writes."""
    connection.create_function(_FUNCTION, -1, sum_of_row, deterministic=True)
    connection.execute("PRAGMA temp_store = MEMORY")
    for table in TABLES:
        new, old = _expressions(connection, table, "NEW"), _expressions(connection, table, "OLD")
        put = f"INSERT OR REPLACE INTO row_sum VALUES ('{table}', {new.key}, {_FUNCTION}({new.columns}));"
        drop = f'DELETE FROM row_sum WHERE "table" = \'{table}\' AND "row" = {old.key};'
        for event, body in (("INSERT", put), ("UPDATE", f"{drop} {put}"), ("DELETE", drop)):
            connection.execute(f"CREATE TEMP TRIGGER IF NOT EXISTS sum_{table}_{event} AFTER {event} ON main.{table} BEGIN {body} END")


def sum_all(connection: sqlite3.Connection) -> None:
    """Take all rows as they are; part of the transaction under way."""
    connection.create_function(_FUNCTION, -1, sum_of_row, deterministic=True)
    connection.execute("DELETE FROM row_sum")
    for table in TABLES:
        row = _expressions(connection, table, table)
        connection.execute(f"INSERT INTO row_sum SELECT '{table}', {row.key}, {_FUNCTION}({row.columns}) FROM {table}")


def wrong_rows(connection: sqlite3.Connection) -> Iterator[WrongRow]:
    """The rows of a table whose sums differ, or that have gone. Raises `sqlite3.Error` where they cannot be read."""
    rows = {table: _expressions(connection, table, table) for table in TABLES}
    before, connection.text_factory = connection.text_factory, RowText
    try:
        for table, row in rows.items():
            sums = {
                key.decode(errors="replace"): value
                for key, value in connection.execute('SELECT "row", sum FROM row_sum WHERE "table" = ?', (table,))
            }
            for key, *values in connection.execute(f"SELECT {row.key}, {row.columns} FROM {table}"):
                name = key.decode(errors="replace")
                if sums.pop(name, None) != sum_of_row(*values):
                    yield WrongRow(table, name, True)
            for name in sums:
                yield WrongRow(table, name, False)
    finally:
        connection.text_factory = before


def first_wrong_row(connection: sqlite3.Connection) -> WrongRow | None:
    """One of them; None also where that cannot be told."""
    with contextlib.suppress(sqlite3.Error, *MISREADINGS):
        return next(wrong_rows(connection), None)
    return None


class _Expressions(NamedTuple):
    key: str
    columns: str


def _expressions(connection: sqlite3.Connection, table: str, row: str) -> _Expressions:
    """SQL for the primary key of a row as one text, and for the list of its columns."""
    columns = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
    keys = [name for _, name, _, _, _, position in columns if position]
    return _Expressions(
        " || ',' || ".join(f'quote({row}."{name}")' for name in keys), ", ".join(f'{row}."{name}"' for _, name, *_ in columns)
    )
