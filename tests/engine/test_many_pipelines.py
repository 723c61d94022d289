"""What a verb asks the records for does not grow with what it has nothing to do with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.lab import Lab


def statements(lab: Lab, verb: Callable[[], object]) -> int:
    """How many SQL statements a verb runs, those of triggers aside."""
    seen: list[str] = []
    with lab.runner.database.read() as session:
        session.connection.set_trace_callback(lambda text: None if text.startswith("--") else seen.append(text))
    verb()
    session.connection.set_trace_callback(None)
    return len(seen)


@pytest.fixture(params=["chain", "fan"])
def grow(request: pytest.FixtureRequest, lab: Lab) -> Callable[[int, int], None]:
    """Makes the pipelines p0 to pN: one below the other, or all over one repo."""
    lab.put("data@master", {"/1": "one"})
    lab.put("other@master", {"/1": "one"})

    def make(first: int, end: int) -> None:
        for number in range(first, end):
            lab.pipeline(f"p{number}", f"p{number - 1}:/*" if number and request.param == "chain" else "data:/*")

    return make


def test_a_new_pipeline_asks_for_as_much_beside_many_as_beside_few(lab: Lab, grow: Callable[[int, int], None]) -> None:
    grow(0, 3)
    few = statements(lab, lambda: lab.pipeline("beside-few", "other:/*"))
    grow(3, 40)
    assert statements(lab, lambda: lab.pipeline("beside-many", "other:/*")) == few
    below = statements(lab, lambda: grow(40, 41))
    grow(41, 60)
    assert statements(lab, lambda: grow(60, 61)) == below


def test_a_put_asks_for_as_much_for_each_pipeline_however_many_it_wakes(lab: Lab, grow: Callable[[int, int], None]) -> None:
    counts = []
    for first, end in ((0, 10), (10, 20), (20, 30)):
        grow(first, end)
        counts.append(statements(lab, lambda: lab.put("data@master", {"/1": str(end)})))  # noqa: B023
    assert counts[2] - counts[1] == counts[1] - counts[0]
