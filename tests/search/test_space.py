"""Spaces: what is drawn lies inside, what is written is read again, and what makes no sense is named with its field."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model.space import Choice, Condition, Domain, Parameter, Real, Space, Whole, canonical, text_of
from local_runner.project.search_space import as_document, read_document, read_grid, read_space
from local_runner.search.points import content_of, name_of, named_in, path_of, read_point

words = st.text("abcdefgh", min_size=1, max_size=3)
numbers = st.floats(-1e6, 1e6)
values = st.one_of(words, st.booleans(), st.integers(-5, 5), numbers)


@st.composite
def domains(draw: st.DrawFn) -> Domain:
    kind = draw(st.sampled_from(["real", "log", "whole", "whole log", "choice"]))
    steps = draw(st.integers(0, 5))
    if kind == "real":
        low, high = sorted(draw(st.tuples(numbers, numbers)))
        return Real(low, high, False, steps)
    if kind == "log":
        low, high = sorted(draw(st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))))
        return Real(low, high, True, steps)
    if kind == "choice":
        return Choice(tuple(draw(st.lists(values, min_size=1, max_size=4, unique_by=lambda value: text_of({"": value})))))
    small, large = sorted(draw(st.tuples(st.integers(1, 50), st.integers(1, 50))))
    return Whole(small, large, kind == "whole log", steps)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Parameters of which some depend on a choice before them."""
    parameters: list[Parameter] = []
    for name in draw(st.lists(words, min_size=1, max_size=4, unique=True)):
        choices = [other for other in parameters if isinstance(other.domain, Choice)]
        when: tuple[Condition, ...] = ()
        if choices and draw(st.booleans()):
            other = draw(st.sampled_from(choices))
            assert isinstance(other.domain, Choice)
            when = (Condition(other.name, tuple(draw(st.lists(st.sampled_from(other.domain.options), min_size=1, max_size=1)))),)
        parameters.append(Parameter(name, draw(domains()), when))
    return Space((tuple(parameters),))


@given(spaces(), st.integers(0, 1000))
def test_what_is_drawn_lies_inside_and_is_the_same_for_a_seed(space: Space, seed: int) -> None:
    point = space.draw(random.Random(seed))
    assert space.contains(point)
    assert space.draw(random.Random(seed)) == point


@given(spaces(), st.integers(0, 1000))
def test_a_point_is_read_from_its_file_as_it_was_and_is_named_by_its_content(space: Space, seed: int) -> None:
    point = space.draw(random.Random(seed))
    assert read_point(content_of(point), "p") == point
    assert named_in(path_of("k3-s0", name_of(point))) == name_of(point)
    assert name_of(dict(reversed(point.items()))) == name_of(point)


@given(spaces())
def test_a_space_is_read_as_it_was_written_in_json(space: Space) -> None:
    document = json.loads(json.dumps(as_document(space)))
    again = read_document(document)
    assert as_document(again) == document
    assert all(again.contains(space.draw(random.Random(seed))) for seed in range(3))


@given(st.floats(1e-9, 1e6), st.floats(1.001, 1e6), st.floats(0, 1))
def test_a_share_of_a_logarithmic_range_leads_to_a_value_and_back(low: float, factor: float, share: float) -> None:
    domain = Real(low, low * factor, log=True)
    value = domain.at(share)
    assert isinstance(value, (int, float))
    assert domain.low <= value <= domain.high
    assert math.isclose(domain.share(value), share, abs_tol=1e-5 / math.log(factor) + 1e-9)


def test_on_a_logarithmic_scale_each_power_of_ten_is_as_likely() -> None:
    chance = random.Random(1)
    drawn = [Real(1e-6, 10, log=True).draw(chance) for _ in range(7000)]
    counts = [sum(10.0**e <= float(value) < 10.0 ** (e + 1) for value in drawn) for e in range(-6, 1)]
    assert all(850 < count < 1150 for count in counts)


