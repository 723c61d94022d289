"""Connections to the records, and what a transaction is: many readers who are never blocked, one writer at a time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from local_runner.errors import LocalRunnerError, Unavailable
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.storage.bell import ring_all
from local_runner.storage.commit_records import CommitRecords
from local_runner.storage.home import Home, disk_full
from local_runner.storage.locks import FileLock
from local_runner.storage.objects import ObjectFiles, Objects
from local_runner.storage.pipeline_records import PipelineRecords
from local_runner.storage.repo_records import RepoRecords
from local_runner.storage.trees import Trees

_SCHEMA = Path(__file__).with_name("schema.sql")


class Session:
    """One connection: everything that is at rest, seen through one transaction."""

    def __init__(self, connection: sqlite3.Connection, files: ObjectFiles) -> None:
        self.connection = connection
        self.repos = RepoRecords(connection)
        self.commits = CommitRecords(connection)
        self.pipelines = PipelineRecords(connection)
        self.objects = Objects(files, connection)
        self.trees = Trees(_Nodes(connection))


class _Nodes:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get_node(self, name: bytes) -> bytes:
        found = self._connection.execute("SELECT content FROM node WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise Unavailable(f"the piece {name.hex()} of a tree is missing from the store", hint="run fsck to see what else is damaged")
        content: bytes = found[0]
        return content

    def put_node(self, name: bytes, content: bytes) -> None:
        self._connection.execute("INSERT OR IGNORE INTO node VALUES (?, ?)", (name, content))


class Database:
    """The records of a home. Each thread has a connection of its own."""

    def __init__(self, home: Home, waiting: Callable[[str], None] = lambda holder: None) -> None:
        """`waiting` is told who writes, when a write has to wait for it."""
        self.home = home
        self.files = ObjectFiles(home)
        self._waiting = waiting
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._apart: list[Session] = []  # free ones

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A view of the records that does not change while it is open. Within another transaction of this thread: that one."""
        session = self._session()
        if session.connection.in_transaction:
            yield session
            return
        with _translated(self.home):
            session.connection.execute("BEGIN")
            try:
                yield session
            finally:
                session.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def read_apart(self) -> Iterator[Session]:
        """A view as of `read`, on a connection of its own: for iterators, whose users may read and write meanwhile."""
        with _translated(self.home):
            session = self._apart.pop() if self._apart else Session(self._connect(), self.files)
            session.connection.execute("BEGIN")
            try:
                yield session
            finally:
                session.connection.execute("ROLLBACK")
                self._apart.append(session)

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """All changes made inside, or none of them if it is left by an exception. Not to be nested, nor done within `read`."""
        session = self._session()
        lock = FileLock(self.home.write_lock)
        with _translated(self.home):
            lock.acquire(self._waiting)
            try:
                session.connection.execute("BEGIN IMMEDIATE")
                try:
                    session.objects.added.clear()
                    yield session
                    session.connection.execute("COMMIT")
                    self.files.arrivals.release(session.objects.added)
                except BaseException:
                    # A full disk may have ended the transaction already.
                    if session.connection.in_transaction:
                        session.connection.execute("ROLLBACK")
                    session.trees.forget()
                    raise
            finally:
                lock.release()
        ring_all(self.home.bells)

    def close(self) -> None:
        """Close every thread's connection; no other thread may be using one."""
        for connection in self._opened:
            connection.close()
        self.files.arrivals.close()
        self._opened.clear()
        self._apart.clear()
        self._local = threading.local()

    def close_thread(self) -> None:
        """Close the connection of the calling thread, which is about to end."""
        session: Session | None = getattr(self._local, "session", None)
        if session is not None:
            session.connection.close()
            self._opened.remove(session.connection)
            del self._local.session

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            with _translated(self.home):
                session = Session(self._connect(), self.files)
            self._local.session = session
        return session

    def _connect(self) -> sqlite3.Connection:
        # isolation_level None: transactions are ours. Threads: `close` is called by the one that opened the database.
        # Mode rw once it is there: a home that was removed is not to come back as an empty database.
        mode = "rw" if self._opened else "rwc"
        address = f"file:{quote(str(self.home.database))}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=60, check_same_thread=False)
        # NORMAL in WAL mode: a killed process loses nothing, a power cut at most the last transactions, and never the whole.
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -32000"
        )
        if not _is_laid_out(connection):
            lock = FileLock(self.home.write_lock)
            lock.acquire()
            try:
                if not _is_laid_out(connection):
                    first = f"INSERT INTO project VALUES ('{DEFAULT_PROJECT}', '', {time.time()}, NULL)"
                    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA.read_text()}; {first}; COMMIT")
            finally:
                lock.release()
        self._opened.append(connection)
        return connection


def _is_laid_out(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'setting'").fetchone() is not None


@contextlib.contextmanager
def _translated(home: Home) -> Iterator[None]:
    """Errors of SQLite and of the disk, in words."""
    try:
        yield
    except LocalRunnerError:
        raise
    except (sqlite3.DatabaseError, OSError) as error:
        if isinstance(error, OSError) and error.filename and not str(error.filename).startswith(str(home.path)):
            raise
        text = getattr(error, "strerror", None) or str(error)
        if "full" in text or "No space" in text:
            raise disk_full(home) from error
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise Unavailable(f"cannot use the store in {home.path}: {text}", hint="nothing was changed") from error
