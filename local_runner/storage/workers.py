"""Makes the folders for an engine's workers, and removes those of killed engines."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path

from local_runner import beneath
from local_runner.errors import Unavailable
from local_runner.storage.home import Home

_OWNER = "home"  # a file in a workers folder that says whose it is
_PASSAGE = 0o711  # the user of a `transform.user` gets through to a worker's folder, and sees no other
_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHY = 0x80086601, 0x40086602, 0x00020000  # of linux/fs.h, on machines of 64 bits


def make_place(home: Home, warn: Callable[[str], None]) -> None:
    """The folders for the workers of a home's engine, new ones, after what workers of engines that were killed left is gone.

    That of this home, and of homes that are not there any more. What cannot be removed stands aside, and `warn` is told.
    """
    for folder in home.workers:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        if folder.parent.stat().st_uid != os.getuid():
            raise Unavailable(f"{folder.parent} belongs to another user", hint="remove it")
        if os.geteuid() == 0:
            folder.parent.chmod(_PASSAGE)
        for other in folder.parent.glob("[!.]*"):
            if other == folder or not _is_owned(other):
                _clear(other, warn)
        # It appears with its owner's name in it, or another engine might take it for one that is left over.
        draft = folder.with_name(f".{folder.name}")
        draft.mkdir(mode=_PASSAGE, exist_ok=True)
        (draft / _OWNER).write_text(str(home.path))
        _spread(draft)
        try:
            draft.rename(folder)
        except OSError as why:
            raise Unavailable(f"{folder} is in the way: {why.strerror}", hint="remove it, as a user who may do that") from why


def leave_place(home: Home) -> None:
    """Remove these folders; what cannot be removed is for the next engine."""
    for folder in home.workers:
        with contextlib.suppress(OSError):
            beneath.remove(folder)


def _clear(folder: Path, warn: Callable[[str], None]) -> None:
    try:
        beneath.remove(folder)
    except FileNotFoundError:  # another engine is at it, too
        return
    except OSError as why:
        warn(f"{folder} was left by a worker and cannot be removed: {why.strerror}")
        with contextlib.suppress(OSError):
            (folder / _OWNER).unlink(missing_ok=True)  # so that the next engine tries again
            folder.rename(folder.with_name(f"left-{os.urandom(4).hex()}"))


def _is_owned(folder: Path) -> bool:
    """Whether the home is there that its workers work for; another engine may be removing the folder now."""
    try:
        return Path((folder / _OWNER).read_text()).exists()
    except OSError:
        return False


def _spread(folder: Path) -> None:
    """Ask ext4 to spread the subfolders of this folder over the disk, as it does at the top of a file system.

    It else places all files near each other, where, without a journal, it passes over each place that was given up in the last minutes:
    after thousands of datums a new file took 250 µs, in a place of its own 23.
    """
    if sys.platform != "linux":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        flags = array.array("l", [0])
        with contextlib.suppress(OSError):  # another file system
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            flags[0] |= _TOP_OF_HIERARCHY
            fcntl.ioctl(descriptor, _SET_FLAGS, flags)
    finally:
        os.close(descriptor)
