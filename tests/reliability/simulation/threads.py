"""Threads of a simulated process: one runs at a time, the seed says which is next, and a clock of its own moves only while all wait."""

from __future__ import annotations

import _thread
import contextlib
import fcntl
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

_TICK = 1e-5  # seconds between two looks at the clock
_PATIENCE = 10.0  # real seconds for threads of a killed process to unwind


class Killed(BaseException):
    """The process is gone. What unwinds on the way counts for nothing: the home was copied at this moment."""


class Hangs(BaseException):
    """Every thread waits for another, or nobody comes to an end."""


class _Waiter:
    """A thread that waits until `may_go` is true, or the clock says `until`."""

    def __init__(self, may_go: Callable[[], bool], until: float | None) -> None:
        self.may_go = may_go
        self.until = until
        self.turn = _thread.allocate_lock()
        self.turn.acquire()


class Threads:
    """What stands in place of `threading`, `queue`, `select` and `time` while a simulated process lives (`patched`)."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 1_800_000_000.0
        self.is_over = False  # the process is gone: whoever waits unwinds
        self.switches = 0
        self.switch = lambda: None  # called whenever a thread hands on
        self._waiters: list[_Waiter] = []
        self._real: dict[str, Any] = {}
        self._outside = threading.local()
        self._alive: list[threading.Thread] = []
        self._stuck = False
        self.crashes: list[BaseException] = []  # exceptions that ended threads

    # -- time ----------------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        """Seconds since the epoch."""
        self.now += _TICK
        return self.now

    def pass_time(self, seconds: float) -> None:
        """Nobody does anything for so long."""
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def wait(self, may_go: Callable[[], bool], seconds: float | None = None) -> bool:
        """Let others run until `may_go`, or for some seconds; says whether it may. Raises `Killed` and `Hangs`."""
        if self.is_over:
            raise Killed
        self.switches += 1
        self.switch()
        me = _Waiter(may_go, None if seconds is None else self.now + max(seconds, 0.0))
        self._waiters.append(me)
        self._hand_on()
        me.turn.acquire()
        if self._stuck:
            self._stuck = False
            raise Hangs("every thread waits, and none for the clock")
        if self.is_over:
            raise Killed
        return may_go()

    def _hand_on(self) -> None:
        ready = [waiter for waiter in self._waiters if self.is_over or waiter.may_go()]
        if not ready and self._waiters:
            timed = [waiter for waiter in self._waiters if waiter.until is not None]
            if not timed:
                self._stuck = True  # the first that waits is the engine, or a verb
                ready = self._waiters[:1]
            else:
                ready = [min(timed, key=lambda waiter: waiter.until or 0.0)]
                self.now = max(self.now, ready[0].until or 0.0)
        if ready:
            chosen = ready[0] if len(ready) == 1 else self.random.choice(ready)
            self._waiters.remove(chosen)
            chosen.turn.release()

    def end(self) -> None:
        """Let all threads of a process that is gone unwind, and wait for them."""
        self.is_over = True
        for waiter in self._waiters:
            waiter.turn.release()
        self._waiters.clear()
        self._outside.yes = True
        for thread in self._alive:
            self._real["join"](thread, _PATIENCE)
            if thread.is_alive():
                raise Hangs(f"thread {thread.name} does not end")
        self._alive.clear()
        self._outside.yes = False
        self.is_over = False

    # -- in place of the real ones ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """Threads that start, events and queues that are waited for, and clocks that are looked at, are simulated ones."""
        threads, real = self, self._real
        real |= {"start": threading.Thread.start, "join": threading.Thread.join, "wait": threading.Event.wait}
        real |= {"queue": queue.SimpleQueue, "select": select.select, "lock": fcntl.flock}
        clocks = {name: getattr(time, name) for name in ("time", "monotonic", "sleep")}

        def start(thread: threading.Thread) -> None:
            waiter, run = _Waiter(lambda: True, None), thread.run

            def in_turn() -> None:
                waiter.turn.acquire()
                try:
                    if not threads.is_over:
                        run()
                except Killed:
                    pass
                except BaseException as error:
                    if not threads.is_over:
                        threads.crashes.append(error)
                finally:
                    thread.ended = True  # type: ignore[attr-defined]
                    threads._hand_on()

            thread.ended = False  # type: ignore[attr-defined]
            thread.run = in_turn  # type: ignore[method-assign]
            threads._alive.append(thread)
            threads._waiters.append(waiter)
            threads._outside.yes = True
            real["start"](thread)
            threads._outside.yes = False

        def join(thread: threading.Thread, timeout: float | None = None) -> None:
            if hasattr(thread, "ended") and not threads._is_outside():
                threads.wait(lambda: bool(thread.ended), timeout)  # type: ignore[attr-defined]

        def wait(event: threading.Event, timeout: float | None = None) -> bool:
            if threads._is_outside():
                return bool(real["wait"](event, timeout))
            return event.is_set() or threads.wait(event.is_set, timeout)

        def ready(*args: Any) -> Any:
            *sets, timeout = args if len(args) == 4 else (*args, None)
            threads.wait(lambda: any(real["select"](*sets, 0)), timeout)
            return real["select"](*sets, 0)

        def lock(descriptor: int, operation: int) -> None:
            def may_go() -> bool:
                try:
                    real["lock"](descriptor, operation | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                return True

            if operation & (fcntl.LOCK_NB | fcntl.LOCK_UN):
                real["lock"](descriptor, operation)
            elif not may_go():
                threads.wait(may_go)

        class Queue:
            def __init__(self) -> None:
                self._items: list[object] = []

            def put(self, item: object) -> None:
                self._items.append(item)

            def get(self) -> object:
                threads.wait(lambda: bool(self._items))
                return self._items.pop(0)

            def get_nowait(self) -> object:
                if not self._items:
                    raise queue.Empty
                return self._items.pop(0)

            def empty(self) -> bool:
                return not self._items

        threading.Thread.start, threading.Thread.join = start, join  # type: ignore[method-assign, assignment]
        threading.Event.wait = wait  # type: ignore[method-assign, assignment]
        queue.SimpleQueue = Queue  # type: ignore[misc, assignment]
        select.select = ready
        fcntl.flock = lock
        time.time = time.monotonic = self.clock
        time.sleep = self.sleep
        try:
            yield
        finally:
            threading.Thread.start, threading.Thread.join = real["start"], real["join"]  # type: ignore[method-assign]
            threading.Event.wait = real["wait"]  # type: ignore[method-assign]
            queue.SimpleQueue = real["queue"]  # type: ignore[misc]
            select.select = real["select"]
            fcntl.flock = real["lock"]
            for name, clock in clocks.items():
                setattr(time, name, clock)

    def _is_outside(self) -> bool:
        return bool(getattr(self._outside, "yes", False))
