"""Signals that end a command as Ctrl-C does, so that it cleans up."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

EXIT_TERMINATED = 143  # what shells give for SIGTERM
_EXIT_HANGUP = 129  # what shells give for SIGHUP


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM end the block as Ctrl-C does: jobs stay as they are for the next run, and no process is left."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def closable() -> Iterator[None]:
    """Make SIGHUP, which a terminal that closes sends, end the block as Ctrl-C does."""
    before = signal.signal(signal.SIGHUP, lambda *_: sys.exit(_EXIT_HANGUP))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
