"""A way to tell those who wait that nobody waits for them any more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from local_runner.errors import LocalRunnerError
from local_runner.storage.wakeup import Wakeup


class Stopped(LocalRunnerError):
    """A wait was ended by its `Stop`."""

    grpc_code = "CANCELLED"

    def __init__(self) -> None:
        super().__init__("nobody waits for this any more")


class Stop:
    """Set once, from any thread: every wait it was given to ends at once, with `Stopped`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Callable[[], None]] = []
        self._is_set = False

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._lock:
            self._is_set = True
            calls = list(self._calls)
        for call in calls:
            call()

    def check(self) -> None:
        """Raises `Stopped` if it is set."""
        if self._is_set:
            raise Stopped

    def calls(self, function: Callable[[], None]) -> None:
        """Call this when it is set, or now if it is."""
        with self._lock:
            self._calls.append(function)
        if self._is_set:
            function()

    @contextlib.contextmanager
    def wakes(self, wakeup: Wakeup) -> Iterator[None]:
        """Wake who waits there when it is set, as long as the block lasts."""
        self.calls(wakeup.notify)
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(wakeup.notify)
