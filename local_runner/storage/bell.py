"""How processes of one home wake each other: whoever waits hangs up a bell, whoever wrote rings them all.

A bell is a named pipe in `bells/`. It carries no news: the records do. Nobody polls.
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


class Bell:
    """A place to wait until somebody rings. Rings while nobody waits are kept, so none is missed between looking and waiting."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)  # without what is above: a home that was removed is not to come back
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._path, draft = folder / name, folder / f"{_DRAFT}{name}"
        os.mkfifo(draft)
        # Once it is closed the number may be another file's: nobody writes to it without this lock, signal handlers included.
        self._lock, self._descriptor = threading.RLock(), -1
        try:
            # Open for writing too, or the pipe would be at its end whenever no ringer has it open.
            self._descriptor = os.open(draft, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            # Under its name only now: whoever rings takes down a pipe that nobody has open.
            os.rename(draft, self._path)
        except BaseException:
            draft.unlink(missing_ok=True)
            self.close()
            raise

    def fileno(self) -> int:
        return self._descriptor

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until rung or for `timeout` seconds; says whether it rang."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout)
        if ready:
            self.hush()
        return bool(ready)

    def hush(self) -> None:
        """Forget rings so far."""
        try:
            while os.read(self._descriptor, 4096):
                pass
        except BlockingIOError:
            pass

    def ring(self) -> None:
        """Ring this one, from any thread of its own process; once it is closed nothing happens."""
        with self._lock:
            if self._descriptor >= 0:
                _strike(self._descriptor)

    def close(self) -> None:
        """Take it down; a second time nothing happens."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> Bell:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def ring_all(folder: Path) -> None:
    """Wake everybody who waits. Bells of the dead are taken down on the way.

    Raises nothing: what is rung for is done, and must not be called a failure because of it.
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if not entry.name.startswith(_DRAFT):
                with contextlib.suppress(OSError):
                    _ring(entry.path)


def _ring(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody has it open for reading
            os.unlink(path)
        return
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            _strike(descriptor)
    finally:
        os.close(descriptor)


def _strike(descriptor: int) -> None:
    # Full: it has been ringing for long. Broken: it was taken down this moment.
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(descriptor, b"!")
