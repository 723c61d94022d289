"""Threads for calls: as many as there are calls at once, which end when they have had nothing to do for a while."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_IDLE_SECONDS = 10.0


class CallThreads(ThreadPoolExecutor):
    """Runs what it is given at once: in a thread that is free, or in a new one. `ended` is called in a thread that ends.

    The one of the standard library keeps every thread it ever had, and with it what belongs to the thread: here, its connection to the
    records.
    """

    def __init__(self, ended: Callable[[], None], idle_seconds: float = _IDLE_SECONDS) -> None:
        super().__init__(max_workers=1)
        self._ended = ended
        self._idle_seconds = idle_seconds
        self._todo: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._free = 0
        self._alive: set[threading.Thread] = set()

    @property
    def count(self) -> int:
        """How many threads there are."""
        return len(self._alive)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        with self._guard:
            if self._free:
                self._free -= 1
            else:
                thread = threading.Thread(target=self._work, name="call", daemon=True)
                self._alive.add(thread)
                thread.start()
        self._todo.put(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let every thread end when it has done what it does."""
        with self._guard:
            alive = list(self._alive)
        for _ in alive:
            self._todo.put(None)
        if wait:
            for thread in alive:
                thread.join()

    def _work(self) -> None:
        try:
            while (work := self._next()) is not None:
                work()
                del work  # it holds the whole call
                with self._guard:
                    self._free += 1
        finally:
            with contextlib.suppress(Exception):
                self._ended()
            with self._guard:
                self._alive.discard(threading.current_thread())

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._todo.get(timeout=self._idle_seconds)
        except queue.Empty:
            pass
        with self._guard:
            # Somebody may have counted on this thread since: then there is, or will be, something to do.
            if self._free:
                self._free -= 1
                return None
        return self._todo.get()
