"""Operations on jobs: find, list, stop, delete, restart a datum (reference pps 4.6)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from local_runner.errors import JobNotFound, NotFound, PipelineNotFound, Refused
from local_runner.model.jobs import JobInfo, JobSetInfo, JobState, RunningDatum
from local_runner.model.names import is_id
from local_runner.model.refs import CommitQuery, JobRef, PipelineRef
from local_runner.pipelines.job_end import end_job
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session

STOPPED = "job stopped"


def find_job(session: Session, ref: JobRef) -> JobInfo:
    """A job that must exist. Raises `NotFound`."""
    info = session.pipelines.job(ref)
    if info is None:
        raise JobNotFound(ref)
    return info


def list_job(
    session: Session,
    projects: Sequence[str] | None = None,
    pipeline: PipelineRef | None = None,
    inputs: Sequence[CommitQuery] = (),
    history: int = 0,
    *,
    reverse: bool = False,
    beyond: float | None = None,
) -> Iterator[JobInfo]:
    """Jobs, newest first: of the latest version of each pipeline, and of `history` versions before it (-1: all).

    With `reverse` oldest first; of those made before the moment `beyond`, or after it with `reverse`.
    `inputs` are commits that all have to be among a job's. Raises `NotFound` for a pipeline that is not there.
    """
    if pipeline and session.pipelines.pipeline(pipeline) is None:
        raise PipelineNotFound(pipeline)
    # The server compares the text of commits, so that one named by its branch is that of no job (reference pps 4.11, *live*).
    wanted = {str(query) for query in inputs}
    newest = {row.pipeline: row.version for row in session.pipelines.pipelines()}
    for info in session.pipelines.jobs(pipeline, reverse=reverse, beyond=beyond):
        if projects is not None and info.job.pipeline.project not in projects:
            continue
        if history >= 0 and info.pipeline_version < newest.get(info.job.pipeline, 0) - history:
            continue
        if wanted:
            read = {str(source.ref) for row in session.commits.of_set(info.job.id) for source in session.commits.sources(row.key)}
            if not wanted <= read:
                continue
        yield info


def job_set(session: Session, job_id: str) -> JobSetInfo:
    """All jobs of a commit set, upstream first."""
    return JobSetInfo(job_id, tuple(session.pipelines.jobs_of_set(job_id)))


def list_job_set(session: Session, projects: Sequence[str] | None = None, *, reverse: bool = False) -> Iterator[JobSetInfo]:
    """Those with jobs in these projects, newest first, and of each set these jobs alone (reference pps 4.11)."""
    ids = session.pipelines.job_set_ids()
    for info in (job_set(session, job_id) for job_id in (reversed(ids) if reverse else ids)):
        jobs = tuple(job for job in info.jobs if projects is None or job.job.pipeline.project in projects)
        if jobs:
            yield JobSetInfo(info.id, jobs)


def resolve_job(session: Session, pipeline: PipelineRef, text: str) -> JobRef:
    """A job from the id behind the `@`. Raises `NotFound`, `Refused` for what is no id."""
    if not is_id(text):
        raise Refused(f"{text} is no job id", hint="a job is named PIPELINE@ID; `list job -p PIPELINE` shows the ids")
    return JobRef(pipeline, text)


def stop_job(txn: Transaction, ref: JobRef, reason: str = "") -> None:
    """Kill a job; one that is over stays as it is. Raises `NotFound`."""
    info = txn.session.pipelines.job(ref)
    if info is None:
        raise NotFound(f"jobs {ref} not found")
    if not info.state.is_final:
        end_job(txn, info, JobState.KILLED, reason or STOPPED)


def delete_job(txn: Transaction, ref: JobRef) -> None:
    """Stop a job and remove its record; its output commit stays. Raises `NotFound`."""
    info = find_job(txn.session, ref)
    if not info.state.is_final:
        end_job(txn, info, JobState.KILLED, "job deleted")
    txn.session.pipelines.remove_job(ref)


def restart_datum(txn: Transaction, ref: JobRef, filters: Sequence[str]) -> None:
    """Ask the engine to fail the present attempt of the datum that matches all filters: paths, or hashes in hex or base64.

    Raises `NotFound` if no such datum is running.
    """
    info = find_job(txn.session, ref)
    for running in info.running:
        if all(wanted in _names(running) for wanted in filters):
            txn.session.pipelines.ask(ref, [running.datum])
            return
    raise NotFound(
        f"datum matching filter [{' '.join(filters)}] could not be found for job ID {ref.id}", hint="only a running datum restarts"
    )


def _names(running: RunningDatum) -> set[str]:
    """The paths and hashes by which a running datum may be chosen."""
    return {*running.paths, *running.hashes, *(base64.b64decode(h).hex() for h in running.hashes)}
