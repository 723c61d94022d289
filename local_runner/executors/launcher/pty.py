"""The launcher's end of a command's terminal. Imports next to nothing, to start quickly."""

from __future__ import annotations

import os
import termios
from typing import Any


def arrange_terminal(descriptors: list[int], size: tuple[int, int]) -> dict[str, Any]:
    """Make a terminal: the command's end of it, and ours twice, to read and to write. Returns what `posix_spawn` has to know.

    Whoever leads a session and opens a terminal gets it for its own.
    """
    ours, theirs = os.openpty()
    descriptors += (theirs, ours)
    descriptors.append(os.dup(ours))
    termios.tcsetwinsize(ours, size)
    opened = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(theirs), os.O_RDWR, 0)
    return {"file_actions": [opened, (os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)], "setsid": True}


def resize(terminal: int, size: tuple[int, int]) -> None:
    """Set the size of a terminal; its processes get SIGWINCH."""
    termios.tcsetwinsize(terminal, size)
