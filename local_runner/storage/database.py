"""Connections to the records, with transactions: many readers that never wait, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator

from local_runner.errors import Unavailable
from local_runner.storage.clock import Clock, wall_clock
from local_runner.storage.commit_records import CommitRecords
from local_runner.storage.connect import committed, connect, is_laid_out, lay_out, prepare_to_write
from local_runner.storage.count import read_count, write_count
from local_runner.storage.file_set_records import FileSetRecords
from local_runner.storage.home import Home, disk_full
from local_runner.storage.locks import FileLock
from local_runner.storage.metadata_records import MetadataRecords
from local_runner.storage.objects import ObjectFiles, Objects, put_row
from local_runner.storage.pipeline_records import PipelineRecords
from local_runner.storage.repo_records import RepoRecords
from local_runner.storage.row_sums import first_wrong_row
from local_runner.storage.rows import MISREADINGS, damaged_row
from local_runner.storage.trees import Trees
from local_runner.storage.wakeup import notify_all

_FREE_SESSIONS = 4


class Session:
    """One connection with its records, trees and objects, used within one transaction at a time."""

    def __init__(self, connection: sqlite3.Connection, files: ObjectFiles, clock: Clock) -> None:
        self.connection = connection
        self.clock = clock
        self.repos = RepoRecords(connection)
        self.metadata = MetadataRecords(connection)
        self.file_sets = FileSetRecords(connection)
        self.commits = CommitRecords(connection)
        self.pipelines = PipelineRecords(connection)
        self.objects = Objects(files, connection)
        self.trees = Trees(_Nodes(connection))
        self.is_prepared = False  # to write

    def version(self) -> tuple[int, int]:
        """Two numbers: the first changes when another connection writes, the second when this one does."""
        found: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
        return found, self.connection.total_changes


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
        self._connection.execute(put_row("node"), (name, content))


class _TakenBack(Exception):
    """Ends a rehearsal."""


class Database:
    """The records of a home. Each thread has a connection of its own.

    Transactions raise `Unavailable` for records that cannot be used, also those that lost what was reported done (`lost`).
    """

    def __init__(self, home: Home, waiting: Callable[[str], None] = lambda holder: None, clock: Clock = wall_clock) -> None:
        """`waiting` is told who writes, when a write has to wait for it; `clock` is what all who have a session go by."""
        self.home = home
        self.files = ObjectFiles(home)
        self.clock = clock
        self._waiting = waiting
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._apart: list[Session] = []  # free ones
        self._lost = 0

    @property
    def lost(self) -> int:
        """How many of the last transactions are gone that were reported done, when the records were first looked at."""
        self._session()
        return self._lost

    @contextlib.contextmanager
    def read(self, *, damaged: bool = False) -> Iterator[Session]:
        """A view of the records that does not change while it is open. Within another transaction of this thread: that one.

        With `damaged`, also of records that lost something.
        """
        session = self._session()
        if session.connection.in_transaction:
            yield session
            return
        with _translated(self.home):
            if not damaged:
                self._refuse_loss()
            session.connection.execute("BEGIN")
            try:
                with _explained(session):
                    yield session
            finally:
                _roll_back(session.connection)

    @contextlib.contextmanager
    def read_apart(self) -> Iterator[Session]:
        """A view as of `read`, on a connection of its own: for iterators, whose users may read and write meanwhile."""
        with _translated(self.home):
            session = self._free_session()
            self._refuse_loss()
            try:
                session.connection.execute("BEGIN")
                with _explained(session):
                    yield session
            finally:
                _roll_back(session.connection)
                self._keep_free(session)

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """What goes wrong while contents are read from files is `Unavailable`, as it is within a view."""
        with _translated(self.home):
            yield

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """All changes made inside, or none of them if it is left by an exception. Not to be nested, nor done within `read`."""
        session = self._session()
        connection = session.connection
        lock = FileLock(self.home.write_lock, self.home.path)
        try:
            with _translated(self.home):
                self._refuse_loss()
                lock.acquire(self._waiting)
                try:
                    if not session.is_prepared:
                        prepare_to_write(connection)
                        session.is_prepared = True
                    connection.execute("BEGIN IMMEDIATE")
                    session.objects.added.clear()
                    before = connection.total_changes
                    with _explained(session):
                        yield session
                    is_changed = connection.total_changes != before
                    if is_changed:
                        connection.execute("UPDATE written SET transactions = transactions + 1")
                        count = committed(connection)
                    connection.execute("COMMIT")
                except BaseException as error:
                    _roll_back(connection)
                    session.trees.forget()
                    if _is_read_only(error):
                        self.close_thread()
                    raise
            # It is done: nothing from here on may call it a failure.
            if is_changed:
                write_count(self.home.committed, count)
        finally:
            lock.release()
        with contextlib.suppress(OSError):
            self.files.arrivals.release(session.objects.added)
        notify_all(self.home.wakeups)

    @contextlib.contextmanager
    def rehearse(self) -> Iterator[Session]:
        """As `write`, but all of it is taken back at the end: it shows what changes would lead to, and raises what they would raise."""
        with contextlib.suppress(_TakenBack), self.write() as session:
            yield session
            raise _TakenBack

    @contextlib.contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """The connection of this thread, outside of any transaction, while `write.lock` is held; for maintenance."""
        session = self._session()
        lock = FileLock(self.home.write_lock, self.home.path)
        try:
            with _translated(self.home):
                self._refuse_loss()
                lock.acquire(self._waiting)
                yield session.connection
        finally:
            lock.release()

    def accept_loss(self) -> None:
        """Go on with what the records hold, though they lost something."""
        session = self._session()
        lock = FileLock(self.home.write_lock, self.home.path)
        try:
            with _translated(self.home):
                lock.acquire(self._waiting)
                lay_out(session.connection)
                write_count(self.home.committed, committed(session.connection))
                self._lost = 0
        finally:
            lock.release()

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

    def _free_session(self) -> Session:
        """One that nobody reads through, or a new one."""
        try:
            return self._apart.pop()  # at once: another thread may take the last one after a look
        except IndexError:
            return Session(self._connect(), self.files, self.clock)

    def _keep_free(self, session: Session) -> None:
        """For the next who reads apart; a few are enough, however many read at once before."""
        if len(self._apart) < _FREE_SESSIONS:
            self._apart.append(session)
        else:
            session.connection.close()
            with contextlib.suppress(ValueError):  # `close` was quicker
                self._opened.remove(session.connection)

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            with _translated(self.home):
                session = Session(self._connect(), self.files, self.clock)
            self._local.session = session
        return session

    def _connect(self) -> sqlite3.Connection:
        is_first = not self._opened
        counted = read_count(self.home.committed) if is_first else 0
        if counted and not self.home.database.exists():
            raise Unavailable(f"{self.home.database} is missing", hint="put it back from a copy of the home, or remove the home")
        # Made at most once: a home that was removed, or its records, are not to come back as an empty database.
        connection = connect(self.home, create=is_first and not counted)
        if counted:
            self._lost = max(0, counted - (committed(connection) if is_laid_out(connection) else 0))
        self._opened.append(connection)
        return connection

    def _refuse_loss(self) -> None:
        if self._lost:
            raise Unavailable(
                lost_transactions(self.home, self._lost),
                hint="put records.sqlite and records.sqlite-wal back from a copy; or go on with what is left: fsck --fix",
            )


def lost_transactions(home: Home, count: int) -> str:
    """The sentence about records whose last transactions are gone."""
    what = "transaction that was" if count == 1 else f"{count} transactions that were"
    return f"the records of {home.path} lost the last {what} reported done: their write-ahead log is missing or damaged"


def _is_read_only(error: BaseException) -> bool:
    """Whether SQLite opened the file read-only, as it does after one failure; the next write opens it again."""
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def _roll_back(connection: sqlite3.Connection) -> None:
    # A full disk, or a transaction that never began, has none to end.
    if connection.in_transaction:
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def _explained(session: Session) -> Iterator[None]:
    """Turn an error caused by a damaged row into one that names the row; rows are checked only after such an error."""
    try:
        yield
    except (*MISREADINGS, sqlite3.IntegrityError) as error:
        wrong = first_wrong_row(session.connection)
        if wrong:
            raise damaged_row(f"row {wrong.row} of {wrong.table} {wrong.problem}", error) from error
        raise


@contextlib.contextmanager
def _translated(home: Home) -> Iterator[None]:
    """Translate errors of SQLite, and of the disk under the home, to `Unavailable`; other errors pass."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        path = str(getattr(error, "filename", None) or "")
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and path:
            raise disk_full(path) from error
        if isinstance(error, sqlite3.IntegrityError) or (isinstance(error, OSError) and not path.startswith(str(home.path))):
            raise
        text = getattr(error, "strerror", None) or str(error)
        if "full" in text:
            raise disk_full(home.path) from error
        if not home.database.exists():
            raise Unavailable(f"the home {home.path} is gone", hint="it was removed, with all it held") from error
        is_damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        hint = (
            "run fsck to see what is damaged, or put records.sqlite back from a copy of the home" if is_damaged else "nothing was changed"
        )
        raise Unavailable(f"cannot use the store in {home.path}: {text}", hint=hint) from error
