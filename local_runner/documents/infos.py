"""Converts every info object to the JSON document that protobuf makes of it, as `--raw` prints it (reference pfs 4).

Names of the proto, 64-bit integers as text, bytes in base64, enums by name, and what is unset or zero left out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from local_runner.model.datums import DatumInfo, DatumStats, InputFile
from local_runner.model.jobs import JobInfo, JobSetInfo, RunningDatum
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import META, BranchRef, CommitRef, JobRef, PipelineRef, RepoRef
from local_runner.model.repos import ORIGIN_USER, BranchInfo, CommitInfo, CommitSetInfo, FileInfo, ProjectInfo, RepoInfo, Trigger
from local_runner.model.units import proto_duration, rfc3339

Document = dict[str, Any]

_JOB_DETAILS = (
    *("transform", "parallelism_spec", "egress", "service", "spout", "worker_status", "resource_requests", "resource_limits"),
    *("sidecar_resource_limits", "input", "salt", "datum_set_spec", "datum_timeout", "job_timeout", "datum_tries"),
    *("scheduling_spec", "pod_spec", "pod_patch", "sidecar_resource_requests"),
)
_NOT_IN_A_SPEC = frozenset({"created_at", "workers_requested", "workers_available"})


def _filled(**fields: Any) -> Document:
    """A message: fields that are unset or zero are left out, messages that are set but empty are not."""
    return {name: value for name, value in fields.items() if value or isinstance(value, dict)}


def _integer(number: int | None) -> str | None:
    return str(number) if number else None


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def _pairs(metadata: Mapping[str, str]) -> Document | None:
    """A map, which is left out if it is empty."""
    return dict(metadata) or None


def repo_document(repo: RepoRef) -> Document:
    return {"name": repo.name, "type": repo.type, "project": {"name": repo.project}}


def branch_document(branch: BranchRef) -> Document:
    return {"repo": repo_document(branch.repo), "name": branch.name}


def commit_document(commit: CommitRef, branch: str = "") -> Document:
    known = branch_document(BranchRef(commit.repo, branch)) if branch else None
    return _filled(repo=repo_document(commit.repo), id=commit.id, branch=known)


def pipeline_document(pipeline: PipelineRef) -> Document:
    return {"project": {"name": pipeline.project}, "name": pipeline.name}


def job_document(job: JobRef) -> Document:
    return {"pipeline": pipeline_document(job.pipeline), "id": job.id}


def project_info_document(info: ProjectInfo) -> Document:
    return _filled(
        project={"name": info.name}, description=info.description, created_at=_time(info.created), metadata=_pairs(info.metadata)
    )


def repo_info_document(info: RepoInfo) -> Document:
    return _filled(
        repo=repo_document(info.repo),
        created=_time(info.created),
        size_bytes_upper_bound=_integer(info.size_upper_bound),
        description=info.description,
        branches=[branch_document(branch) for branch in info.branches],
        details=None if info.size is None else _filled(size_bytes=_integer(info.size)),
        metadata=_pairs(info.metadata),
    )


def trigger_document(trigger: Trigger) -> Document:
    return _filled(
        branch=trigger.branch,
        all=trigger.all,
        rate_limit_spec=trigger.rate_limit_spec,
        size=trigger.size,
        commits=_integer(trigger.commits),
        cron_spec=trigger.cron_spec,
    )


def branch_info_document(info: BranchInfo) -> Document:
    never = [{"branch": branch_document(branch), "propagation_spec": {"never": True}} for branch in sorted(info.never_propagates)]
    return _filled(
        branch=branch_document(info.branch),
        head=commit_document(info.head) if info.head else None,
        provenance=[branch_document(branch) for branch in info.provenance],
        subvenance=[branch_document(branch) for branch in info.subvenance],
        direct_provenance=[branch_document(branch) for branch in info.direct_provenance],
        trigger=trigger_document(info.trigger) if info.trigger else None,
        created_at=_time(info.created),
        branch_propagation_specs=never,
        metadata=_pairs(info.metadata),
    )


def commit_info_document(info: CommitInfo) -> Document:
    """A commit. Children, provenance and subvenance are given with their branch, the parent without, as on a cluster."""

    def near(commits: Iterable[CommitRef]) -> list[Document]:
        return [commit_document(commit, info.branches.get(commit, "")) for commit in commits]

    return _filled(
        commit=commit_document(info.commit),
        origin={"kind": info.origin},
        description=info.description,
        parent_commit=commit_document(info.parent) if info.parent else None,
        child_commits=near(info.children),
        started=_time(info.started),
        finishing=_time(info.finishing),
        finished=_time(info.finished),
        direct_provenance=near(info.direct_provenance),
        direct_subvenance=near(info.direct_subvenance),
        error=info.error,
        size_bytes_upper_bound=_integer(info.size_upper_bound),
        details=_commit_details(info),
        metadata=_pairs(info.metadata),
        created_at=_time(info.started),
        updated_at=_time(info.finished or info.started),
    )


def _commit_details(info: CommitInfo) -> Document:
    """The `details` of a commit: empty before it is finished, and without durations if it was made closed."""
    counted = info.finished is not None and (info.size or not info.error)
    took = "0s" if counted and (info.origin == ORIGIN_USER or info.direct_provenance) else None
    return _filled(size_bytes=_integer(info.size), compacting_time=took, validating_time=took)


def commit_set_info_document(info: CommitSetInfo) -> Document:
    return _filled(commit_set={"id": info.id}, commits=[commit_info_document(commit) for commit in info.commits])


def file_info_document(info: FileInfo) -> Document:
    return _filled(
        file=_filled(commit=commit_document(info.commit), path=info.path, datum=info.datum),
        file_type="DIR" if info.is_folder else "FILE",
        committed=_time(info.committed),
        size_bytes=_integer(info.size),
        hash=_bytes(info.hash),
    )


def _bytes(content: bytes) -> str:
    return base64.b64encode(content).decode()


def stats_document(stats: DatumStats) -> Document:
    return _filled(
        download_time=proto_duration(stats.download_time),
        process_time=proto_duration(stats.process_time),
        upload_time=proto_duration(stats.upload_time),
        download_bytes=_integer(stats.download_bytes),
        upload_bytes=_integer(stats.upload_bytes),
    )


def job_info_document(info: JobInfo, pipeline: PipelineInfo | None) -> Document:
    """A job; its details are those of the pipeline version it ran, and left out without one."""
    counters = info.counters
    return _filled(
        job=job_document(info.job),
        pipeline_version=_integer(info.pipeline_version),
        output_commit=commit_document(CommitRef(info.job.pipeline.repo, info.job.id), info.output_branch),
        restart=_integer(info.restart),
        data_processed=_integer(counters.processed),
        data_skipped=_integer(counters.skipped),
        data_total=_integer(counters.total),
        data_failed=_integer(counters.failed),
        data_recovered=_integer(counters.recovered),
        stats=stats_document(info.stats),
        state=info.state.value,
        reason=info.reason,
        created=_time(info.created),
        started=_time(info.started),
        finished=_time(info.finished),
        details=job_details_document(info, pipeline) if pipeline else None,
    )


def job_details_document(info: JobInfo, pipeline: PipelineInfo) -> Document:
    """The spec a job ran with. Each of its inputs names the job's own id as commit (reference pps 4.2)."""
    from local_runner.specs.details import details_document  # lists need no specs

    details = details_document(pipeline)
    details["worker_status"] = [_worker_document(info, running) for running in info.running]
    if "input" in details:
        details["input"] = _at_commit(details["input"], info.job.id)
    return {name: details[name] for name in _JOB_DETAILS if details.get(name)}


