"""Locks between processes: one writer of a home, one engine of a home. The kernel frees them when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from local_runner.storage.atomic import write_all

PATIENCE = 1.0  # seconds of waiting before `waiting` is called
_LONGEST_PAUSE = 0.005  # between two tries, before `waiting` is called


def myself() -> str:
    """Id and command of this process, as text for people."""
    return f"process {os.getpid()} ({' '.join(Path(sys.argv[0]).name and sys.argv[1:4]) or 'python'})"


def _lock(descriptor: int, patience: float) -> bool:
    """Lock an open file within some seconds. It is asked for again after 1, 2, 4 … ms: writes take a few."""
    pause, deadline = 0.001, time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)


class FileLock:
    """An exclusive lock on a file that is there, whose content says who holds it. Not re-entrant.

    The file is not made, so that a home that was removed while in use does not come back.
    With a `queue`, a folder, those who wait in `acquire` stand in line there: a process that releases the lock and wants it again at
    once, as an engine does, waits until the next in line has had it.
    """

    def __init__(self, path: Path, queue: Path | None = None) -> None:
        self._path = path
        self._queue = queue
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def try_acquire(self, patience: float = 0.0) -> bool:
        """Take the lock if it becomes free within `patience` seconds."""
        return self._take(lambda descriptor: _lock(descriptor, patience))

    def acquire(self, waiting: Callable[[str], None] = lambda holder: None, patience: float = PATIENCE) -> None:
        """Take the lock, however long that takes; after `patience` seconds `waiting` is called with the holder's name."""

        def lock(descriptor: int) -> bool:
            if not _lock(descriptor, patience):
                waiting(self.holder())
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            return True

        if self._queue is None:
            self._take(lock)
            return
        line = os.open(self._queue, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lock(line)
            self._take(lock)
        finally:
            os.close(line)

    def release(self) -> None:
        """Release the lock, if this object holds it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # it is closed then, too
                os.close(descriptor)

    def holder(self) -> str:
        """The process that took the lock last, "" if unknown."""
        try:
            return self._path.read_text(errors="replace").strip()
        except OSError:
            return ""

    def is_taken(self) -> bool:
        """Whether any process holds the lock now."""
        if self.is_held:
            return True
        if not self._path.exists():
            return False
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # A shared lock, so that two who look at once do not see each other.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _take(self, lock: Callable[[int], bool]) -> bool:
        """Open the file, lock it, and write the holder into it; if any of that fails, release it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if lock(descriptor):
                name = myself().encode(errors="replace")
                write_all(descriptor, name, self._path)
                os.ftruncate(descriptor, len(name))
                self._descriptor = descriptor
        except OSError as error:
            error.filename = str(self._path)  # which calls on a descriptor do not know
            raise
        finally:
            if self._descriptor is None:
                os.close(descriptor)
        return self.is_held
