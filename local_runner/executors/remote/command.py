"""A command of a remote worker, as the worker's machine sees it: what it did, kept until the engine has taken it."""

from __future__ import annotations

import threading
from typing import Any

from local_runner.errors import WorkerLost

# What happened to a command. Each has a number, and is told again until the engine says that it has it.
#   ("output", stream, bytes) · ("want", hashes): contents it waits for
#   ("end", fields of RunResult) · ("broken", why) · ("unlaid", error as in wire.failure)
Happening = tuple[Any, ...]
_MOST_BYTES = 8 << 20  # of output that nobody has taken yet: then the command waits, as with a pipe that is full


class FollowedCommand:
    """One command. The thread that runs it calls `tell` and `order`, the engine's calls come by `follow`, `give` and `cancel`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._order: Any = None
        self._untaken: list[tuple[int, Happening]] = []
        self._last, self._bytes = 0, 0
        self._is_claimed = False
        self.has_begun = False
        self.is_cancelled = False
        self.is_closed = False
        self.is_over = False

    def claim(self) -> bool:
        """Note that somebody runs it. Says whether nobody else did: a command is run once, whatever a cluster makes of its tasks."""
        with self._changed:
            was, self._is_claimed = self._is_claimed, True
            return not was

    def give(self, order: Any) -> None:
        """What is to be done; from the engine."""
        with self._changed:
            self._order = order
            self._changed.notify_all()

    def order(self, patience: float) -> Any:
        """What is to be done. Raises `WorkerLost` if the engine does not say so in time."""
        with self._changed:
            self.has_begun = True
            self._changed.wait_for(lambda: self._order is not None or self.is_closed, patience)
            if self._order is None or self.is_closed:
                raise WorkerLost("the engine that asked for a command is gone")
            return self._order

    def tell(self, *happening: Any) -> None:
        """Note what happened; waits while too much of it is untaken."""
        size = len(happening[2]) if happening[0] == "output" else 0
        with self._changed:
            if size:
                self._changed.wait_for(lambda: self._bytes < _MOST_BYTES or self.is_closed or self.is_cancelled)
            self._last += 1
            self._bytes += size
            self.is_over = self.is_over or happening[0] in ("end", "broken")
            self._untaken.append((self._last, happening))
            self._changed.notify_all()

    def follow(self, seen: int, patience: float) -> list[tuple[int, Happening]]:
        """What happened after the number `seen`, which was the last to arrive; waits for something."""
        with self._changed:
            while self._untaken and self._untaken[0][0] <= seen:
                _, happening = self._untaken.pop(0)
                self._bytes -= len(happening[2]) if happening[0] == "output" else 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._untaken or self.is_closed, patience)
            return list(self._untaken)

    def cancel(self) -> bool:
        """Note that it is not wanted any more. Says whether it goes on: if it has not begun, it never will."""
        with self._changed:
            if not self.is_cancelled:
                self.is_cancelled = True
                if not self.has_begun:
                    self._last += 1
                    self._untaken.append((self._last, ("end", (None, 0.0, False, True))))
            self._changed.notify_all()
            return self.has_begun and not self.is_over

    def close(self) -> None:
        """Let go of all who wait."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()
