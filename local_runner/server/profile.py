"""Where the threads of the server are, looked at again and again for a while: the profile that flame graphs are drawn of."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from types import FrameType

from local_runner.api.stop import Stop

_PERIOD = 0.01  # seconds between two looks; one takes some 50 µs


def profile(seconds: float, stop: Stop) -> bytes:
    """A line for each stack that was seen, the outermost function first, and how often: the collapsed form of flame graphs.

    Ends early, with what was seen, when `stop` is set. A thread that waits is seen where it waits.
    """
    seen: Counter[str] = Counter()
    me, until = threading.get_ident(), time.monotonic() + seconds
    while not stop.is_set and time.monotonic() < until:
        seen.update(_stack(frame) for ident, frame in sys._current_frames().items() if ident != me)
        time.sleep(_PERIOD)
    return "".join(f"{stack} {count}\n" for stack, count in seen.most_common()).encode()


def _stack(frame: FrameType | None) -> str:
    names = []
    while frame is not None:
        names.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return ";".join(reversed(names))
