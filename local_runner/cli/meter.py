"""Shows the progress of large files as one line on a terminal, with the time left; prints nothing elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import BinaryIO, TypeVar

import click

from local_runner.model.units import human_duration, human_size

_PATIENCE, _PAUSE = 1.0, 0.2  # seconds: before the line appears, and between two of its states

_F = TypeVar("_F", bound=Callable[..., object])


class Meter:
    """Counts bytes. `shown` None means: if standard error is a terminal and the variable `CI` is not set. Use as a context manager."""

    def __init__(self, shown: bool | None = None, total: int = 0) -> None:
        self.live = (sys.stderr.isatty() and not os.environ.get("CI")) if shown is None else shown
        self.total = total  # bytes; 0 if that is not known
        self._done = 0
        self._began = time.monotonic()
        self._next = self._began + _PATIENCE
        self._drawn = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self.live and now >= self._next:
            self._next, self._drawn = now + _PAUSE, True
            sys.stderr.write(f"\r{self.text(now - self._began)}\x1b[K")
            sys.stderr.flush()

    def text(self, seconds: float) -> str:
        """The line after so many seconds: "1.5GiB of 4GiB, 12 seconds left"."""
        if not self.total or not self._done:
            return human_size(self._done)
        left = human_duration(seconds / self._done * max(self.total - self._done, 0)).lower()
        return f"{human_size(self._done)} of {human_size(self.total)}, {left} left"

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, counted."""
        for chunk in chunks:
            self.add(len(chunk))
            yield chunk

    def reader(self, source: BinaryIO) -> BinaryIO:
        """The same stream, counted as it is read."""
        return _Counted(source, self)  # type: ignore[return-value]  # the store only reads


class _Counted:
    def __init__(self, source: BinaryIO, meter: Meter) -> None:
        self._source, self._meter = source, meter

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self._meter.add(len(block))
        return block


def with_progress(function: _F) -> _F:
    return click.option("--progress/--no-progress", default=None, help="Show how far it is; else on terminals only.")(function)