def test_a_parameter_is_part_of_a_point_only_if_its_condition_holds() -> None:
    kernels, ranges = ["rbf", "linear"], {"low": 0.1, "high": 10.0, "log": True, "when": {"kernel": "rbf"}}
    space = read_document([{"gamma": ranges, "kernel": kernels}])
    points = [space.draw(random.Random(seed)) for seed in range(30)]
    assert all(("gamma" in point) == (point["kernel"] == "rbf") for point in points)
    assert not space.contains({"kernel": "linear", "gamma": 1})
    assert not space.contains({"kernel": "rbf"})


def test_a_grid_has_each_point_once_also_where_a_parameter_is_not_part_of_it() -> None:
    space = read_document([{"kernel": ["rbf", "linear"], "gamma": {"choices": [0.1, 1], "when": {"kernel": "rbf"}}}])
    assert len(list(space.grid())) == 3


def test_numbers_are_one_point_however_they_are_written() -> None:
    assert name_of({"C": 100}) == name_of({"C": 100.0})
    assert name_of({"C": 1}) != name_of({"C": True})
    assert canonical(1e300) == 1e300


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "the space is empty"),
        ({"C": []}, "C: an empty list leaves no value"),
        ({"C": [1, 1.0]}, "C: 1.0 is listed twice"),
        ({"C": [[1]]}, "C: [1] is no value"),
        ({"C": {"low": 2, "high": 1}}, "C: low 2 is above high 1, so no value lies between"),
        ({"C": {"low": 0, "high": 1, "log": True}}, "C: low 0 cannot be on a logarithmic scale"),
        ({"C": {"low": 1}}, "C: high is missing"),
        ({"C": {"low": math.nan, "high": 1}}, "C: low: nan is no finite number"),
        ({"C": {"low": 1, "high": 2, "lg": True}}, "C: unknown field lg"),
        ({"C": {"low": 1.5, "high": 2, "type": "int"}}, "C: type: low 1.5 and high 2 have to be whole numbers"),
        ({"C": {"low": 1, "high": 2, "steps": -1}}, "C: steps: -1 is no number of values"),
        ({"C": {"low": 1, "high": 2, "when": {"kernel": "rbf"}}}, "C: when: there is no parameter kernel"),
        ({"kernel": ["rbf"], "C": {"low": 1, "high": 2, "when": {"kernel": "poly"}}}, "C: when: kernel is never 'poly'"),
        (
            {"a": {"choices": [1], "when": {"b": 1}}, "b": {"choices": [1], "when": {"a": 1}}},
            "a: when: the parameters a -> b -> a depend on each other in a circle",
        ),
    ],
)
def test_what_makes_no_sense_is_named_with_its_field(table: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_space(table, lambda field, message, hint: Invalid(f"{field}: {message}".removeprefix(": "), hint=hint))
    assert caught.value.message == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON"),
        ("[]", "the grid is empty"),
        ("{}", "the space is empty"),
        ('{"C": 1}', "C: expected a list of values"),
        ('[{"C": [1]}, {"C": []}]', "[1].C: an empty list leaves no value"),
        ('[{"C": [1]}, 3]', "[1]: expected an object of lists"),
    ],
)
def test_what_is_wrong_in_a_file_of_grids_is_named_with_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "grid.json").write_text(text)
    with pytest.raises(Invalid) as caught:
        read_grid(tmp_path / "grid.json")
    assert caught.value.message.startswith(f"{tmp_path}/grid.json: {said}")


def test_a_range_without_steps_is_no_grid() -> None:
    with pytest.raises(Invalid, match="C is a range") as caught:
        list(read_document([{"C": {"low": 0.1, "high": 1.0}}]).grid())
    assert "steps = 7" in caught.value.hint
    assert [point["C"] for point in read_document([{"C": {"low": 1.0, "high": 100.0, "log": True, "steps": 3}}]).grid()] == [1, 10, 100]
