"""The end of a job: its final state, and its commits closed (reference pps 3.7, 4.1, 4.6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import META, CommitRef, JobRef, PipelineRef
from local_runner.pipelines.job_commits import base_datum_index, output_commit
from local_runner.pipelines.job_layers import is_apart, put_on_base
from local_runner.repos.commits import finish_commit
from local_runner.repos.transaction import Transaction
from local_runner.storage.commit_records import CommitRow


def end_job(txn: Transaction, info: JobInfo, state: JobState, reason: str) -> list[CommitRow]:
    """Give a job its final state and close its commits; a reason becomes their error. Returns the closed commits.

    A violation in the output turns success into failure, and is the output commit's error alone (reference pps 3.7).
    """
    closed, violation = [], ""
    meta = output_commit(txn.session, info.job, META)
    if meta is not None and is_apart(meta):
        put_on_base(txn.session, info.job, txn.session.commits.base(meta, finished=True))
    for kind in ("user", META):
        row = output_commit(txn.session, info.job, kind)
        if row is not None and row.is_open:
            if kind == META and not row.begun:
                txn.session.commits.update(row.key, datum_index=base_datum_index(txn.session, row))
            row = finish_commit(txn, row, error=reason, force=True)
            closed.append(row)
            if row.error and not reason and kind == "user":
                state, violation = JobState.FAILURE, row.error
    ended = dataclasses.replace(
        info, state=state, reason=reason or violation, started=info.started or txn.now, finished=txn.now, running=()
    )
    txn.session.pipelines.update_job(ended)
    return closed


def fail_job(txn: Transaction, job: JobRef, reason: str) -> None:
    """End a job that goes no further, unless it is over; its record may be one that cannot be read."""
    info = _job(txn, job)
    if info is not None and not info.state.is_final:
        end_job(txn, info, JobState.FAILURE, reason)


def _job(txn: Transaction, job: JobRef) -> JobInfo | None:
    """A job; if its record cannot be read, one with only what is known."""
    try:
        return txn.session.pipelines.job(job)
    except Exception:
        return JobInfo(job, 0, "", JobState.CREATED, "", txn.now, None, None)


def fail_unreadable_job(txn: Transaction, job: JobRef, reason: str) -> None:
    """End a job whose commits cannot be closed as they are, by dropping what was written to them so far."""
    for kind in ("user", META):
        row = output_commit(txn.session, job, kind)
        if row is not None and row.finished is None:
            nothing = {"tree": None, "datum_index": None, "size": 0, "begun": True}
            txn.session.commits.update(row.key, finishing=txn.now, finished=txn.now, error=reason, **nothing)
    fail_job(txn, job, reason)


def stop_jobs_of(txn: Transaction, pipeline: PipelineRef, why: str) -> None:
    """Kill all unfinished jobs of a pipeline, the oldest first."""
    for info in txn.session.pipelines.unfinished_jobs(pipeline):
        end_job(txn, info, JobState.KILLED, f"all jobs killed because pipeline was {why} for user unknown_username")


def forget_removed(txn: Transaction, removed: Sequence[CommitRef]) -> None:
    """Kill unfinished jobs whose output commits were squashed or dropped."""
    for commit in removed:
        _kill_job_of(txn, commit, "output commit removed")


def forget_finished(txn: Transaction, commit: CommitRef) -> None:
    """Kill the unfinished job whose output or meta commit was closed by force."""
    _kill_job_of(txn, commit, "output commit finished")


def _kill_job_of(txn: Transaction, commit: CommitRef, reason: str) -> None:
    info = txn.session.pipelines.job(JobRef(PipelineRef(commit.repo.project, commit.repo.name), commit.id))
    if info is not None and not info.state.is_final:
        end_job(txn, info, JobState.KILLED, reason)
