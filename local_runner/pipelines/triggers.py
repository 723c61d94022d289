"""Creates the jobs that a change causes, and moves branches by their triggers (reference pps 4.3, 5.9)."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from local_runner.model.ids import new_id
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import META, USER, JobRef, PipelineRef
from local_runner.model.repos import ORIGIN_AUTO, Trigger
from local_runner.model.units import parse_size
from local_runner.model.wiring import wiring_of
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.job_end import end_job
from local_runner.pipelines.stored_specs import lost_inputs
from local_runner.repos.commits import finish_commit
from local_runner.repos.transaction import Transaction, propagate
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Database, Session
from local_runner.storage.repo_records import BranchRow


def settle(txn: Transaction) -> None:
    """End a transaction: spread its changes downstream, make a job for each open commit on a pipeline's output branch, and end those
    that can never run, as what they stand on was removed.
    """
    propagate(txn)
    rows = [row for row in txn.session.commits.those_of({*txn.opened, *txn.bereft}) if row.is_open]
    outputs = {JobRef(_pipeline_of(row), row.ref.id): row for row in rows if row.ref.repo.type == USER}
    for job, row in outputs.items():
        _settle_output(txn, job, row)
    for row in rows:
        job = JobRef(_pipeline_of(row), row.ref.id)
        if row.ref.repo.type == META and job not in outputs:
            _settle_meta(txn, job, row)


def _pipeline_of(row: CommitRow) -> PipelineRef:
    return PipelineRef(row.ref.repo.project, row.ref.repo.name)


def _settle_output(txn: Transaction, job: JobRef, row: CommitRow) -> None:
    pipelines = txn.session.pipelines
    found = pipelines.pipeline(job.pipeline)
    wiring = wiring_of(found.effective_spec, found.pipeline) if found else None
    if found is None or wiring is None or wiring.is_spout or row.branch != wiring.output_branch:
        return
    info = pipelines.job(job)
    if info is None:
        info = JobInfo(job, found.version, wiring.output_branch, JobState.CREATED, "", txn.now, None, None)
        pipelines.add_job(info)
    lost = lost_inputs(txn.session, found, row)
    if lost and not info.state.is_final:
        names = ", ".join(map(str, lost))
        end_job(txn, info, JobState.UNRUNNABLE, f"unrunnable because the pipeline lost inputs: {names}; an update connects it again")


def _settle_meta(txn: Transaction, job: JobRef, row: CommitRow) -> None:
    """Close open meta commits that have no output commit, and so no job."""
    if txn.session.pipelines.pipeline(job.pipeline) and output_commit(txn.session, job) is None:
        finish_commit(txn, row, error="output commit missing", force=True)


def due_triggers(session: Session, commit: CommitRow, moved_branch: str = "") -> list[tuple[BranchRow, CommitRow]]:
    """The branches that move to a commit that was just finished, or that a branch moved to: those that watch that branch, and so on."""
    if commit.error:
        return []
    moved: list[tuple[BranchRow, CommitRow]] = []
    waiting = [moved_branch or commit.branch]
    while waiting:
        watched = waiting.pop()
        for branch in session.repos.branches(commit.repo):
            trigger = branch.trigger
            if trigger is None or trigger.cron_spec or trigger.branch != watched or branch.head in (None, commit.key):
                continue
            assert branch.head is not None
            if _fires(session, trigger, session.commits.at(branch.head), commit) and branch.key not in [b.key for b, _ in moved]:
                moved.append((branch, commit))
                waiting.append(branch.ref.name)
    return moved


def fire_triggers(database: Database, finished: Iterable[int]) -> None:
    """Move the branches that watch for these commits, for each commit in a set of its own."""
    for key in finished:
        with database.read() as session:
            due = _due(session, key)
        if due:
            with database.write() as session:
                txn = Transaction(session, new_id(), session.clock())
                for branch, commit in _due(session, key):  # they may have been removed since
                    txn.move(branch.key, commit.key)
                settle(txn)


def _due(session: Session, key: int) -> list[tuple[BranchRow, CommitRow]]:
    row = session.commits.get(key)
    return due_triggers(session, row) if row is not None and row.ref.repo.type == USER else []


def _fires(session: Session, trigger: Trigger, old: CommitRow, new: CommitRow) -> bool:
    conditions: list[bool] = []
    if trigger.size:
        conditions.append(new.size - old.size >= parse_size(trigger.size))
    if trigger.rate_limit_spec:
        conditions.append(_is_past(trigger.rate_limit_spec, old.finishing or 0.0, new.finishing or 0.0))
    if trigger.commits:
        conditions.append(_steps(session, new, old, trigger.commits) == trigger.commits)
    return all(conditions) if trigger.all else any(conditions)


def _is_past(spec: str, since: float, now: float) -> bool:
    """Whether the first tick after `since` lies before `now`."""
    from local_runner.model.schedule import parse_schedule  # 5 ms, for the few that have clocks

    tick = parse_schedule(spec).next_after(datetime.datetime.fromtimestamp(since, datetime.UTC))
    return tick is not None and tick.timestamp() < now


def _steps(session: Session, new: CommitRow, old: CommitRow, most: int) -> int:
    """Commits from `new` back to `old`, at most `most`; an empty first commit does not count."""
    row, count = new, 0
    while count < most:
        if row.parent is None:
            return count + (row.origin != ORIGIN_AUTO)
        if row.key == old.key:
            break
        row, count = session.commits.at(row.parent), count + 1
    return count
