"""Writes that are whole or fail, and files that appear whole or not at all. Imports next to nothing."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

_HOLE = bytes(64 * 1024)  # as much of nothing as is not written down


def write_all(descriptor: int, content: bytes | memoryview, path: Path | str = "") -> None:
    """Write all of `content` where an open file stands. Raises `OSError`, which names `path`, also where only a part was taken.

    A single write may be short without an error: a disk with less room than asked for takes what fits.
    """
    view = memoryview(content)
    try:
        while view:
            written = os.write(descriptor, view)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view = view[written:]
    except OSError as error:
        error.filename = str(path) or None
        raise


def write_sparse(descriptor: int, block: bytes | memoryview, path: Path | str = "") -> None:
    """Write as `write_all` does, but skip blocks of zeros, which become holes. The caller may have to set the length afterwards."""
    view, begin = memoryview(block), 0
    for at in range(0, len(block), len(_HOLE)):
        if view[at] == 0 and bytes(view[at : at + len(_HOLE)]) == _HOLE:
            write_all(descriptor, view[begin:at], path)
            begin = at + len(_HOLE)
            os.lseek(descriptor, len(_HOLE), os.SEEK_CUR)
    write_all(descriptor, view[begin:], path)


def publish(path: Path, content: bytes) -> None:
    """Put `content` at `path`: after a crash it is there whole, or what was there before."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last: it is durable only once the folder itself is written."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
