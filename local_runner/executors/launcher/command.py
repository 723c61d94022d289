"""A command that the launcher started. Imports next to nothing, as the launcher imports it."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # typeshed leaves it out
import os

from local_runner.executors.launcher.killing import is_process_1, kill_all
from local_runner.executors.launcher.messages import End


class StartedCommand:
    """One command that was started."""

    def __init__(self, number: int, pid: int, started: float, laying: float, timeout: float | None) -> None:
        self.number = number
        self.pid = pid
        self.started = started
        self.laying = laying
        self.deadline = started + timeout if timeout is not None else None
        self.timed_out = self.cancelled = False
        self.outputs: dict[int, str] = {}
        self.stdin: int | None = None
        self.has_terminal = False  # then `stdin` stays when everything is read
        self.unread = memoryview(b"")
        self.end: End | None = None  # known when the main process ended
        self.patience = 0.0

    def kill(self) -> bool:
        """SIGKILL to the process group; whether there was anything left of it.

        Where all processes are ours it goes, unless the command ended well, to whatever else was started: to fork away is no help.
        """
        if is_process_1() and not (self.end and self.end.exit_code == 0):
            return kill_all()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            return False
        return True
