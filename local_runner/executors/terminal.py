"""Connects the terminal of this process to a command in a worker."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_CHUNK = 4096


class Size(NamedTuple):
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Terminal:
    """The descriptors of a user's terminal."""

    reads: int = 0
    writes: int = 1

    @property
    def size(self) -> Size:
        columns, rows = os.get_terminal_size(self.writes)
        return Size(rows, columns)

    def show(self, data: bytes) -> None:
        """Write all bytes to the terminal, unchanged."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.writes, view) :]

    @contextlib.contextmanager
    def lent(self, typed: Callable[[bytes], None], resized: Callable[[Size], None]) -> Iterator[None]:
        """Pass on every key, Ctrl-C too, and every new size until the block ends, in a thread of its own.

        New sizes are noticed in the main thread only, which is where a program that has a terminal would be.
        """
        import signal
        import termios  # Unix only, as is `tty`
        import tty

        wake, waker = os.pipe()
        keys = threading.Thread(target=self._pass_on, args=(wake, typed, resized), name="keys", daemon=True)
        before = termios.tcgetattr(self.reads)
        is_main = threading.current_thread() is threading.main_thread()
        handler = signal.signal(signal.SIGWINCH, lambda *_: os.write(waker, b"+")) if is_main else None
        try:
            tty.setraw(self.reads)
            keys.start()
            yield
        finally:
            if is_main:
                signal.signal(signal.SIGWINCH, handler)
            os.close(waker)
            keys.join()
            os.close(wake)
            with contextlib.suppress(termios.error):  # it was closed
                termios.tcsetattr(self.reads, termios.TCSADRAIN, before)

    def _pass_on(self, wake: int, typed: Callable[[bytes], None], resized: Callable[[Size], None]) -> None:
        """Pass on keys and sizes until the other end of `wake` is closed; a byte there tells of a new size."""
        waiting = [wake, self.reads]
        while True:
            ready, _, _ = select.select(waiting, [], [])
            if wake in ready:
                if not os.read(wake, 1):
                    return
                resized(self.size)
            if self.reads in ready:
                try:
                    keys = os.read(self.reads, _CHUNK)
                except OSError:  # the terminal is gone
                    keys = b""
                if keys:
                    typed(keys)
                else:
                    waiting.remove(self.reads)
