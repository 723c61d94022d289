"""What time it is, for all that is written down; whoever opens a home may bring another clock."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]  # seconds since the epoch


def wall_clock() -> float:
    """The time that this machine shows."""
    return time.time()
