"""Prepares the plan of a job: the commits it reads, their datums, and what its base job left (reference pps 2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from local_runner.errors import CommitNotFound, LocalRunnerError, Refused
from local_runner.model.datums import Datum, DatumInfo, DatumState, InputFile
from local_runner.model.globs import compile_glob
from local_runner.model.inputs import Cron, Input, Pfs, leaves
from local_runner.model.jobs import JobInfo
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import META, USER, BranchRef, CommitQuery, JobRef
from local_runner.model.repos import ORIGIN_AUTO
from local_runner.pipelines.datum_index import DatumRecord, read_datum_index
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.stored_specs import spec_of
from local_runner.planning.enumerate import enumerate_datums
from local_runner.planning.kept_datums import find_kept
from local_runner.planning.plan import Plan, plan_job
from local_runner.repos.commits import content_root, resolve
from local_runner.repos.nodes import matching
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.trees import Root

Roots = Mapping[BranchRef, Root]  # branch -> tree of the commit of it that is read
EVERY_FILE = "/*"  # the pattern of a clock's ticks


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that can begin. `base` is the meta commit its datums are compared with.

    While that is open, only what of the plan is `new` is sure.
    """

    datums: Sequence[Datum]
    plan: Plan
    roots: Roots
    base: CommitRow | None
    committed: dict[str, float]


def input_commits(session: Session, spec: PipelineSpec, output: CommitRow) -> dict[BranchRef, CommitRow]:
    """Branch -> the commit of it that a job reads. (Not by name: the children of a union may share one.)"""
    sources = {row.ref.repo: row for row in session.commits.sources(output.key)}
    found = {}
    for leaf in leaves(spec.input):
        row = sources.get(leaf.source.repo)
        if row is None:
            raise CommitNotFound(f"{leaf.source.repo} in the provenance of {output.ref}")
        found[leaf.source] = row
    return found


def datums_of(session: Session, expression: Input | None, commits: Mapping[BranchRef, CommitRow]) -> tuple[list[Datum], Roots]:
    """The datums an input expression makes of the commits of its branches, ascending by id; and the trees they are read from."""
    roots = {branch: content_root(session, row) for branch, row in commits.items()}

    def files_of(leaf: Pfs | Cron) -> Sequence[InputFile]:
        commit, root = commits[leaf.source].ref.id, roots[leaf.source]
        if isinstance(leaf, Cron):
            found = matching(session.trees, root, compile_glob(EVERY_FILE))
            return [InputFile(leaf, commit, node.path, node.hash, node.size, tag=node.tag) for node in found]
        glob = compile_glob(leaf.glob)
        found = matching(session.trees, root, glob)
        if not leaf.join_on and not leaf.group_by:
            return [InputFile(leaf, commit, node.path, node.hash, node.size, tag=node.tag) for node in found]
        return [
            InputFile(leaf, commit, n.path, n.hash, n.size, glob.replace(n.path, leaf.join_on), glob.replace(n.path, leaf.group_by), n.tag)
            for n in found
        ]

    return enumerate_datums(expression, files_of), roots


def base_of(session: Session, job: JobRef) -> CommitRow | None:
    """The meta commit of the nearest ancestor job that succeeded, or may yet; None if everything is new."""
    row = output_commit(session, job, META)
    while row is not None and (row := session.commits.base(row)):
        ancestor = JobRef(job.pipeline, row.ref.id)
        output = output_commit(session, ancestor, USER)
        if row.origin == ORIGIN_AUTO and output and not output.error and session.pipelines.job(ancestor):
            return row
    return None


def prepare(session: Session, info: JobInfo, spec: PipelineSpec, salt: str) -> Prepared:
    """Enumerate and plan a job whose inputs are finished. Raises `LocalRunnerError` if it can never run.

    A pipeline without input is accepted, but its jobs never end on a cluster; here they fail (DEVIATIONS.md).
    """
    if spec.input is None:
        raise LocalRunnerError("the pipeline has no input, so there is nothing to run")
    output = output_commit(session, info.job)
    if output is None:
        raise CommitNotFound(info.job)
    commits = input_commits(session, spec, output)
    datums, roots = datums_of(session, spec.input, commits)
    plan, base = plan_of(session, info, spec, salt, datums)
    committed = {row.ref.id: row.finished or 0.0 for row in commits.values()}
    return Prepared(datums, plan, roots, base, committed)


