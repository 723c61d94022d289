"""Decides from the records which jobs may begin, and whether there is work for an engine (reference pps 4.1, 4.3, 4.8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.stored_specs import spec_of
from local_runner.planning.agenda import Agenda, read_agenda
from local_runner.planning.prepare import inputs_state
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow


class Candidate(NamedTuple):
    """A job whose turn it is, and the older ones in progress. Of a service, it takes their place."""

    job: JobRef
    row: PipelineRow
    before: Sequence[JobRef] = ()


class Verdict(NamedTuple):
    """Whether a job may begin now; or the state in which it ends, as it never can, and why; or the key of a commit it waits for."""

    may_begin: bool
    end: JobState | None = None
    reason: str = ""
    waits_for: int = 0


def candidates(
    unfinished: Iterable[JobRef],
    rows: Mapping[PipelineRef, PipelineRow],
    begun: Collection[JobRef],
    services: Collection[PipelineRef],
    serves: Callable[[JobRef, PipelineRow], bool] | None,
    has_waiting: Callable[[JobRef], bool] = lambda job: False,
) -> Iterator[Candidate]:
    """The oldest job of each pipeline that has not begun; of a service all that do not serve yet, and none without `serves`.

    As many jobs of a pipeline are in progress as its parallelism says (reference pps 2.7, 4.3). Each is compared with the one before,
    so they begin in order, and not while an older one has datums that are waiting for a worker (`has_waiting`). Whoever is given
    a job may begin it, that is, put it among those `begun`: then the next one follows.
    """
    closed: set[PipelineRef] = set()
    in_progress: dict[PipelineRef, list[JobRef]] = {}
    for job in unfinished:
        pipeline = job.pipeline
        if pipeline in closed or pipeline not in rows:
            continue
        before = in_progress.setdefault(pipeline, [])
        if pipeline in services:
            if serves is not None and not serves(job, rows[pipeline]):
                yield Candidate(job, rows[pipeline], tuple(before))
            before.append(job)
            continue
        if job not in begun:
            yield Candidate(job, rows[pipeline], tuple(before))
        before.append(job)
        if job not in begun or has_waiting(job) or len(before) >= spec_of(rows[pipeline]).parallelism:
            closed.add(pipeline)


def judge(session: Session, job: JobRef, row: PipelineRow) -> Verdict:
    """Decide whether a job that has not begun may begin, ends at once, or waits for its inputs."""
    if row.state is PipelineState.FAILURE:
        return Verdict(False, JobState.KILLED, row.reason)
    output = output_commit(session, job)
    if output is None:
        return Verdict(False, JobState.KILLED, "output commit missing")
    failed, waits_for = inputs_state(session, spec_of(row), output)
    return Verdict(False, JobState.UNRUNNABLE, failed) if failed else Verdict(not waits_for, waits_for=waits_for)


def has_work(session: Session, *, services: bool = True, only: Container[PipelineRef] | None = None) -> bool:
    """Whether there is a pipeline to start, a job that does not merely wait for an open commit, or a tick that is due.

    With `services` also if it is only to let a spout or a service run; `only` leaves other pipelines out.
    """
    agenda = read_agenda(session, Agenda())
    rows = {ref: row for ref, row in agenda.rows.items() if only is None or ref in only}
    if any(row.state is PipelineState.STARTING for row in rows.values()):
        return True
    if services and any(ref in rows for ref in agenda.spouts):
        return True
    for candidate in candidates(agenda.unfinished, rows, (), agenda.services, (lambda job, row: False) if services else None):
        if agenda.unfinished[candidate.job] != JobState.STARTING.value or not _waits(session, candidate.job, candidate.row):
            return True
    return any(tick.at <= session.clock() and (only is None or tick.owner in only) for tick in agenda.free_ticks)


def next_tick(session: Session) -> float | None:
    """When the next clock strikes, of those whose tick does not wait for a job."""
    return min((tick.at for tick in read_agenda(session, Agenda()).free_ticks), default=None)


def _waits(session: Session, job: JobRef, row: PipelineRow) -> bool:
    """Whether a job only waits for its inputs; a job that cannot be judged counts as work, since an engine has to end it."""
    try:
        return bool(judge(session, job, row).waits_for)
    except Exception:
        return False
