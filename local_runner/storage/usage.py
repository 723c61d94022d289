"""Measures the disk usage of a home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from local_runner.storage.home import Home


class Usage(NamedTuple):
    """Bytes: of the records with all small contents, of large contents, of logs; and of everything."""

    records: int
    objects: int
    logs: int
    total: int


def usage(home: Home) -> Usage:
    """The disk usage of a home. 100 000 files take 0.3 s; one that goes away meanwhile does not count."""
    sizes = {entry.name: sum(_sizes(Path(entry.path))) for entry in os.scandir(home.path)}
    records = sum(size for name, size in sizes.items() if name.startswith(home.database.name))
    return Usage(records, sizes.get(home.objects.name, 0), sizes.get(home.logs.name, 0), sum(sizes.values()))


def _sizes(path: Path) -> Iterator[int]:
    try:
        if not path.is_dir() or path.is_symlink():
            yield path.lstat().st_size
            return
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path))
            else:
                yield entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return