def replan(session: Session, info: JobInfo, spec: PipelineSpec, salt: str, before: Prepared) -> Prepared:
    """Plan the same datums again, now that the base of the job is another, or is over."""
    plan, base = plan_of(session, info, spec, salt, before.datums)
    return replace(before, plan=plan, base=base)


def plan_of(session: Session, info: JobInfo, spec: PipelineSpec, salt: str, datums: Sequence[Datum]) -> tuple[Plan, CommitRow | None]:
    """The plan of a job with these datums, and the meta commit they are compared with."""
    base = base_of(session, info.job)
    datum_index = _index_of(session, JobRef(info.job.pipeline, base.ref.id), base) if base else {}
    old_salt = base is not None and _salt_of(session, info, base) != salt
    every_job = spec.reprocess_every_job or spec.s3_out
    plan = plan_job(datums, datum_index, salt, every_job=every_job, old_salt=old_salt)
    if every_job:
        return plan, base
    to_run = [*plan.new, *(datum for datum, _ in plan.again)]
    return replace(plan, kept=find_kept(session, info.job, base, to_run, salt)), base


def _index_of(session: Session, job: JobRef, meta: CommitRow) -> dict[str, DatumRecord]:
    """What a job leaves of its datums. While it is not over, its input says which they are, and nothing what becomes of them."""
    info, output = session.pipelines.job(job), output_commit(session, job)
    version = session.pipelines.version(job.pipeline, info.pipeline_version) if info else None
    if meta.finished is not None or version is None or output is None:
        return dict(read_datum_index(session.trees, meta.datum_index))
    spec = spec_of(version)
    datums, _ = datums_of(session, spec.input, input_commits(session, spec, output))
    unknown = DatumRecord(b"", DatumState.PROCESSED, bytes.fromhex(job.id))
    return {datum.id: unknown for datum in datums}


def _salt_of(session: Session, info: JobInfo, base: CommitRow) -> str:
    """The salt the base job worked with."""
    job = session.pipelines.job(JobRef(info.job.pipeline, base.ref.id))
    version = session.pipelines.version(info.job.pipeline, job.pipeline_version) if job else None
    return version.salt if version else ""


def inputs_state(session: Session, spec: PipelineSpec, output: CommitRow) -> tuple[str, int]:
    """Why a job can never run ("" if it may), and the key of an input it waits for (0 if it can now).

    Nothing is known before all its inputs are finished.
    """
    try:
        commits = input_commits(session, spec, output)
    except CommitNotFound as error:
        return f"unrunnable because an input is gone: {error.message}", 0
    for row in commits.values():
        if row.finished is None:
            return "", row.key
    failed = [leaf.name for leaf in leaves(spec.input) if commits[leaf.source].error]
    return (f"unrunnable because the following upstream pipelines failed: {', '.join(failed)}", 0) if failed else ("", 0)


def possible_datums(session: Session, document: Mapping[str, Any], project: str) -> list[DatumInfo]:
    """The datums that the input of a spec makes of the present heads (reference pps 1.7). Raises `Refused` for a clock, `NotFound`."""
    from local_runner.specs.inputs import parse_input
    from local_runner.specs.read import check_document

    check_document(document)
    expression = parse_input(document.get("input") or {}, "", project)
    found = {}
    for leaf in leaves(expression):
        if isinstance(leaf, Cron):
            raise Refused("can't list datums with a cron input, there will be no datums until the pipeline is created")
        found[leaf.source] = resolve(session, CommitQuery(leaf.source.repo, leaf.source.name))
    datums, _ = datums_of(session, expression, found)
    return [DatumInfo(datum, "", "unknown", "", None) for datum in datums]
