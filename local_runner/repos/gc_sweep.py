"""Removes what a plan lists, in short slices beside readers, writers and jobs (FORMAT.md, *Giving room back*)."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable

from local_runner.model.jobs import FORGOTTEN
from local_runner.repos.check_home import remove_leftovers
from local_runner.repos.gc import Doomed, GcPlan, forgettable, gone_logs
from local_runner.storage.arrivals import no_arrivals
from local_runner.storage.database import Database, Session
from local_runner.storage.packed import drop_unused_dictionaries
from local_runner.storage.pages import empty_log, free_bytes, give_back, is_incremental, used_bytes, write_anew
from local_runner.storage.released import forget_removed

_SLICE = 0.05  # seconds of work that others wait for; to commit it may take as long again
_PAUSE = 0.02  # between slices; who waits for the lock is next in line
_PATIENCE = 2.0  # seconds for those who read what was before
# Bytes of the records: free ones that are worth it to write them anew, and used ones that take but a moment (10 ms for each MiB).
_WORTH_IT, _QUICK = 1 << 20, 32 << 20

Progress = Callable[[int], None]  # bytes that went since the last call


class Sweep:
    """Carries out a plan. It may be killed at any moment; the home stays whole, and the next sweep goes on."""

    def __init__(
        self,
        database: Database,
        plan: GcPlan,
        progress: Progress = lambda size: None,
        seconds: float = math.inf,
        patience: float = _PATIENCE,
    ) -> None:
        """Stop after `seconds`; wait at most `patience` seconds for readers of the records before."""
        self._database = database
        self._plan = plan
        self._progress = progress
        self._deadline = time.monotonic() + seconds
        self._patience = patience

    def run(self) -> bool:
        """Carry out the plan; returns whether all of it could go: large contents stay while readers of the records before are there.

        Without a limit of time, large records made by an earlier version are written anew, once, for which others wait. Raises
        `Unavailable`.
        """
        plan = self._plan
        # Files first: on a full disk there may be no room to write that rows are gone.
        self._progress(sum(leftover.size for leftover in remove_leftovers(self._database.home)))
        self._remove_logs()
        if plan.jobs:
            self._forget_datums()
        is_read = bool(plan.large.names) and self._is_read()
        if not is_read:
            self._in_slices(plan.large, self._remove_file)
        tables = {"node": plan.pieces, "object": plan.small, "packed": plan.packed, "block_sums": plan.sums, "large": plan.chunks}
        for table, doomed in tables.items():
            self._in_slices(doomed, lambda session, name, table=table: self._remove_row(session, table, name))  # type: ignore[misc]
        with self._database.write() as session:
            if plan.packed.names:
                drop_unused_dictionaries(session.connection)
            forget_removed(session.connection)
        self._cut_records()
        return not is_read and not self._is_late

    def _forget_datums(self) -> None:
        """Remove the datum records of old jobs that are still not needed; the others are walked in the first slice."""
        with self._database.write() as session:
            for key in set(self._plan.jobs) & set(forgettable(session, math.inf)):
                session.commits.update(key, tree=None, datum_index=None, size=0, error=FORGOTTEN)

    @property
    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _is_read(self) -> bool:
        """Whether a reader of the records before may still open a large content that is to be removed."""
        deadline = min(time.monotonic() + self._patience, self._deadline)
        while True:
            with self._database.alone() as connection:
                if empty_log(connection):
                    return False
            if time.monotonic() >= deadline:
                return True
            time.sleep(_PAUSE)

    def _in_slices(self, doomed: Doomed, remove: Callable[[Session, bytes], None]) -> None:
        """Remove in slices what is still not needed; both locks are held, so nothing can become needed meanwhile."""
        waiting, needed = deque(doomed.names), self._plan.needed
        share = doomed.size / max(len(waiting), 1)
        while waiting and not self._is_late:
            with self._database.write() as session:
                needed.look(session)
                with no_arrivals(self._database.home) as held:
                    gone, deadline = 0, time.monotonic() + _SLICE
                    while waiting:
                        name = waiting.popleft()
                        if name not in needed.contents and name not in needed.pieces and name not in held:
                            remove(session, name)
                        gone += 1
                        if time.monotonic() >= deadline:
                            break
            self._progress(round(gone * share))
            if waiting:
                time.sleep(_PAUSE)

    def _remove_row(self, session: Session, table: str, name: bytes) -> None:
        session.connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))

    def _remove_file(self, session: Session, name: bytes) -> None:
        path = session.objects.files.path(name)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another lies there
            path.parent.rmdir()

    def _remove_logs(self) -> None:
        doomed = {log.path: log.size for log in self._plan.logs}
        with self._database.read() as session:
            gone = {log.path for log in gone_logs(session, self._database.home, float("inf"))}  # not those of a job that came to life
        for path in doomed.keys() & gone:
            path.unlink(missing_ok=True)
            for folder in (path.parent, path.parent.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            self._progress(doomed[path])

    def _cut_records(self) -> None:
        """Give back the pages that hold nothing: by writing the records anew where that is quick, else bit by bit."""
        while True:
            with self._database.alone() as connection:
                free, is_quick = free_bytes(connection), used_bytes(connection) <= _QUICK
                has_time = self._deadline == math.inf
                if free >= _WORTH_IT and (is_quick or (has_time and not is_incremental(connection))):
                    write_anew(connection)
                if not is_incremental(connection) or give_back(connection, _SLICE) or self._is_late:
                    empty_log(connection)
                    return
            time.sleep(_PAUSE)
