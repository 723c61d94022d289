"""Locks between processes: one writer of a home, one engine of a home. The kernel frees them when their holder dies."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path

PATIENCE = 1.0  # seconds of waiting before anybody is told


def myself() -> str:
    """This process for people: its id and command."""
    return f"process {os.getpid()} ({' '.join(Path(sys.argv[0]).name and sys.argv[1:4]) or 'python'})"


class FileLock:
    """An exclusive lock on a file, whose content says who holds it. Not re-entrant."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def try_acquire(self) -> bool:
        """Take it if nobody has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._take(descriptor)
        return True

    def acquire(self, waiting: Callable[[str], None] = lambda holder: None) -> None:
        """Take it, however long that needs; `waiting` is called once with the holder's name if it is not free at once."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(self.holder())
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        self._take(descriptor)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> str:
        """Who took it last, "" if that is not known."""
        try:
            return self._path.read_text(errors="replace").strip()
        except OSError:
            return ""

    def is_taken(self) -> bool:
        """Whether anybody holds it right now."""
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

    def _take(self, descriptor: int) -> None:
        self._descriptor = descriptor
        name = myself().encode()
        os.pwrite(descriptor, name, 0)
        os.ftruncate(descriptor, len(name))
