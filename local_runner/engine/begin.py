"""Which jobs may begin, decided from the records alone (reference pps 4.1, 4.3, 4.8)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from local_runner.engine.jobs import output_commit
from local_runner.engine.prepare import inputs_state
from local_runner.engine.specs_at_rest import is_service, spec_of
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow


class Candidate(NamedTuple):
    """A job whose turn it is. Of a service, it takes the place of those before it."""

    info: JobInfo
    row: PipelineRow
    before: Sequence[JobInfo] = ()


class Verdict(NamedTuple):
    """Whether a job may begin now; or the state in which it ends, as it never can, and why."""

    may_begin: bool
    end: JobState | None = None
    reason: str = ""


def candidates(
    unfinished: Sequence[JobInfo],
    rows: Mapping[PipelineRef, PipelineRow],
    begun: Collection[JobRef],
    serves: Callable[[JobInfo], bool] | None,
) -> Iterator[Candidate]:
    """The oldest job of each pipeline, unless it has begun; of a service all that do not serve yet, and none without `serves`.

    Jobs of a pipeline run one after another, whatever its parallelism: each is based on the one before, and the result is the
    same (reference pps 7, *UNSURE*, parallel jobs).
    """
    seen: set[PipelineRef] = set()
    for number, info in enumerate(unfinished):
        pipeline = info.job.pipeline
        if pipeline in seen or pipeline not in rows:
            continue
        if is_service(rows[pipeline]):
            if serves is not None and not serves(info):
                before = [other for other in unfinished[:number] if other.job.pipeline == pipeline]
                yield Candidate(info, rows[pipeline], before)
            continue
        seen.add(pipeline)
        if info.job not in begun:
            yield Candidate(info, rows[pipeline])


def judge(session: Session, info: JobInfo, row: PipelineRow) -> Verdict:
    """What is to become of a job that has not begun; if it neither may begin nor ends, it waits for its inputs."""
    if row.state is PipelineState.FAILURE:
        return Verdict(False, JobState.KILLED, row.reason)
    output = output_commit(session, info.job)
    if output is None:
        return Verdict(False, JobState.KILLED, "output commit missing")
    failed, ready = inputs_state(session, spec_of(row), output)
    return Verdict(False, JobState.UNRUNNABLE, failed) if failed else Verdict(ready)
