"""Predicted times: they follow from the durations, and runs agree with them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.search.speedup import predict
from tests.search.conftest import Bench

durations = st.lists(st.floats(0.01, 10), min_size=1, max_size=20)


@given(durations, st.integers(1, 6))
def test_no_number_of_workers_beats_the_longest_piece_or_an_even_share(pieces: list[float], workers: int) -> None:
    found = predict(pieces, workers)
    assert found.seconds >= max(max(pieces), sum(pieces) / workers) * (1 - 1e-9)
    assert found.seconds <= sum(pieces) / workers + max(pieces)  # Graham's bound
    assert predict(pieces, 1).seconds == pytest.approx(sum(pieces))
    assert found.busy + found.idle == pytest.approx(workers * found.seconds)


def test_longest_first_is_no_worse_here() -> None:
    assert predict([1, 1, 1, 3], 2).seconds == 4
    assert predict([3, 1, 1, 1], 2).seconds == 3


def test_a_run_takes_about_as_long_as_was_predicted_from_another(bench: Bench) -> None:
    """With two workers, by the durations that one worker recorded; what it costs beside the datums is little here."""

    def slow(point: dict[str, Any]) -> float:
        time.sleep(0.05 + 0.03 * point["x"])
        return float(point["x"])

    bench.project(more='sampler = "grid"')
    recorded = bench.search(slow, jobs=1)
    times = [seconds for trial in recorded.in_order for seconds in recorded.effort(trial).times]
    predicted = predict(times, 2).seconds
    bench.project(space="x = { low = 0, high = 9 }\ny = [1]", more='sampler = "grid"')
    began = time.perf_counter()
    bench.search(slow, jobs=2)
    took = time.perf_counter() - began
    assert predicted < sum(times) * 0.75
    assert 0.8 * predicted < took < 5 * predicted  # however busy the machine is
