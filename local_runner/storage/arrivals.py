"""Tracks contents that are being stored or are in no commit yet, so that `gc` keeps them (FORMAT.md, *Arrivals*).

A process that stores contents has a folder in `drafts/` with a list of their names, which is locked as long as the process lives. So a
collector knows what others are about to commit, and whose drafts are rubbish, without going by times.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from local_runner.storage.atomic import write_all
from local_runner.storage.home import Home

_LIST = "held"
_NAME_BYTES = 32
_SLACK = 1000  # names more than needed that a list may have


class Arrivals:
    """The contents that this process is storing in a home. Safe for several threads."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._list = -1
        self._listed = 0
        self._held: Counter[bytes] = Counter()

    def folder(self) -> Path:
        """The folder for this process's drafts; its first use removes those of dead processes."""
        with self._lock:
            if self._folder is None:
                clear_dead(self._home)
                self._folder = self._move_in()
            return self._folder

    def hold(self, names: Iterable[bytes]) -> None:
        """Keep contents until they are in a commit, or this process ends."""
        self.folder()
        with self._lock, _door(self._home, fcntl.LOCK_SH):
            self._note(names)

    def shelve(self, draft: Path | str, name: bytes, path: Path) -> None:
        """Give a draft its name, and keep it as `hold` does."""
        with self._lock, _door(self._home, fcntl.LOCK_SH):
            self._note([name])
            path.parent.mkdir(exist_ok=True)  # a folder that got empty is removed
            os.replace(draft, path)

    def release(self, names: Iterable[bytes]) -> None:
        """Release contents that are in a commit now."""
        with self._lock:
            if not self._held:
                return
            self._held -= Counter(names)
            if self._listed > 2 * self._held.total() + (_SLACK if self._held else 0):
                with _door(self._home, fcntl.LOCK_SH):
                    os.ftruncate(self._list, 0)
                    self._listed = 0
                    held, self._held = self._held, Counter()
                    self._note(held.elements())

    def close(self) -> None:
        """Release everything and remove the folder."""
        with self._lock:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                os.close(self._list)
                self._folder, self._list, self._listed = None, -1, 0
                self._held.clear()

    def _note(self, names: Iterable[bytes]) -> None:
        """Append names to the list, before any content gets its name."""
        names = list(names)
        content = b"".join(names)
        try:
            write_all(self._list, content, str(self._folder))
        except OSError:
            os.ftruncate(self._list, self._listed * _NAME_BYTES)  # half a name would spoil those after it
            raise
        self._listed += len(names)
        self._held.update(names)

    def _move_in(self) -> Path:
        folder = self._home.drafts / f"{os.getpid()}-{os.urandom(4).hex()}"
        with _door(self._home, fcntl.LOCK_SH):  # or it would be taken for a dead one's before it is locked
            folder.mkdir()
            descriptor = os.open(folder / _LIST, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException:
                os.close(descriptor)
                raise
            self._list = descriptor
        return folder


@contextlib.contextmanager
def no_arrivals(home: Home) -> Iterator[set[bytes]]:
    """Block arrivals for a short time, and give the names that live processes hold."""
    with _door(home, fcntl.LOCK_EX):
        held: set[bytes] = set()
        for folder in home.drafts.iterdir():
            if not _is_dead(folder):
                names = (folder / _LIST).read_bytes()
                held.update(names[at : at + _NAME_BYTES] for at in range(0, len(names), _NAME_BYTES))
        yield held


def dead_drafts(home: Home) -> list[Path]:
    """The folders in `drafts/` of dead processes."""
    with _door(home, fcntl.LOCK_EX):
        return [path for path in home.drafts.iterdir() if _is_dead(path)]


def clear_dead(home: Home) -> None:
    """Remove the drafts of dead processes."""
    with _door(home, fcntl.LOCK_EX):
        for path in home.drafts.iterdir():
            if _is_dead(path):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_dead(folder: Path) -> bool:
    """Whether the process of a drafts folder is gone, so its list is not locked; a lone file is a draft of an older version."""
    try:
        descriptor = os.open(folder / _LIST, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def _door(home: Home, how: int) -> Iterator[None]:
    """Hold the lock of `objects/`: shared to add contents, exclusive to remove some."""
    descriptor = os.open(home.objects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
