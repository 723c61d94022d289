"""Finds datums to open again: of a job, of the present heads or of a file, and their last output. Only reads the records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_runner.engine.environment import datum_env
from local_runner.errors import CommitNotFound, Invalid, NotFound, Refused
from local_runner.model.datums import Datum
from local_runner.model.entries import DEFAULT_TAG, folder_range, parse_value
from local_runner.model.ids import new_id
from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import CommitQuery, FileQuery, JobRef, PipelineRef
from local_runner.pipelines.datums import inspect_datum
from local_runner.pipelines.job_commits import meta_roots, output_commit
from local_runner.pipelines.jobs import find_job
from local_runner.pipelines.meta import files_path
from local_runner.pipelines.pipelines import effective, find_pipeline
from local_runner.pipelines.stored_specs import spec_of
from local_runner.planning.prepare import Roots, datums_of, input_commits
from local_runner.repos.commits import resolve
from local_runner.repos.files import find_node
from local_runner.storage.database import Session
from local_runner.storage.objects import Content

_ID = re.compile(r"[0-9a-f]{6,64}")  # of a datum, or how one begins
_NAMED = 3  # datums in a hint


@dataclass(frozen=True, slots=True)
class Before:
    """The output of a datum when it last succeeded: path below `out` -> content; and whether its input files were the same."""

    job: JobRef
    files: Mapping[str, Content]
    same_inputs: bool


@dataclass(frozen=True, slots=True)
class FoundDatum:
    """A datum, and what it takes to lay it out again. `job_id` is what its environment calls its job, made up if it never had one."""

    datum: Datum
    spec: PipelineSpec
    spec_commit: str
    roots: Roots
    job_id: str
    code: str = ""  # as in `PipelineRow`: the files behind the image when that version was made
    before: Before | None = None

    @property
    def env(self) -> dict[str, str]:
        """The datum's own variables."""
        return datum_env(self.datum, self.job_id)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The datums `of` a job (in words), or with no `job` those that the present heads make; one of them is chosen by `entry`."""

    of: str
    spec: PipelineSpec
    spec_commit: str
    datums: Sequence[Datum]
    roots: Roots
    job: JobRef | None = None
    code: str = ""

    def entry(self, session: Session, wanted: str) -> FoundDatum:
        """The datum of an id (or how it begins), or of one or more of its files: `[INPUT:]PATH[,…]`; "" for the only one there is.

        Raises `NotFound`, and `Invalid` if several are meant.
        """
        found = [datum for datum in self.datums if _is_meant(datum, wanted)]
        if not found:
            raise NotFound(f"{self.of} has no datum {wanted}".rstrip(), hint=f"there is {_offer(self.datums)}" if self.datums else "")
        if len(found) > 1:
            what = f"{wanted} means" if wanted else f"{self.of} has"
            raise Invalid(f"{what} {len(found)} datums", hint=f"name one by its id or more of its files: {_offer(found)}")
        before = before_of(session, self.spec.pipeline, found[0], self.job)
        return FoundDatum(found[0], self.spec, self.spec_commit, self.roots, self.job.id if self.job else new_id(), self.code, before)


def of_job(session: Session, job: JobRef) -> Candidates:
    """The datums of a job, from the commits it read and with the spec it ran, whether or not they ran. Raises `NotFound`."""
    info, output = find_job(session, job), output_commit(session, job)
    row = session.pipelines.version(job.pipeline, info.pipeline_version)
    if row is None or output is None:
        raise CommitNotFound(job)
    spec = spec_of(row)
    datums, roots = datums_of(session, spec.input, input_commits(session, spec, output))
    return Candidates(f"job {job}", spec, row.spec_commit, datums, roots, job, row.code)


def of_heads(session: Session, pipeline: PipelineRef) -> Candidates:
    """The datums that a pipeline has by what its input branches hold now. Raises `NotFound`."""
    row = find_pipeline(session, pipeline)
    spec = spec_of(row)
    return Candidates(f"pipeline {pipeline}", spec, row.spec_commit, *_at_heads(session, spec), code=row.code)


def of_spec(session: Session, document: Mapping[str, Any], project: str, pipeline: PipelineRef | None = None) -> Candidates:
    """The datums of a spec that is no pipeline; or of a pipeline's, with what the document says in place of its own.

    A document without any other field of a spec is the input itself. Raises `SpecError`, `NotFound`.
    """
    from local_runner.specs.parse import parse_new_spec

    row = find_pipeline(session, pipeline) if pipeline else None
    if not document.keys() & {"input", "transform", "pipeline"}:
        document = {"input": document}
    merged = effective(session, {**(json.loads(row.user_spec) if row else {}), **document}, project)
    spec = parse_new_spec(merged, project, now=session.clock())
    commit, code = (row.spec_commit, row.code) if row else (new_id(), "")
    return Candidates("the spec", spec, commit, *_at_heads(session, spec), code=code)


def of_file(session: Session, file: FileQuery) -> FoundDatum:
    """The datum that wrote a file, in the job that ran it. Raises `NotFound`, `Refused` for a file that people put."""
    row, node = find_node(session, file)
    if node.path.endswith("/"):
        raise Refused(f"{file} is a folder", hint="name a file in it")
    if node.tag == DEFAULT_TAG:
        raise Refused(f"{file} was put by people, no datum wrote it")
    pipeline = PipelineRef(row.ref.repo.project, row.ref.repo.name)
    ran = inspect_datum(session, JobRef(pipeline, row.ref.id), node.tag).job
    job = JobRef(pipeline, ran if session.pipelines.job(JobRef(pipeline, ran)) else row.ref.id)
    return of_job(session, job).entry(session, node.tag)


def before_of(session: Session, pipeline: PipelineRef, datum: Datum, job: JobRef | None = None) -> Before | None:
    """The output of a datum in a job, or in the newest one that succeeded; None if the datum did not succeed there."""
    if job is None:
        job = next((info.job for info in session.pipelines.jobs(pipeline) if info.state is JobState.SUCCESS), None)
    if job is None:
        return None
    try:
        info = inspect_datum(session, job, datum.id)
    except NotFound:
        return None
    if info.state not in ("success", "skipped"):
        return None
    tree, out = meta_roots(session, job)[0], f"{files_path(datum.id)}/out"
    found = session.trees.scan(tree, *folder_range(out))
    files = {key.decode().partition("\0")[0].removeprefix(out): value for key, value in found}
    contents = {path: Content(*parse_value(value)) for path, value in files.items()}
    return Before(job, contents, info.datum.hash("") == datum.hash(""))


def _at_heads(session: Session, spec: PipelineSpec) -> tuple[Sequence[Datum], Roots]:
    sources = dict.fromkeys(leaf.source for leaf in leaves(spec.input))
    return datums_of(session, spec.input, {source: resolve(session, CommitQuery(source.repo, source.name)) for source in sources})


def _is_meant(datum: Datum, wanted: str) -> bool:
    if _ID.fullmatch(wanted):
        return datum.id.startswith(wanted)
    names = {name for file in datum.inputs for path in _spellings(file.path) for name in (path, f"{file.source.name}:{path}")}
    return not wanted or names.issuperset(wanted.split(","))


def _spellings(path: str) -> Iterator[str]:
    yield path
    yield path.rstrip("/") or "/"


def _offer(datums: Sequence[Datum]) -> str:
    """Some of the datums, named as they may be typed."""
    shown = [",".join(f"{file.source.name}:{file.path}" for file in datum.inputs) for datum in datums[:_NAMED]]
    return ", or ".join(shown) + (f", and {len(datums) - _NAMED} more" if len(datums) > _NAMED else "")
