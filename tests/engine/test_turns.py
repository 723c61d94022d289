"""Nothing starves: work is taken in turns, and what a person asks is not behind what waits."""

from __future__ import annotations

import time

import pytest

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef
from local_runner.model.units import rfc3339
from local_runner.planning.agenda import _MOST_WAITING
from local_runner.project.update import Changes
from tests.support.lab import Lab, copy

TICK = PipelineRef("default", "tick")


def asleep(lab: Lab, hours: float = 6) -> None:
    """A clock of one second, of a machine that slept."""
    start = rfc3339(int(time.time() - hours * 3600))
    lab.pipeline("tick", {"cron": {"name": "time", "spec": "@every 1s", "start": start, "overwrite": True}})


def test_there_may_be_more_workers_than_work(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", parallelism_spec={"constant": 2})
    lab.run_all()
    assert lab.job("p").state is JobState.SUCCESS


def test_jobs_have_their_turn_while_thousands_of_missed_ticks_are_made_up_for(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("other")
    asleep(lab)
    lab.run_all(until=lambda: lab.state("other").is_final and sum(info.state.is_final for info in lab.jobs("tick")) >= 20)
    assert lab.state("other") is JobState.SUCCESS
    assert len(lab.jobs("tick")) <= 20 + _MOST_WAITING + 10


def test_a_flood_of_ticks_ends_with_the_stop_of_its_pipeline(lab: Lab) -> None:
    asleep(lab)
    beats = iter(range(10**6))

    def stop_soon() -> bool:
        if next(beats) == 10:
            began = time.monotonic()
            lab.runner.stop_pipeline(TICK)
            took.append(time.monotonic() - began)
        return False

    took: list[float] = []
    lab.run_all(until=stop_soon)
    assert took[0] < 10
    assert all(info.state.is_final for info in lab.jobs("tick"))
    assert not lab.runner.has_work()


def test_missed_ticks_wait_while_many_jobs_do_and_none_is_left_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.planning.agenda._MOST_WAITING", 3)
    most: list[int] = []

    def count(datum: ScriptedDatum) -> None:
        most.append(sum(not info.state.is_final for info in lab.jobs("tick")))
        copy(datum)

    lab.does("tick", count)
    start = rfc3339(int(time.time() - 12 * 3600 - 60))
    lab.pipeline("tick", {"cron": {"name": "time", "spec": "@every 1h", "start": start}})
    lab.run_all()
    assert max(most) <= 3
    assert len(lab.files("tick_time@master")) == 12
    assert len(lab.files("tick@master")) == 12


def test_jobs_of_two_pipelines_share_the_workers(lab: Lab) -> None:
    lab.jobs_at_once = 1
    order: list[str] = []
    for name in ("one", "two"):
        lab.put(f"{name}-data@master", {f"/{number}": "1" for number in range(6)})

        def do(datum: ScriptedDatum, name: str = name) -> None:
            order.append(name)

        lab.pipeline(name, f"{name}-data:/*", do, datum_set_spec={"number": 1})
    lab.run_all()
    assert order.index("two") <= 2
    assert order.index("one") <= 2


def test_to_stop_many_waiting_jobs_costs_each_the_same(lab: Lab) -> None:
    """Looking for what a job builds on must not walk over all those that were stopped before it."""

    def statements(waiting: int) -> float:
        for number in range(waiting):
            lab.put("data@master", {"/a": str(number)})
        asked: list[str] = []
        with lab.runner.database.read() as session:
            connection = session.connection
        connection.set_trace_callback(asked.append)
        lab.runner.stop_pipeline(PipelineRef("default", "p"))
        connection.set_trace_callback(None)
        lab.runner.start_pipeline(PipelineRef("default", "p"))
        return len(asked) / waiting

    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p")
    few, many = statements(10), statements(80)
    assert many <= few * 1.2


def test_a_status_of_very_many_jobs_says_that_it_left_some_out(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p")
    for number in range(3):
        lab.put("data@master", {"/a": str(number)})
    everything = lab.runner.plan(Changes())
    assert (len(everything.job_forecasts), everything.is_cut) == (4, False)
    some = lab.runner.plan(Changes(), seconds=0.0)
    assert (len(some.job_forecasts), some.is_cut) == (1, True)


def test_a_new_pipeline_asks_the_records_no_more_beside_many_others_than_alone(lab: Lab) -> None:
    asked: list[str] = []
    lab.put("data@master", {"/a": "1"})
    lab.put("other@master", {"/a": "1"})

    def statements(name: str) -> int:
        with lab.runner.database.read() as session:
            connection = session.connection
        asked.clear()
        connection.set_trace_callback(asked.append)
        lab.pipeline(name, "other:/*")
        lab.run_all()
        connection.set_trace_callback(None)
        return len(asked)

    lab.run_all()
    alone = statements("alone")
    for number in range(40):
        lab.pipeline(f"p{number}")
    lab.run_all()
    assert statements("beside") <= alone * 1.2
