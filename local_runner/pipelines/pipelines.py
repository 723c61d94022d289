"""Operations on pipelines: create, update, rerun, start, stop, delete, run cron (reference pps 5.5-5.7, 4.9).

The reader of specs is imported by those functions that need it: it takes 25 ms, and most commands meet no spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_runner.errors import AlreadyExists, CommitNotFound, LocalRunnerError, PipelineNotFound, Refused, RepoNotFound
from local_runner.model.ids import new_id
from local_runner.model.inputs import Cron, Pfs, leaves
from local_runner.model.pipelines import SPOUT, TRANSFORM, PipelineInfo, PipelineSpec, PipelineState
from local_runner.model.refs import META, SPEC, CommitQuery, PipelineRef
from local_runner.pipelines.job_end import stop_jobs_of
from local_runner.pipelines.stored_specs import pipeline_info, sources_of, spec_of
from local_runner.repos.branches import create_branch
from local_runner.repos.commits import finish_commit, resolve, start_commit
from local_runner.repos.repos import create_repo, inspect_project, related_repos, remove_repos
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow

CLUSTER_DEFAULTS = "cluster defaults"  # the setting they are kept under
NO_COMMAND = "nothing to run: no transform.cmd"


@dataclass(frozen=True, slots=True)
class PipelineRequest:
    """A spec to create or update a pipeline with. `code` says, as JSON, which files stand behind its image."""

    document: Mapping[str, Any]
    project: str
    update: bool = False
    reprocess: bool = False
    code: str = ""


def effective(session: Session, document: Mapping[str, Any], project: str) -> dict[str, Any]:
    """The spec with all defaults merged in, camelCase. Raises `NotFound` for the project, `SpecError`."""
    from local_runner.specs.effective import effective_spec, user_spec
    from local_runner.specs.read import check_document

    check_document(document)
    named = document.get("pipeline") or {}
    project = (named.get("project") or {}).get("name") or project
    return effective_spec(user_spec(document, project), json.loads(get_defaults(session)), json.loads(get_defaults(session, project)))


def create_pipeline(txn: Transaction, request: PipelineRequest) -> PipelineRow:
    """Create a pipeline, or make a new version of one. Raises `AlreadyExists`, `SpecError`, `NotFound`, `Refused`."""
    from local_runner.specs.effective import spec_json, user_spec
    from local_runner.specs.parse import parse_new_spec

    session = txn.session
    merged = effective(session, request.document, request.project)
    spec = parse_new_spec(merged, request.project, now=txn.now)
    old = session.pipelines.pipeline(spec.pipeline)
    if old is not None and not request.update:
        raise AlreadyExists(f'pipeline "{spec.pipeline}"')
    _check_inputs(txn, spec)
    output_repo, spec_repo = spec.pipeline.repo, spec.spec_branch.repo
    if old is None:
        if session.repos.repo(output_repo):
            raise Refused(f'pipeline "{spec.pipeline.name}" cannot be created because a repo with the same name already exists')
        create_repo(txn, output_repo, f"Output repo for pipeline {spec.pipeline}.")
        create_repo(txn, spec_repo, f"Spec repo for pipeline {spec.pipeline}.", update=True)
    spec_commit = finish_commit(txn, start_commit(txn, spec.spec_branch))
    salt = old.salt if old and not request.reprocess else ("" if request.reprocess else spec.salt) or new_id()
    stopped = bool(old and old.stopped)
    row = PipelineRow(
        pipeline=spec.pipeline,
        version=old.version + 1 if old else 1,
        spec_commit=spec_commit.ref.id,
        user_spec=spec_json(user_spec(request.document, spec.pipeline.project)),
        effective_spec=spec_json(merged),
        salt=salt,
        state=PipelineState.PAUSED if stopped else PipelineState.STARTING,
        reason="",
        stopped=stopped,
        created=old.created if old else txn.now,
        updated=txn.now,
        code=request.code,
    )
    session.pipelines.add_pipeline(row)
    if old:
        stop_jobs_of(txn, spec.pipeline, "updated")
    _connect(txn, spec, stopped=row.stopped)
    return row


def _check_inputs(txn: Transaction, spec: PipelineSpec) -> None:
    """Check that every input repo exists, and create the repos of cron inputs. Globs are compiled on use, as on a cluster."""
    for leaf in leaves(spec.input):
        if isinstance(leaf, Pfs):
            if txn.session.repos.repo(leaf.source.repo) is None:
                raise RepoNotFound(leaf.source.repo)
        elif txn.session.repos.repo(leaf.source.repo) is None:
            create_repo(txn, leaf.source.repo, f"Cron tick repo for pipeline {spec.pipeline}.")


def _connect(txn: Transaction, spec: PipelineSpec, *, stopped: bool) -> None:
    """Make the branches of a pipeline stand on its inputs, which makes it work; or on nothing, if it is stopped."""
    session = txn.session
    sources, never = sources_of(spec)
    if stopped:
        sources, never = [], frozenset()
    try:
        create_branch(txn, spec.output, sources=sources, never=never)
    except LocalRunnerError as error:
        error.message = f"could not create/update output branch: {error.message}"
        raise
    _close_spout_commit(txn, spec)
    for leaf in leaves(spec.input):
        if leaf.trigger:
            existing = session.repos.branch(leaf.source)
            head = CommitQuery(leaf.source.repo, leaf.source.name) if existing else None
            create_branch(txn, leaf.source, head, trigger=leaf.trigger)
    if spec.kind == TRANSFORM:
        create_repo(txn, spec.meta.repo, f"Meta repo for pipeline {spec.pipeline.name}", update=True)
        create_branch(txn, spec.meta, sources=sources, never=never)
    else:  # it may have been one that makes its output of datums
        remove_repos(txn, related_repos(session, spec.meta.repo), force=True)


def _close_spout_commit(txn: Transaction, spec: PipelineSpec) -> None:
    """Close the commit that the creation of a spout's branch opened, as no job will."""
    row = txn.session.repos.repo(spec.output.repo) if spec.kind == SPOUT else None
    commit = txn.session.commits.find(row.key, txn.id) if row else None
    if commit is not None and commit.is_open:
        finish_commit(txn, commit, "close spout commit", force=True)


