"""Reads stored pipelines in typed form; parsed specs are cached."""

from __future__ import annotations

import json
from functools import lru_cache

from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobInfo
from local_runner.model.pipelines import SERVICE, SPOUT, SPOUT_ENDED, PipelineInfo, PipelineSpec, PipelineState
from local_runner.model.refs import BranchRef, RepoRef
from local_runner.model.wiring import wiring_of
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow
from local_runner.storage.rows import MISREADINGS, damaged_row

_KEPT = 4096  # versions of pipelines: a home of 500 is looked through again and again


@lru_cache(maxsize=_KEPT)
def _parsed(effective: str, project: str, updated: float) -> PipelineSpec:
    """A stored spec, parsed; cached, as parsing takes a millisecond and rows seldom change."""
    from local_runner.specs.parse import parse_spec  # 25 ms, and most commands meet no spec

    try:
        return parse_spec(json.loads(effective), project, now=updated)
    except MISREADINGS as error:
        raise damaged_row(f"a spec of project {project} cannot be read", error) from error


def spec_of(row: PipelineRow) -> PipelineSpec:
    """The typed spec of a version."""
    return _parsed(row.effective_spec, row.pipeline.project, row.updated)


def lost_inputs(session: Session, row: PipelineRow, output: CommitRow) -> list[RepoRef]:
    """The repos that a pipeline reads and of which an output commit has no commit: they were deleted, or no longer belong to it."""
    stands_on = {source.ref.repo for source in session.commits.sources(output.key)}
    return sorted(wiring_of(row.effective_spec, row.pipeline).inputs - stands_on)


def is_live_spout(row: PipelineRow) -> bool:
    """Whether a pipeline is a spout whose command is to run."""
    return row.state is PipelineState.RUNNING and not row.reason.startswith(SPOUT_ENDED) and _is(row, SPOUT)


def is_service(row: PipelineRow) -> bool:
    """Whether a pipeline is a service."""
    return _is(row, SERVICE)


def has_clock(row: PipelineRow) -> bool:
    """Whether a pipeline may have a cron input; only its spec knows for sure."""
    return '"cron"' in row.effective_spec


def _is(row: PipelineRow, kind: str) -> bool:
    # Its text first: nearly all pipelines are neither, and commands that ask meet no spec otherwise.
    return f'"{kind.lower()}"' in row.effective_spec and spec_of(row).kind == kind


def sources_of(spec: PipelineSpec) -> tuple[list[BranchRef], frozenset[BranchRef]]:
    """The branches a pipeline's output stands on, its spec last; and those whose changes start no job."""
    branches = list(dict.fromkeys(leaf.source for leaf in leaves(spec.input)))
    never = frozenset(leaf.source for leaf in leaves(spec.input) if leaf.never_propagates)
    return [*branches, spec.spec_branch], never


def _is_idle(row: PipelineRow, last: JobInfo | None) -> bool:
    """Whether the pipeline is in `standby`: it has `autoscaling` and no job (reference pps 2.9, 4.10)."""
    return row.state is PipelineState.RUNNING and '"autoscaling":true' in row.effective_spec and (last is None or last.state.is_final)


def pipeline_info(session: Session, row: PipelineRow, *, then: bool = False) -> PipelineInfo:
    """A version of a pipeline as it is reported: with the last job there is, or with `then` the last one up to that version."""
    jobs = session.pipelines.jobs(row.pipeline)
    last = next((info for info in jobs if not then or info.pipeline_version <= row.version), None)
    return PipelineInfo(
        spec_of(row),
        row.version,
        row.spec_commit,
        PipelineState.STANDBY if _is_idle(row, last) else row.state,
        row.reason,
        row.stopped,
        row.salt,
        row.created,
        row.updated,
        row.user_spec,
        row.effective_spec,
        last.state.value if last else "",
        session.metadata.get("pipeline", row.pipeline),
    )