def _worker_document(info: JobInfo, running: RunningDatum) -> Document:
    data = [{"path": path, "hash": hash} for path, hash in zip(running.paths, running.hashes, strict=True)]
    status = _filled(started=_time(running.started), data=data)
    return {"worker_id": running.worker, "job_id": info.job.id, "datum_status": status}


def _at_commit(node: Mapping[str, Any], commit: str) -> Document:
    return {
        kind: _with_commit(value, commit) if kind in ("pfs", "cron") else [_at_commit(child, commit) for child in value]
        for kind, value in node.items()
    }


def _with_commit(leaf: Mapping[str, Any], commit: str) -> Document:
    """An input with its commit, inserted where the message has it: after the branch, or the repo of a cron input."""
    fields = list(leaf.items())
    at = list(leaf).index("branch" if "branch" in leaf else "repo") + 1
    return dict([*fields[:at], ("commit", commit), *fields[at:]])


def job_set_info_document(info: JobSetInfo) -> Document:
    return _filled(job_set={"id": info.id}, jobs=[job_info_document(job, None) for job in info.jobs])


def pipeline_info_document(info: PipelineInfo) -> Document:
    from local_runner.specs.details import details_document  # as above

    return _filled(
        pipeline=pipeline_document(info.pipeline),
        version=_integer(info.version),
        spec_commit=commit_document(CommitRef(info.spec.spec_branch.repo, info.spec_commit), info.spec.spec_branch.name),
        stopped=info.stopped,
        state=info.state.value,
        reason=info.reason,
        last_job_state=info.last_job_state,
        parallelism=_integer(info.spec.parallelism),
        type=f"PIPELINE_TYPE_{info.spec.kind}",
        details=details_document(info),
        user_spec_json=info.user_spec,
        effective_spec_json=info.effective_spec,
        metadata=_pairs(info.metadata),
    )


def spec_document(info: PipelineInfo) -> Document:
    """The spec document from which `create pipeline` would make this version."""
    from local_runner.specs.details import details_document  # as above

    details = {name: value for name, value in details_document(info).items() if name not in _NOT_IN_A_SPEC}
    return {"pipeline": pipeline_document(info.pipeline), **details}


def datum_info_document(info: DatumInfo, job: JobRef | None = None, with_state: bool = False) -> Document:
    """A datum of a job, or of none if it is only possible. `with_state` tells where the job's meta repo keeps it."""
    ran = JobRef(job.pipeline, info.job or job.id) if job else None
    state = None
    if with_state and ran:
        meta = RepoRef(ran.pipeline.project, ran.pipeline.name, META)
        state = {"commit": commit_document(CommitRef(meta, ran.id)), "path": f"/pfs/{info.datum.id}"}
    return _filled(
        datum=_filled(job=job_document(ran) if ran else None, id=info.datum.id),
        state=None if info.state == "unknown" else info.state.upper(),
        stats=stats_document(info.stats) if info.stats else {},
        pfs_state=state,
        data=[input_file_document(file) for file in info.datum.inputs],
    )


def input_file_document(file: InputFile) -> Document:
    commit = commit_document(CommitRef(file.source.source.repo, file.commit))
    return _filled(
        file=_filled(commit=commit, path=file.path, datum=file.tag),
        file_type="DIR" if file.path.endswith("/") else "FILE",
        size_bytes=_integer(file.size),
        hash=_bytes(file.hash),
    )