def find_pipeline(session: Session, ref: PipelineRef, back: int = 0) -> PipelineRow:
    """A pipeline, or its version some updates ago. Raises `NotFound`."""
    row = session.pipelines.pipeline(ref, back)
    if row is None:
        raise PipelineNotFound(ref)
    return row


def list_pipeline(
    session: Session, projects: Sequence[str] | None = None, pipeline: PipelineRef | None = None, history: int = 0, commit: str = ""
) -> list[PipelineInfo]:
    """Newest first, with `history` older versions of each (-1: all). Raises `NotFound`.

    With `commit`, the id of a commit set, those that took part in it, each in the version it had then.
    """
    rows = [find_pipeline(session, pipeline)] if pipeline else session.pipelines.pipelines()
    rows = [row for row in rows if projects is None or row.pipeline.project in projects]
    if commit:
        return [pipeline_info(session, then, then=True) for row in rows for then in _version_in(session, row, commit)]
    found: list[PipelineInfo] = []
    for row in rows:
        versions = session.pipelines.versions(row.pipeline) if history else [row]
        found += [pipeline_info(session, v) for v in (versions if history < 0 else versions[: history + 1])]
    return found


def _version_in(session: Session, row: PipelineRow, commit: str) -> list[PipelineRow]:
    """The version of a pipeline whose spec a commit set has or stands on, if any."""
    try:
        spec = resolve(session, CommitQuery(spec_of(row).spec_branch.repo, id=commit)).ref.id
    except CommitNotFound:
        return []
    return [version for version in session.pipelines.versions(row.pipeline) if version.spec_commit == spec]


