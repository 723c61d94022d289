"""Counts committed transactions outside of the records, to notice a lost or damaged write-ahead log.

Each writer writes the number down after its commit, while it holds `write.lock`. So killed at any moment the file lags behind the records,
by one transaction that was not reported done; it never leads.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

from local_runner.storage.atomic import write_all

_DIGITS, _WIDTH = 20, 30  # bytes


def read_count(path: Path) -> int:
    """The recorded count; 0 if there is none, or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        text, _, check = path.read_bytes()[:_WIDTH].partition(b" ")
        if len(text) == _DIGITS and text.isdigit() and int(check, 16) == zlib.crc32(text):
            return int(text)
    return 0


def write_count(path: Path, count: int) -> None:
    """Write a number down, by one write in place. Raises nothing: the transaction is done, and the next one counts it too."""
    text = f"{count:0{_DIGITS}}".encode()
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, b"%s %08x\n" % (text, zlib.crc32(text)), path)
        finally:
            os.close(descriptor)
