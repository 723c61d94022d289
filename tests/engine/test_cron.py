"""Clocks (reference pps 4.9)."""

import time

import pytest

from local_runner.errors import Refused
from local_runner.model.refs import BranchRef, PipelineRef, RepoRef
from local_runner.model.repos import Trigger
from local_runner.model.units import parse_rfc3339, rfc3339
from local_runner.pipelines.cron import next_ticks
from tests.support.lab import Lab

TICK = PipelineRef("default", "tick")


def clock(lab: Lab, **fields: object) -> RepoRef:
    """A pipeline with a clock; returns the repo of its ticks."""
    lab.pipeline("tick", {"cron": {"name": "time", "spec": "@never", **fields}})
    lab.run_all()
    return next(info.repo for info in lab.runner.list_repo() if info.repo.name != "tick")


def test_a_tick_is_a_file_named_by_its_time_and_a_job(lab: Lab) -> None:
    repo = clock(lab)
    lab.runner.run_cron(TICK)
    lab.run_all()
    (path,) = lab.files(f"{repo}@master")
    assert abs(parse_rfc3339(path[1:]) - time.time()) < 60
    assert lab.files("tick@master") == {path: ""}


def test_a_clock_stands_still_while_its_last_file_is_no_time(lab: Lab) -> None:
    repo = clock(lab, spec="@every 1h", start=rfc3339(int(time.time()) - 3600 - 60))
    lab.put(f"{repo}@master", {"/a-note": "x"})
    lab.run_all()
    assert len(lab.files(f"{repo}@master")) == 2
    with lab.runner.database.read() as session:
        assert not next_ticks(session, session.pipelines.pipelines())


def test_ticks_add_up_unless_they_overwrite(lab: Lab) -> None:
    repo = clock(lab, overwrite=True)
    for _ in range(2):
        lab.runner.run_cron(TICK)
        time.sleep(1.01)
    assert len(lab.files(f"{repo}@master")) == 1
    lab.pipeline("tick", {"cron": {"name": "time", "spec": "@never"}}, update=True)
    lab.runner.run_cron(TICK)
    assert len(lab.files(f"{repo}@master")) == 2


def test_missed_ticks_are_made_up_for_each_in_a_commit_of_its_own(lab: Lab) -> None:
    repo = clock(lab, spec="@every 1h", start=rfc3339(int(time.time()) - 3 * 3600 - 60))
    assert len(lab.files(f"{repo}@master")) == 3
    assert sum(job.state.is_final for job in lab.jobs("tick")) >= 3


def test_a_tick_that_is_due_is_work_for_an_engine(lab: Lab) -> None:
    clock(lab, spec="@every 1h", start=rfc3339(int(time.time())))
    assert not lab.runner.has_work()
    lab.clock.forward(3700)
    assert lab.runner.has_work()
    lab.run_all()
    assert not lab.runner.has_work()
    assert len(lab.files("tick_time@master")) == 1
    lab.clock.forward(3700)
    lab.runner.stop_pipeline(TICK)
    assert not lab.runner.has_work()


def test_the_next_tick_is_known_beforehand(lab: Lab) -> None:
    clock(lab, spec="@every 1h", start=rfc3339(int(time.time())))
    with lab.runner.database.read() as session:
        ((due, _, _),) = next_ticks(session, session.pipelines.pipelines())
    assert 3500 < due - time.time() <= 3601


def test_a_branch_moves_on_a_schedule_to_the_last_commit_before_the_tick(lab: Lab) -> None:
    hour = 3600.0
    noon = (lab.clock() // hour + 24) * hour  # an hour that begins
    lab.clock.forward(noon - 2.5 * hour - lab.clock())
    lab.put("data@master", {"/old": "1"})
    trigger = Trigger("master", cron_spec="0 * * * *")
    lab.runner.create_branch(BranchRef(lab.repo("data"), "hourly"), trigger=trigger)
    lab.pipeline("copy", {"pfs": {"repo": "data", "branch": "hourly", "glob": "/*"}})
    lab.run_all()
    assert lab.files("data@hourly") == {}
    lab.clock.forward(0.1 * hour)
    lab.put("data@master", {"/first": "1"})
    lab.clock.forward(0.1 * hour)
    lab.put("data@master", {"/second": "1"})
    lab.run_all()
    assert lab.files("data@hourly") == {}
    lab.clock.forward(hour)
    lab.put("data@master", {"/late": "1"})
    lab.run_all()
    assert lab.files("data@hourly") == {"/old": "1", "/first": "1", "/second": "1"}
    assert lab.files("copy@master") == lab.files("data@hourly")
    lab.clock.forward(hour)
    lab.run_all()
    assert "/late" in lab.files("copy@master")
    jobs = len(lab.jobs("copy"))
    lab.clock.forward(9 * hour)
    lab.run_all()
    assert len(lab.jobs("copy")) == jobs


def test_branches_that_watch_one_that_moves_on_a_schedule_move_with_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    data = lab.repo("data")
    lab.runner.create_branch(BranchRef(data, "hourly"), trigger=Trigger("master", cron_spec="@hourly"))
    lab.runner.create_branch(BranchRef(data, "next"), trigger=Trigger("hourly", commits=1))
    lab.clock.forward(3601)
    lab.run_all()
    assert lab.files("data@next") == {"/a": "1"}


def test_a_pipeline_without_a_clock_does_not_tick(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("copy")
    with pytest.raises(Refused, match="doesn't have a cron input"):
        lab.runner.run_cron(PipelineRef("default", "copy"))
