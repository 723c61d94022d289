"""Wakes processes that wait for a change of a home: each has a named pipe, and a process that changed the records writes to all.

The pipes lie in the folder `bells/`. They carry no news: the records do. Nobody polls.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import threading
from pathlib import Path
from types import TracebackType

_DRAFT = "."


class Wakeup:
    """Waits until another process or thread notifies. A notification is kept until the next wait, so none is missed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)  # without what is above: a home that was removed is not to come back
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._path, draft = folder / name, folder / f"{_DRAFT}{name}"
        os.mkfifo(draft)
        # Once it is closed the number may be another file's: all writes to it hold this lock, those of signal handlers included.
        self._lock, self._descriptor = threading.RLock(), -1
        try:
            # Open for writing too, or the pipe would be at its end whenever no writer has it open.
            self._descriptor = os.open(draft, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            # Under its name only now: `notify_all` removes a pipe that nobody has open.
            os.rename(draft, self._path)
        except BaseException:
            draft.unlink(missing_ok=True)
            self.close()
            raise

    def fileno(self) -> int:
        return self._descriptor

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until notified, or for `timeout` seconds. Returns whether it was notified."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if ready:
            self.clear()
        return bool(ready)

    def clear(self) -> None:
        """Forget the notifications so far."""
        try:
            while os.read(self._descriptor, 4096):
                pass
        except BlockingIOError:
            pass

    def notify(self) -> None:
        """Wake this one, from any thread of its own process; does nothing once it is closed."""
        with self._lock:
            if self._descriptor >= 0:
                _write_byte(self._descriptor)

    def close(self) -> None:
        """Close and remove the pipe; does nothing the second time."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> Wakeup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def notify_all(folder: Path) -> None:
    """Wake every process that waits, and remove pipes of dead processes.

    Raises nothing: the change that it tells of is done, and must not fail because of it.
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if not entry.name.startswith(_DRAFT):
                with contextlib.suppress(OSError):
                    _notify(entry.path)


def _notify(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody has it open for reading
            os.unlink(path)
        return
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _write_byte(descriptor)
    finally:
        os.close(descriptor)


def _write_byte(descriptor: int) -> None:
    # Full: notified many times already. Broken: it was closed this moment.
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(descriptor, b"!")
