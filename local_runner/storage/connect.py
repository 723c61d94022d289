"""Opens the records: creates new ones, upgrades older ones, and reads those that cannot be written."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from local_runner.errors import Unavailable
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.storage.home import Home
from local_runner.storage.locks import FileLock
from local_runner.storage.metadata_records import forget_with_rows
from local_runner.storage.pages import BUSY_SECONDS, INCREMENTAL
from local_runner.storage.released import count_removed
from local_runner.storage.row_sums import keep_sums, sum_all

_SCHEMA, _ADDITIONS = (Path(__file__).with_name(name) for name in ("schema.sql", "additions.sql"))
# NORMAL in WAL mode: a killed process loses nothing, a power cut at most the last transactions, and never the whole.
_WRITING = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32000"
# For a file that is made now, before anything else. Of one that is there it would have to be written, and so waited for.
_NEW = f"PRAGMA auto_vacuum = {INCREMENTAL};"


def connect(home: Home, *, create: bool) -> sqlite3.Connection:
    """A connection to the records of a home. Raises `sqlite3.Error`, and `Unavailable` for a home where they are missing.

    With `create` they are laid out where none are.
    """
    if not os.access(home.path, os.W_OK) and home.path.exists():
        return _connect_read_only(home)
    is_made = create and not (home.database.exists() and home.database.stat().st_size)
    connection = _open(home.database, "rwc" if create else "rw")
    try:
        _set_up(connection, f"{_NEW if is_made else ''} {_WRITING}")
        is_new = not is_laid_out(connection)  # which reads the schema: better here than anywhere
        if create and is_new:
            lock = FileLock(home.write_lock)
            try:
                lock.acquire()
                lay_out(connection)
            finally:
                lock.release()
    except UnicodeDecodeError as error:  # what SQLite says of a damaged schema
        connection.close()
        raise sqlite3.DatabaseError(error.object.decode(errors="backslashreplace")) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, script: str) -> None:
    """Run what is to hold for a connection. Of two that begin the log of a new file at once SQLite refuses one, without waiting."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.executescript(script)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
        time.sleep(0.01)


def is_laid_out(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there."""
    return _has_table(connection, "setting")


def committed(connection: sqlite3.Connection) -> int:
    """How many transactions the records hold; 0 for records made by an earlier version."""
    if not _has_table(connection, "written"):
        return 0
    found = connection.execute("SELECT transactions FROM written").fetchone()
    return int(found[0]) if found else 0


def has_additions(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there that records made by an earlier version lack."""
    return _has_table(connection, "written")


@contextlib.contextmanager
def empty_records(*, additions: bool) -> Iterator[sqlite3.Connection]:
    """Records without a row, in memory: what the tables should be."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(_SCHEMA.read_text() + (_ADDITIONS.read_text() if additions else ""))
        yield connection
    finally:
        connection.close()


def prepare_to_write(connection: sqlite3.Connection) -> None:
    """Upgrade records of an earlier version, and keep row sums from now on. To be called with `write.lock` held."""
    if not _has_table(connection, "written") or not committed(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _add(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    keep_sums(connection)
    count_removed(connection)
    forget_with_rows(connection)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    # isolation_level None: transactions are ours. Threads: `Database.close` is called by the one that opened it.
    address = f"file:{quote(str(path))}?{'' if mode.startswith('immutable') else 'mode='}{mode}"
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def lay_out(connection: sqlite3.Connection) -> None:
    """Make the tables, if they are not there. To be called with `write.lock` held."""
    if not is_laid_out(connection):
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA.read_text()}")
        connection.execute("INSERT INTO project VALUES (?, '', ?, NULL)", (DEFAULT_PROJECT, time.time()))
        _add(connection)
        connection.execute("COMMIT")


def _add(connection: sqlite3.Connection) -> None:
    """Add the missing tables in one transaction."""
    for statement in _ADDITIONS.read_text().split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO written VALUES (1, 1)")
    sum_all(connection)


def _connect_read_only(home: Home) -> sqlite3.Connection:
    """Open records that cannot be written: another user's, a backup's, a read-only disk's."""
    if not home.database.exists():
        raise Unavailable(f"there are no records in {home.path}, and nothing can be written there")
    connection = _open(home.database, "ro")
    try:
        is_laid_out(connection)
        return connection
    except sqlite3.OperationalError:
        connection.close()  # SQLite wants to make files beside it
    log = home.database.with_name(f"{home.database.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return _open(home.database, "immutable=1")
    # A killed writer left its log, which cannot be checkpointed there.
    folder = tempfile.mkdtemp(prefix="local_runner-records-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for path in (home.database, log):
        shutil.copy(path, folder)
    return _open(Path(folder, home.database.name), "rw")
