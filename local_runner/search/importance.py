"""How much of the differences between scores each parameter explains by itself."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from local_runner.model.space import Value, show_value
from local_runner.search.results import Results

_BINS = 4  # of a number with many values: quarters of the points by its size


def importance(results: Results) -> list[tuple[str, float]]:
    """Parameters and their shares from 0 to 1, the largest first: the variance between groups of equal value over that of all scores.

    It is the first term of an analysis of variance; what parameters do only together is in no share.
    """
    done = results.done
    total = statistics.pvariance([trial.score for trial in done]) if len(done) > 1 else 0.0
    mean = statistics.fmean(trial.score for trial in done) if done else 0.0
    found = []
    for name in results.names:
        groups: dict[object, list[float]] = defaultdict(list)
        labels = _labels([trial.point.get(name) for trial in done])
        for label, trial in zip(labels, done, strict=True):
            groups[label].append(trial.score)
        between = sum(len(scores) * (statistics.fmean(scores) - mean) ** 2 for scores in groups.values()) / max(len(done), 1)
        found.append((name, min(between / total, 1.0) if total else 0.0))
    return sorted(found, key=lambda one: -one[1])


def _labels(values: Sequence[Value | None]) -> list[object]:
    """The group of each value: the value itself, or of many numbers the quarter it is in."""
    numbers = sorted(value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool))
    if len(set(numbers)) <= 2 * _BINS:
        return [None if value is None else show_value(value) for value in values]
    bounds = [numbers[len(numbers) * part // _BINS] for part in range(1, _BINS)]
    return [value if value is None or isinstance(value, str) else sum(value >= bound for bound in bounds) for value in values]
