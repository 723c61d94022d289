"""Checks the files of a home beside its records, and lists what killed processes left."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from local_runner.repos.findings import Finding, guarded
from local_runner.storage.arrivals import dead_drafts
from local_runner.storage.home import Home
from local_runner.storage.log_files import damaged_lines, is_unfinished


class Leftover(NamedTuple):
    """A file or folder that is no longer needed, and its bytes."""

    path: Path
    size: int


def check_home(home: Home) -> list[Finding]:
    """Every violation in the files of a home beside its records."""
    return [*guarded(_logs, home), *guarded(_tellable, home)]


def _logs(home: Home) -> Iterator[Finding]:
    """Each record of a log must be what was written."""
    for path in sorted(home.logs.rglob("*")):
        if path.is_file():
            damaged = [part for part in damaged_lines(path) if not is_unfinished(path, part)]
            if damaged:
                size = sum(part.end - part.begin for part in damaged)
                yield Finding(f"log {path.relative_to(home.logs)}", f"{size} bytes in {len(damaged)} places are not what was written")


def _tellable(home: Home) -> Iterator[Finding]:
    """The folders with possible leftovers must be readable."""
    leftovers(home)
    yield from ()


def leftovers(home: Home) -> list[Leftover]:
    """Drafts and wakeup pipes of dead processes, and drafts of single files. Raises `OSError` where it cannot look."""
    return [Leftover(path, _size(path)) for path in (*dead_drafts(home), *_dead_bells(home), *home.path.glob(".draft-*"))]


def remove_leftovers(home: Home) -> list[Leftover]:
    """Remove them; what cannot be is left out of what is returned."""
    return [leftover for leftover in leftovers(home) if _remove(leftover.path)]


def _dead_bells(home: Home) -> Iterator[Path]:
    return (path for path in home.wakeups.iterdir() if not stat.S_ISFIFO(path.lstat().st_mode) or _is_silent(path))


def _is_silent(pipe: Path) -> bool:
    """Whether no process has a named pipe open for reading."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.ENXIO
    return False


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(part.lstat().st_size for part in path.rglob("*"))
    return path.lstat().st_size


def _remove(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    return False
