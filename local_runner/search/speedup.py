"""How long a search takes with so many workers, predicted from the durations that were recorded."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds with so many `workers`: of the whole, of work in all of them together, of waiting there, and of the longest piece."""

    workers: int
    seconds: float
    busy: float
    idle: float
    longest: float

    @property
    def speedup(self) -> float:
        """Against one worker that does all of it."""
        return self.busy / self.seconds if self.seconds else 1.0

    @property
    def idle_share(self) -> float:
        return self.idle / (self.busy + self.idle) if self.busy else 0.0


def predict(durations: Sequence[float], workers: int, *, each: float = 0.0, before: float = 0.0) -> Prediction:
    """Pieces of work in this order, each to the worker that is free first (list scheduling: Graham, 1969).

    `each` is what a piece costs beside its duration, `before` what has to be done before the first, both in seconds.
    """
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration + each)
    busy, end = sum(durations) + each * len(durations), max(free)
    return Prediction(workers, before + end, before + busy, workers * end - busy, max(durations, default=0.0))
