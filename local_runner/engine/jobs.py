"""What people do with jobs: look, wait, stop, delete, restart a datum (reference pps 4.6)."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Sequence

from local_runner.engine.marks import read_marks
from local_runner.engine.meta import meta_path, parse_meta
from local_runner.errors import DatumNotFound, JobNotFound, LocalRunnerError, NotFound, PipelineNotFound, Refused
from local_runner.model.datums import DatumInfo
from local_runner.model.entries import entry_key
from local_runner.model.jobs import FORGOTTEN, JobInfo, JobSetInfo, JobState, RunningDatum
from local_runner.model.names import is_id
from local_runner.model.refs import META, CommitQuery, CommitRef, JobRef, PipelineRef, RepoRef
from local_runner.repos.commits import base_root, finish_commit
from local_runner.repos.transaction import Transaction
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.trees import Root

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
) -> Iterator[JobInfo]:
    """Jobs, newest first: of the latest version of each pipeline, and of `history` versions before it (-1: all).

    `inputs` are commits that all have to be among a job's. Raises `NotFound` for a pipeline that is not there.
    """
    if pipeline and session.pipelines.pipeline(pipeline) is None:
        raise PipelineNotFound(pipeline)
    # The server compares the text of commits, so that one named by its branch is that of no job (reference pps 4.11, *live*).
    wanted = {str(query) for query in inputs}
    newest = {row.pipeline: row.version for row in session.pipelines.pipelines()}
    for info in session.pipelines.jobs(pipeline):
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


def list_job_set(session: Session, projects: Sequence[str] | None = None) -> list[JobSetInfo]:
    """Newest first."""
    sets = (job_set(session, job_id) for job_id in session.pipelines.job_set_ids())
    return [info for info in sets if projects is None or any(job.job.pipeline.project in projects for job in info.jobs)]


def resolve_job(session: Session, pipeline: PipelineRef, text: str) -> JobRef:
    """A job from the id behind the `@`. Raises `NotFound`, `Refused` for what is no id."""
    if not is_id(text):
        raise Refused(f"{text} is no job id", hint="a job is named PIPELINE@ID; `list job -p PIPELINE` shows the ids")
    return JobRef(pipeline, text)


def output_commit(session: Session, ref: JobRef, kind: str = "user") -> CommitRow | None:
    """The output commit of a job, or with "meta" its bookkeeping."""
    repo = session.repos.repo(RepoRef(ref.pipeline.project, ref.pipeline.name, kind))
    return session.commits.find(repo.key, ref.id) if repo else None


# -- ending ------------------------------------------------------------------------------------------------------------


def end_job(txn: Transaction, info: JobInfo, state: JobState, reason: str) -> list[CommitRow]:
    """Give a job its final state and close its commits; a reason becomes their error. Returns the closed commits.

    A violation in the output turns success into failure, and is the output commit's error alone (reference pps 3.7).
    """
    closed, violation = [], ""
    for kind in ("user", META):
        row = output_commit(txn.session, info.job, kind)
        if row is not None and row.is_open:
            if kind == META and not row.begun:
                txn.session.commits.update(row.key, marks=base_marks(txn.session, row))
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
    """A job; of one whose record cannot be read, what is known all the same."""
    try:
        return txn.session.pipelines.job(job)
    except Exception:
        return JobInfo(job, 0, "", JobState.CREATED, "", txn.now, None, None)


def fail_unreadable_job(txn: Transaction, job: JobRef, reason: str) -> None:
    """End a job whose commits cannot be closed as they are: what was written of them so far is let go."""
    for kind in ("user", META):
        row = output_commit(txn.session, job, kind)
        if row is not None and row.finished is None:
            nothing = {"tree": None, "marks": None, "size": 0, "begun": True}
            txn.session.commits.update(row.key, finishing=txn.now, finished=txn.now, error=reason, **nothing)
    fail_job(txn, job, reason)


def stop_job(txn: Transaction, ref: JobRef, reason: str = "") -> None:
    """Kill a job; one that is over stays as it is. Raises `NotFound`."""
    info = txn.session.pipelines.job(ref)
    if info is None:
        raise NotFound(f"jobs {ref} not found")
    if not info.state.is_final:
        end_job(txn, info, JobState.KILLED, reason or STOPPED)


def stop_jobs_of(txn: Transaction, pipeline: PipelineRef, why: str) -> None:
    """Kill all unfinished jobs of a pipeline, the oldest first."""
    for info in txn.session.pipelines.unfinished_jobs(pipeline):
        end_job(txn, info, JobState.KILLED, f"all jobs killed because pipeline was {why} for user unknown_username")


def forget_removed(txn: Transaction, removed: Sequence[CommitRef]) -> None:
    """Kill unfinished jobs whose output commits were squashed or dropped."""
    for commit in removed:
        _kill_job_of(txn, commit, "output commit removed")


def forget_finished(txn: Transaction, commit: CommitRef) -> None:
    """Kill the unfinished job whose output or meta commit somebody closed by force."""
    _kill_job_of(txn, commit, "output commit finished")


def _kill_job_of(txn: Transaction, commit: CommitRef, reason: str) -> None:
    info = txn.session.pipelines.job(JobRef(PipelineRef(commit.repo.project, commit.repo.name), commit.id))
    if info is not None and not info.state.is_final:
        end_job(txn, info, JobState.KILLED, reason)


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


# -- datums ------------------------------------------------------------------------------------------------------------


def meta_roots(session: Session, ref: JobRef) -> tuple[Root, Root]:
    """The trees of a job's meta commit: its files, and the marks of its datums."""
    row = output_commit(session, ref, META)
    if row is None:
        return None, None
    if row.begun or row.finished is not None:
        return row.tree, row.marks
    try:
        return base_root(session, row), base_marks(session, row)
    except LocalRunnerError:
        return None, None


def _known(session: Session, ref: JobRef) -> tuple[Root, Root]:
    row = output_commit(session, ref, META)
    if row is not None and row.error == FORGOTTEN:
        raise Refused(f"job {ref}: {FORGOTTEN}", hint="how long it is kept, `datums` under [keep] in local_runner.toml says")
    return meta_roots(session, ref)


def base_marks(session: Session, row: CommitRow) -> Root:
    """The marks of the nearest ancestor without error."""
    base = session.commits.base(row)
    return base.marks if base else None


def list_datum(session: Session, ref: JobRef) -> Iterator[DatumInfo]:
    """The datums of a job by id, as far as they are done. Raises `NotFound`."""
    find_job(session, ref)
    tree, marks = _known(session, ref)
    for datum_id, _ in read_marks(session.trees, marks):
        yield _datum(session, tree, ref, datum_id)


def inspect_datum(session: Session, ref: JobRef, datum_id: str) -> DatumInfo:
    """One datum of a job. Raises `NotFound`."""
    find_job(session, ref)
    tree, marks = _known(session, ref)
    if session.trees.get(marks, datum_id.encode()) is None:
        raise DatumNotFound(datum_id, ref)
    return _datum(session, tree, ref, datum_id)


def _datum(session: Session, tree: Root, ref: JobRef, datum_id: str) -> DatumInfo:
    value = session.trees.get(tree, entry_key(meta_path(datum_id), datum_id))
    assert value is not None, f"marks of {ref} name {datum_id}, its files do not"
    return parse_meta(b"".join(session.objects.read(value[:32])), ref.id)


def _names(running: RunningDatum) -> set[str]:
    """All the words by which a running datum may be named."""
    return {*running.paths, *running.hashes, *(base64.b64decode(h).hex() for h in running.hashes)}
