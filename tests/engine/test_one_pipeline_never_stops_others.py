"""Whatever goes wrong for one pipeline is said there, and everything else goes on: a fault at each step of a job's life."""

from __future__ import annotations

import errno
import importlib
import sqlite3
import time
from typing import Any

import pytest

from local_runner.engine.datum_run import DatumRunner
from local_runner.engine.job_run import JobRun
from local_runner.engine.worker_thread import WorkerThread
from local_runner.errors import Unavailable
from local_runner.executors.scripted import ScriptedExecutor
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import PipelineRef
from local_runner.model.units import rfc3339
from local_runner.pipelines.job_end import fail_unreadable_job
from tests.support.lab import Lab

SICK = PipelineRef("default", "sick")

# Everything that is called for one job or pipeline, from its first look to its end: module, name.
STEPS = (
    "local_runner.planning.agenda._read_all",
    "local_runner.planning.agenda._read",
    "local_runner.pipelines.cron.next_tick",
    "local_runner.pipelines.cron.tick",
    "local_runner.planning.readiness.inputs_state",
    "local_runner.planning.agenda.is_service",
    "local_runner.planning.readiness.output_commit",
    "local_runner.engine.new_jobs.judge",
    "local_runner.engine.new_jobs.spec_of",
    "local_runner.engine.new_jobs.local_egress",
    "local_runner.planning.prepare.input_commits",
    "local_runner.planning.prepare.datums_of",
    "local_runner.planning.prepare.base_of",
    "local_runner.planning.prepare.find_kept",
    "local_runner.engine.job_run.JobRun.prepare",
    "local_runner.engine.job_run.JobRun.begin",
    "local_runner.engine.job_run.JobRun._take_up",
    "local_runner.engine.job_run.JobRun.flush",
    "local_runner.engine.job_run.JobRun.flushed",
    "local_runner.engine.job_run.JobRun.advance",
    "local_runner.engine.job_run.JobRun._begin_serial",
    "local_runner.engine.job_run.own_records",
    "local_runner.engine.job_run.write_layers",
    "local_runner.engine.job_run.put_on_base",
    "local_runner.engine.job_run.JobRun.end",
    "local_runner.engine.job_run.JobRun.is_late",
    "local_runner.engine.job_run.meta_document",
    "local_runner.engine.pool.Pool.dispatch",
    "local_runner.engine.pool.Pool.warm_up",
    "local_runner.engine.loop.Engine._write_remarks",
    "local_runner.engine.new_jobs.NewJobs._wait",
    "local_runner.engine.new_jobs.end_job",
    "local_runner.engine.new_jobs.NewJobs._consider",
    "local_runner.engine.new_jobs.NewJobs._begin",
    "local_runner.engine.job_run.end_job",
    "local_runner.pipelines.job_end.end_job",
    "local_runner.pipelines.job_end.finish_commit",
    "local_runner.engine.loop.fire_triggers",
    "local_runner.engine.new_jobs.fire_triggers",
    "local_runner.engine.loop.Engine._go_on",
    "local_runner.engine.loop.Engine._flush",
    "local_runner.engine.loop.Engine._ended",
    "local_runner.engine.worker_thread.open_worker",
    "local_runner.engine.worker_thread.WorkerThread._worker",
    "local_runner.engine.worker_thread.WorkerThread._serve",
    "local_runner.engine.worker_thread.WorkerThread._run_set",
    "local_runner.engine.datum_run.DatumRunner.begin_set",
    "local_runner.engine.datum_run.DatumRunner.run",
    "local_runner.engine.datum_run.DatumRunner.clear",
    "local_runner.engine.attempt.stage",
    "local_runner.engine.datum_run.collect",
    "local_runner.engine.datum_run.seen_files",
    "local_runner.engine.datum_run.DatumRunner._outcome",
    "local_runner.storage.pipeline_records.PipelineRecords.job",
    "local_runner.storage.pipeline_records.PipelineRecords.pipeline",
    "local_runner.storage.pipeline_records.PipelineRecords.version",
    "local_runner.storage.pipeline_records.PipelineRecords.update_job",
)
FAULTS = (
    KeyError("no such state"),
    sqlite3.DatabaseError("malformed"),
    OSError(5, "Input/output error"),
    Unavailable("a piece is missing"),
)


