"""What one engine leaves, the next one takes up."""

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.errors import Busy
from local_runner.model.jobs import JobState
from tests.support.lab import Lab

MANY: "dict[str, str | bytes | None]" = {f"/{n}": "1" for n in range(8)}


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """One datum at a time, each a set of its own."""
    lab.jobs_at_once = 1
    lab.put("data@master", MANY)
    lab.pipeline("copy", datum_set_spec={"number": 1})
    return lab


def test_finished_datums_are_kept_when_an_engine_stops_in_the_middle(lab: Lab) -> None:
    lab.run_all(until=lambda: len(lab.ran) >= 3)
    before = lab.ran
    assert 3 <= len(before) < len(MANY)
    assert lab.state("copy") is JobState.RUNNING
    assert len(lab.datums("copy")) >= 3
    lab.run_all()
    assert sorted(before + lab.ran) == sorted(f"copy:{path}" for path in MANY)
    assert lab.state("copy") is JobState.SUCCESS
    assert lab.counts("copy") == {"total": 8, "processed": 8}
    assert lab.files("copy@master") == MANY


def test_an_engine_that_stops_among_datums_that_run_again_loses_none(lab: Lab) -> None:
    lab.run_all()
    lab.put("data@master", dict.fromkeys(MANY, "2"))
    lab.run_all(until=lambda: len(lab.ran) >= 3)
    first = lab.ran
    lab.run_all()
    assert sorted(first + lab.ran) == sorted(f"copy:{path}" for path in MANY)
    assert lab.files("copy@master") == dict.fromkeys(MANY, "2")


def test_a_datum_that_failed_before_the_stop_is_tried_anew(lab: Lab) -> None:
    lab.does("copy", lambda datum: 1)
    lab.pipeline("copy", update=True, datum_set_spec={"number": 1}, datum_tries=1)
    lab.run_all(until=lambda: len(lab.ran) >= 3)
    assert lab.state("copy") is JobState.RUNNING
    lab.does("copy", lambda datum: 0)
    lab.run_all()
    assert len(lab.ran) == len(MANY)
    assert lab.state("copy") is JobState.SUCCESS


def test_a_home_has_one_engine_and_the_second_is_told_of_the_first(lab: Lab) -> None:
    with engine_of(lab.runner, EngineConfig(lab.executor)), pytest.raises(Busy, match="is at work in"):
        lab.run_all()
    lab.run_all()
    assert lab.state("copy") is JobState.SUCCESS
