"""Samplers: they stay inside, find what is good, and a sampler made again from what is known asks as the one that went on."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model.space import Point
from local_runner.project.search_space import read_document
from local_runner.search.points import name_of
from local_runner.search.samplers.base import Sampler
from local_runner.search.samplers.table import make_sampler

SPACE = read_document(
    [
        {
            "kernel": ["rbf", "linear"],
            "C": {"low": 0.001, "high": 1000.0, "log": True},
            "gamma": {"low": 0.0001, "high": 10.0, "log": True, "when": {"kernel": "rbf"}},
            "size": {"low": 1, "high": 8},
        }
    ]
)
SMALL = read_document([{"x": {"low": 0, "high": 3}}, {"y": ["a", "b"]}])


@pytest.fixture(params=["random", "tpe", "gp"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hill(point: Point) -> float:
    """Highest, with 1, at the kernel rbf, C = 10, gamma = 0.01."""
    away = (math.log10(float(point["C"])) - 1) ** 2 + (math.log10(float(point.get("gamma", 10))) + 2) ** 2
    return float(point["kernel"] == "rbf") - 0.1 * away


def go_on(sampler: Sampler, count: int, score: Callable[[Point], float | None] = hill) -> list[Point]:
    points = []
    for _ in range(count):
        point = sampler.ask()
        assert point is not None
        sampler.tell(point, score(point))
        points.append(point)
    return points


def test_each_point_asked_for_lies_inside(kind: str) -> None:
    assert all(map(SPACE.contains, go_on(make_sampler(kind, SPACE, 1), 15)))
    assert all(map(SMALL.contains, go_on(make_sampler(kind, SMALL, 1), 15, lambda point: 1.0)))


@settings(max_examples=6, deadline=None)
@given(known=st.integers(0, 14), seed=st.integers(0, 3), failed=st.integers(2, 20))
@pytest.mark.parametrize("kind", ["random", "tpe", "gp"])
def test_a_sampler_that_is_told_everything_again_asks_as_the_one_that_went_on(kind: str, known: int, seed: int, failed: int) -> None:

    def score(point: Point) -> float | None:
        return None if int(name_of(point), 16) % failed == 0 else hill(point)

    first = make_sampler(kind, SPACE, seed)
    told = go_on(first, known, score)
    again = make_sampler(kind, SPACE, seed)
    for point in told:
        again.tell(point, score(point))
    assert [first.ask(), first.ask()] == [again.ask(), again.ask()]


def test_points_that_are_out_after_a_restart_count_as_out(kind: str) -> None:
    first, again = make_sampler(kind, SPACE, 1), make_sampler(kind, SPACE, 1)
    for point in go_on(first, 9):
        again.tell(point, hill(point))
    out = first.ask()
    assert out is not None
    again.expect(out)
    assert first.ask() == again.ask()


@pytest.mark.parametrize(("kind", "trials"), [("tpe", 60), ("gp", 25)])
def test_what_adapts_comes_nearer_than_chance(kind: str, trials: int) -> None:
    best = [max(map(hill, go_on(make_sampler(name, SPACE, 3), trials))) for name in (kind, "random")]
    assert best[0] > best[1]
    assert best[0] > 0.9


def test_a_grid_asks_for_each_point_that_is_not_known() -> None:
    sampler = make_sampler("grid", SMALL, 0)
    sampler.tell({"x": 2}, 0.5)
    sampler.expect({"y": "a"})
    asked = []
    while (point := sampler.ask()) is not None:
        asked.append(point)
    assert asked == [{"x": 0}, {"x": 1}, {"x": 3}, {"y": "b"}]


def test_a_sampler_that_is_none_is_named() -> None:
    with pytest.raises(Invalid, match="there is no sampler best"):
        make_sampler("best", SMALL, 0)