def is_about_sick(argument: object) -> bool:
    if isinstance(argument, ScriptedExecutor):
        return False  # it knows them all
    told = (
        argument.info if isinstance(argument, JobRun) else argument.name if isinstance(argument, (WorkerThread, DatumRunner)) else argument
    )
    return "sick" in repr(told)


def break_step(monkeypatch: pytest.MonkeyPatch, step: str, fault: Exception) -> None:
    """Let a function fail whenever it is called for the pipeline `sick`."""
    place, name = step.rsplit(".", 1)
    try:
        owner: Any = importlib.import_module(place)
    except ModuleNotFoundError:
        module, kind = place.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), kind)
    real = getattr(owner, name)

    def broken(*args: Any, **more: Any) -> Any:
        if any(map(is_about_sick, (*args, *more.values()))):
            raise fault
        return real(*args, **more)

    monkeypatch.setattr(owner, name, broken)


def pipelines(lab: Lab) -> None:
    """Two that have nothing to do with each other, each with a datum of its own and something downstream; one clock is `sick`'s."""
    for name in ("sick", "good"):
        clock = {"cron": {"name": "time", "spec": "@every 1h", "start": rfc3339(int(time.time()) - 3700), "overwrite": True}}
        data = {"pfs": {"repo": f"{name}-data", "glob": "/*"}}
        lab.pipeline(name, {"union": [data, clock]} if name == "sick" else data)
        lab.pipeline(f"after-{name}", f"{name}:/*")


@pytest.mark.parametrize(("step", "fault"), [(step, FAULTS[at % len(FAULTS)]) for at, step in enumerate(STEPS)])
def test_a_fault_in_any_step_ends_what_it_befalls_and_nothing_else(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, step: str, fault: Exception
) -> None:
    for name in ("sick", "good"):
        lab.put(f"{name}-data@master", {"/one": "1", "/two": "2"})
    pipelines(lab)
    lab.run_all()
    for name in ("sick", "good"):
        lab.put(f"{name}-data@master", {"/one": "changed", "/two": None, "/three": "3"})
    with monkeypatch.context() as patch:
        break_step(patch, step, fault)
        lab.run_all()
    assert lab.state("good") is JobState.SUCCESS
    assert lab.state("after-good") is JobState.SUCCESS
    assert lab.files("after-good@master") == {"/one": "changed", "/three": "3"}
    assert not list(lab.runner.fsck())
    assert not lab.runner.has_work() or lab.runner.inspect_pipeline(SICK).state is PipelineState.CRASHING
    mend(lab)
    assert lab.state("sick") is JobState.SUCCESS
    assert lab.files("sick@master").items() >= {"/one": "again", "/three": "3"}.items()
    assert not list(lab.runner.fsck())


def mend(lab: Lab) -> None:
    """As somebody who has seen what is wrong, and put it right."""
    if lab.runner.inspect_pipeline(SICK).state is PipelineState.CRASHING:
        lab.runner.start_pipeline(SICK)
    lab.put("sick-data@master", {"/one": "again"})
    lab.run_all()


# -- records that are really damaged -----------------------------------------------------------------------------------

