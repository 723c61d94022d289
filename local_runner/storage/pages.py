"""Free pages of the records file: counts them, and returns them to the disk in pieces."""

from __future__ import annotations

import sqlite3
import time

INCREMENTAL = 2  # of `PRAGMA auto_vacuum`: free pages are given back on request
BUSY_SECONDS = 60  # how long SQLite waits for its own locks
_AT_ONCE = 500  # pages: 2 MiB, 15 to 30 ms


def free_bytes(connection: sqlite3.Connection) -> int:
    """How many bytes of the file hold nothing."""
    return _number(connection, "freelist_count") * _number(connection, "page_size")


def used_bytes(connection: sqlite3.Connection) -> int:
    """How many bytes of the file hold something."""
    return _number(connection, "page_count") * _number(connection, "page_size") - free_bytes(connection)


def give_back(connection: sqlite3.Connection, seconds: float) -> bool:
    """Cut free pages off the file for some time; says whether none are left. Only where `is_incremental`; with `write.lock` held."""
    deadline = time.monotonic() + seconds
    while _number(connection, "freelist_count"):
        # As a script: `execute` would take one step of it, which is one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_AT_ONCE})")
        if time.monotonic() >= deadline:
            return not _number(connection, "freelist_count")
    return True


def is_incremental(connection: sqlite3.Connection) -> bool:
    """Whether free pages can be given back bit by bit. Records made by earlier versions have to be written anew for that, once."""
    return _number(connection, "auto_vacuum") == INCREMENTAL


def write_anew(connection: sqlite3.Connection) -> None:
    """Write the whole file anew, without free pages, and `is_incremental` from then on. Takes its used size again while it runs."""
    connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    connection.execute("VACUUM")


def empty_log(connection: sqlite3.Connection) -> bool:
    """Checkpoint the write-ahead log into the file; returns whether that was complete. To be called with `write.lock` held.

    SQLite can complete it only without readers of the records before, so this also tells whether there are any.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:  # a reader is taking it in this moment
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
