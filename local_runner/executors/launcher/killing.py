"""Kills everything a launcher started, orphans included. The launcher imports this file, so it imports next to nothing."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # as in launcher.py
import os


def is_process_1() -> bool:
    """Whether this process is the first of a process namespace; all others in it were then started by it."""
    return os.getpid() == 1


def kill_all() -> bool:
    """SIGKILL all other processes of this namespace at once; returns whether there were any."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_descendants() -> None:
    """Kill all descendants, also outside their process groups; orphans become children, so this repeats until none is left."""
    if is_process_1():
        kill_all()
    while True:
        try:
            if not is_process_1():
                with open(f"/proc/self/task/{os.getpid()}/children") as children:
                    pids = [int(pid) for pid in children.read().split()]
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)
        except OSError:  # no children are left, or the system has no such list
            return
