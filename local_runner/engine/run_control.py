"""Carries what other threads ask of the datum that runs to the thread that runs it: to end for good, or to fail this attempt."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from local_runner.engine.outputs import BadOutput

_INSIST_SECONDS = 0.05


class DatumStopped(Exception):
    """Raised to end a datum whose job is over or whose engine closes; the attempt does not count."""


class RunControl:
    """Interrupts and restarts of what one worker runs. `cancel` ends what user code does now, and may be called by any thread.

    `interrupt` and `restart` are for other threads, all else is for the worker's own.
    """

    def __init__(self, name: str, cancel: Callable[[], None]) -> None:
        self._name = name
        self._cancel = cancel
        self._turn = threading.Lock()  # held to begin or end an attempt, and to restart it
        self._present = ""  # id of the datum whose attempt is under way
        self._stopping = False
        self._restarting = False
        self._deadline: float | None = None  # of the work after the command, on the monotonic clock
        self._idle = threading.Event()  # set while no command runs
        self._idle.set()

    # -- from other threads ------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End what user code does now, for good."""
        self._stopping = True
        self._cancel()
        if not self._idle.is_set():
            threading.Thread(target=self._insist, name=f"{self._name} cancel", daemon=True).start()

    def restart(self, datum: str) -> None:
        """Make the present attempt of a datum a failed one; nothing if it is at another by now."""
        with self._turn:
            if self._present == datum:
                self._restarting = True
                self._cancel()

    def _insist(self) -> None:
        """Cancel until it was heard: a command that is only just being started does not hear the first time."""
        while not self._idle.wait(_INSIST_SECONDS):
            self._cancel()

    # -- from the worker's own ---------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take datums again after an interrupt; before the next set."""
        self._stopping = False

    def begin(self, datum: str) -> None:
        """An attempt of this datum begins. Raises `DatumStopped`."""
        self.check_stopped()
        with self._turn:
            self._present = datum

    def end(self) -> None:
        """The attempt is over: a restart comes too late."""
        with self._turn:
            self._present, self._restarting = "", False

    @contextlib.contextmanager
    def command(self) -> Iterator[None]:
        """For the time of a command that `cancel` ends."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    @property
    def must_end(self) -> bool:
        """Whether user code has to end now, for good or to begin again."""
        return self._stopping or self._restarting

    def check_stopped(self) -> None:
        """Raise `DatumStopped` after an interrupt."""
        if self._stopping:
            raise DatumStopped

    def take_restart(self) -> bool:
        """Whether the attempt is to be a failed one; its next command is free of that again."""
        with self._turn:
            asked, self._restarting = self._restarting, False
        return asked

    def allow(self, seconds: float | None) -> None:
        """Give the work after the command so much time from now on; None: any."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise if the datum has to end now; called repeatedly while its output is read.

        Raises `DatumStopped`, or `BadOutput` as that attempt fails: the time of `datum_timeout` is given to this work anew.
        """
        self.check_stopped()
        if self._restarting:
            raise BadOutput("cancelled")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise BadOutput("timed out while its output was read")