_JOB = " WHERE pipeline = 'sick' AND state = 'JOB_CREATED'"
_COMMITS = "FROM commits c JOIN repo r ON r.key = c.repo"
_OUTPUT = f"""("commit" IN (SELECT c.key {_COMMITS} WHERE r.name = 'sick' AND c.finished IS NULL))"""
DAMAGE = {
    "the counters of a job are no JSON": f"UPDATE job SET counters = '{{'{_JOB}",
    "what a job is asked is no JSON": f"UPDATE job SET request = '['{_JOB}",
    "what a job runs is no list": f"UPDATE job SET running = '[1]'{_JOB}",
    "the provenance of an output commit is gone": f"DELETE FROM commit_source WHERE {_OUTPUT}",
    "a pipeline is in a state that nobody knows": "UPDATE pipeline SET state = 'PIPELINE_ILL' WHERE name = 'sick'",
    "the spec of a pipeline is no JSON": "UPDATE pipeline SET effective_spec = '{' WHERE name = 'sick'",
    "the spec of a pipeline is another's": "UPDATE pipeline SET effective_spec = '{\"cron\": 1}' WHERE name = 'sick'",
    "a pipeline has no row": "DELETE FROM pipeline WHERE name = 'sick'",
    "an output commit is gone": "DELETE FROM commits WHERE finished IS NULL AND repo IN (SELECT key FROM repo WHERE name = 'sick')",
    "a tree has a hole": f"DELETE FROM node WHERE name IN (SELECT c.tree {_COMMITS} WHERE r.name LIKE 'sick%')",
    "a branch has no repo": "DELETE FROM repo WHERE name = 'sick-data'",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_records_that_cannot_be_read_stop_their_own_pipeline_only(lab: Lab, damage: str) -> None:
    for name in ("sick", "good"):
        lab.put(f"{name}-data@master", {"/one": "1"})
    pipelines(lab)
    lab.run_all()
    for name in ("sick", "good"):
        lab.put(f"{name}-data@master", {"/one": "2"})
    with lab.runner.database.write() as session:
        assert session.connection.execute(damage).rowcount
    lab.run_all()
    with lab.runner.database.read() as session:
        states = dict(session.connection.execute("SELECT pipeline, state FROM job ORDER BY key").fetchall())
    assert states["good"] == states["after-good"] == JobState.SUCCESS.value
    assert lab.files("after-good@master") == {"/one": "2"}
    assert not lab.runner.has_work()


def test_a_pipeline_whose_jobs_cannot_even_be_ended_is_left_aside_until_it_is_started(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sick", "good"):
        lab.put(f"{name}-data@master", {"/one": "1"})
        lab.pipeline(name, f"{name}-data:/*")
    with monkeypatch.context() as patch:
        for step in ("local_runner.engine.new_jobs.judge", "local_runner.storage.pipeline_records.PipelineRecords.update_job"):
            break_step(patch, step, KeyError("no such state"))
        lab.run_all()
    assert lab.state("good") is JobState.SUCCESS
    info = lab.runner.inspect_pipeline(SICK)
    assert info.state is PipelineState.CRASHING
    assert info.reason == "it cannot be worked on: KeyError: 'no such state'"
    assert not lab.runner.has_work()
    lab.runner.start_pipeline(SICK)
    lab.run_all()
    assert lab.state("sick") is JobState.SUCCESS
    assert lab.runner.inspect_pipeline(SICK).state is PipelineState.RUNNING


@pytest.mark.parametrize(
    ("silent_for", "state"), [(2, PipelineState.RUNNING), (99, PipelineState.CRASHING)], ids=["for a moment", "for good"]
)
def test_a_disk_that_does_not_answer_for_a_moment_costs_a_job_and_not_the_pipeline(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, silent_for: int, state: PipelineState
) -> None:
    lab.put("sick-data@master", {"/one": "1"})
    lab.pipeline("sick", "sick-data:/*")
    lab.run_all()
    asked = 0

    def silent(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked <= silent_for:
            raise OSError(errno.EIO, "Input/output error")
        fail_unreadable_job(*_)  # type: ignore[arg-type]

    lab.put("sick-data@master", {"/two": "2"})
    with monkeypatch.context() as patch:
        patch.setattr("local_runner.engine.guard._PAUSES", (0.0, 0.0))
        patch.setattr("local_runner.engine.guard.fail_job", silent)
        patch.setattr("local_runner.engine.guard.fail_unreadable_job", silent)
        break_step(patch, "local_runner.engine.job_run.prepare", OSError(errno.EIO, "Input/output error"))
        lab.run_all()
    row = lab.runner.inspect_pipeline(SICK)
    assert row.state is state
    if state is PipelineState.RUNNING:
        assert lab.state("sick") is JobState.FAILURE
        lab.put("sick-data@master", {"/three": "3"})
        lab.run_all()
        assert lab.state("sick") is JobState.SUCCESS
