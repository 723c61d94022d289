"""How a launcher ends what it started, wherever that has forked away to. The launcher imports it: next to nothing is imported here."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # as in launcher.py
import os


def is_process_1() -> bool:
    """Whether this process namespace is ours: then all other processes in it are of the commands that were started."""
    return os.getpid() == 1


def kill_all() -> bool:
    """SIGKILL to all others in this process namespace, at one stroke, so that nothing forks away; whether there were any."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def kill_descendants() -> None:
    """All that is left of what was started, also outside the process groups: orphans were adopted, so each round sees some."""
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