def start_pipeline(txn: Transaction, ref: PipelineRef) -> None:
    """Let a stopped pipeline work again, on the present heads of its inputs. Raises `NotFound`."""
    spec = spec_of(find_pipeline(txn.session, ref))
    sources, never = sources_of(spec)
    row = txn.session.repos.branch(spec.output)
    if spec.kind == TRANSFORM and (row is None or {s.branch.ref for s in txn.session.repos.sources(row.key)} != set(sources)):
        create_branch(txn, spec.meta)  # the output branch alone may have lost its provenance: both begin anew, in one set
    create_branch(txn, spec.output, sources=sources, never=never)
    _close_spout_commit(txn, spec)
    if spec.kind == TRANSFORM:
        create_branch(txn, spec.meta, sources=sources, never=never)
    txn.session.pipelines.set_pipeline_state(ref, PipelineState.STARTING, stopped=False)


def stop_pipeline(txn: Transaction, ref: PipelineRef) -> None:
    """Make no more commits and jobs, and kill those that are unfinished. Raises `NotFound`."""
    spec = spec_of(find_pipeline(txn.session, ref))
    create_branch(txn, spec.output)
    if spec.kind == TRANSFORM:
        create_branch(txn, spec.meta)
    txn.session.pipelines.set_pipeline_state(ref, PipelineState.PAUSED, stopped=True)
    stop_jobs_of(txn, ref, "stopped")


def delete_pipeline(txn: Transaction, ref: PipelineRef, *, force: bool = False, keep_repo: bool = False) -> None:
    """Remove a stopped pipeline, its jobs and repos; `keep_repo` leaves the output as a plain repo. Raises `Refused`, `NotFound`."""
    session = txn.session
    spec = spec_of(find_pipeline(session, ref))
    stop_jobs_of(txn, ref, "deleted")
    session.pipelines.remove_pipeline(ref)
    doomed = related_repos(session, ref.repo)
    if keep_repo:
        create_branch(txn, spec.output)
        doomed = [row for row in doomed if row.ref.type in (META, SPEC)]
    for leaf in leaves(spec.input):
        row = session.repos.repo(leaf.source.repo)
        if isinstance(leaf, Cron) and row:
            doomed.append(row)
    remove_repos(txn, doomed, force=force)


def rerun_pipeline(txn: Transaction, ref: PipelineRef, *, reprocess: bool = False) -> PipelineRow:
    """A new version with the same spec. Raises `NotFound`."""
    row = find_pipeline(txn.session, ref)
    return create_pipeline(txn, PipelineRequest(json.loads(row.user_spec), ref.project, update=True, reprocess=reprocess, code=row.code))


def cron_inputs(session: Session, ref: PipelineRef) -> list[Cron]:
    """The clocks of a pipeline. Raises `NotFound`, `Refused` if it has none."""
    found = [leaf for leaf in leaves(spec_of(find_pipeline(session, ref)).input) if isinstance(leaf, Cron)]
    if not found:
        raise Refused("pipeline doesn't have a cron input")
    return found


# -- defaults ----------------------------------------------------------------------------------------------------------


def get_defaults(session: Session, project: str | None = None) -> str:
    """The defaults of a project, or of everything, as JSON. Raises `NotFound`."""
    from local_runner.specs.effective import BUILT_IN_CLUSTER_DEFAULTS

    if project is not None:
        inspect_project(session, project)
        return session.repos.project_defaults(project) or "{}"
    return session.repos.setting(CLUSTER_DEFAULTS) or json.dumps(BUILT_IN_CLUSTER_DEFAULTS)


def set_defaults(txn: Transaction, document: Mapping[str, Any] | None, project: str | None = None) -> list[PipelineRef]:
    """Replace defaults (None: remove them); returns the pipelines whose effective spec they change. Raises `SpecError`."""
    from local_runner.specs.effective import check_defaults, spec_json

    if document is not None:
        check_defaults(document)
    text = json.dumps(document or {}, separators=(",", ":"), sort_keys=True)
    if project is None:
        txn.session.repos.set_setting(CLUSTER_DEFAULTS, text)
    else:
        inspect_project(txn.session, project)
        txn.session.repos.set_project_defaults(project, text)
    affected = []
    for row in txn.session.pipelines.pipelines():
        fresh = effective(txn.session, json.loads(row.user_spec), row.pipeline.project)
        if project in (None, row.pipeline.project) and spec_json(fresh) != row.effective_spec:
            affected.append(row.pipeline)
    return affected
