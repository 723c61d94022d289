"""Which jobs may begin, decided from the records alone (reference pps 4.1, 4.3, 4.8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from local_runner.engine.jobs import output_commit
from local_runner.engine.prepare import inputs_state
from local_runner.engine.specs_at_rest import spec_of
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow


class Candidate(NamedTuple):
    """A job whose turn it is. Of a service, it takes the place of those before it."""

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
) -> Iterator[Candidate]:
    """The oldest job of each pipeline, unless it has begun; of a service all that do not serve yet, and none without `serves`.

    Jobs of a pipeline run one after another, whatever its parallelism: each is based on the one before, and the result is the
    same (reference pps 7, *UNSURE*, parallel jobs).
    """
    seen: set[PipelineRef] = set()
    served: dict[PipelineRef, list[JobRef]] = {}
    for job in unfinished:
        pipeline = job.pipeline
        if pipeline in seen or pipeline not in rows:
            continue
        if pipeline in services:
            before = served.setdefault(pipeline, [])
            if serves is not None and not serves(job, rows[pipeline]):
                yield Candidate(job, rows[pipeline], tuple(before))
            before.append(job)
            continue
        seen.add(pipeline)
        if job not in begun:
            yield Candidate(job, rows[pipeline])


def judge(session: Session, job: JobRef, row: PipelineRow) -> Verdict:
    """What is to become of a job that has not begun; if it neither may begin nor ends, it waits for its inputs."""
    if row.state is PipelineState.FAILURE:
        return Verdict(False, JobState.KILLED, row.reason)
    output = output_commit(session, job)
    if output is None:
        return Verdict(False, JobState.KILLED, "output commit missing")
    failed, waits_for = inputs_state(session, spec_of(row), output)
    return Verdict(False, JobState.UNRUNNABLE, failed) if failed else Verdict(not waits_for, waits_for=waits_for)
