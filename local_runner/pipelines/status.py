"""Computes how far each pipeline has processed its inputs, and what blocks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import SPOUT, PipelineSpec, PipelineState
from local_runner.model.refs import BranchRef, CommitRef, PipelineRef
from local_runner.model.repos import RepoInfo
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.stored_specs import spec_of
from local_runner.repos.provenance import sources_first
from local_runner.repos.repos import list_repo
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow


class Behind(NamedTuple):
    """The number of commits of a branch that a pipeline has not processed successfully; `is_open` if the last is still open."""

    branch: BranchRef
    commits: int
    is_open: bool


class Head(NamedTuple):
    """The newest commit of a branch; `error` says that its content is not good."""

    branch: BranchRef
    commit: CommitRef
    started: float
    finished: float | None
    error: str


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """`unfinished` counts its jobs that wait or run. `last` is the newest job that has ended."""

    pipeline: PipelineRef
    state: PipelineState
    reason: str
    last: JobInfo | None
    behind: tuple[Behind, ...]
    unfinished: int

    @property
    def is_current(self) -> bool:
        """Whether it works and has processed everything there is."""
        done = self.last is None or self.last.state is JobState.SUCCESS
        return done and not self.behind and not self.unfinished and self.state in (PipelineState.STARTING, PipelineState.RUNNING)


@dataclass(frozen=True, slots=True)
class RepoStatus:
    """A repo with the heads of its branches; the size is that of the newest finished commit on master."""

    info: RepoInfo
    heads: tuple[Head, ...]


def pipeline_status(session: Session, projects: Sequence[str] | None = None) -> list[PipelineStatus]:
    """All pipelines, each after those it reads from; of these projects, if given."""
    rows = [row for row in session.pipelines.pipelines() if projects is None or row.pipeline.project in projects]
    unfinished = [info.job.pipeline for info in session.pipelines.unfinished_jobs()]
    levels = _levels(session)
    ordered = sorted(rows, key=lambda row: (_depth(session, row, levels), row.pipeline))
    return [_status(session, row, unfinished.count(row.pipeline)) for row in ordered]


def _levels(session: Session) -> dict[int, int]:
    """The level of each branch with provenance: the length of the longest chain of branches above it."""
    levels: dict[int, int] = {}
    for key, sources in sources_first(session.repos.all_sources()):
        levels[key] = 1 + max(levels.get(source, 0) for source in sources)
    return levels


def _depth(session: Session, row: PipelineRow, levels: Mapping[int, int]) -> int:
    """The level of a pipeline: one more than the highest of those it reads from."""
    branches = (session.repos.branch(leaf.source) for leaf in leaves(spec_of(row).input))
    return max((1 + levels.get(branch.key, 0) for branch in branches if branch), default=0)


def _status(session: Session, row: PipelineRow, unfinished: int) -> PipelineStatus:
    spec = spec_of(row)
    ended = [info for info in session.pipelines.jobs(row.pipeline) if info.state.is_final]
    good = next((info for info in ended if info.state is JobState.SUCCESS), None)
    output = output_commit(session, good.job) if good else None
    done = {source.repo: source for source in session.commits.sources(output.key)} if output else {}
    behind = () if spec.kind == SPOUT else tuple(_behind(session, spec, done))
    return PipelineStatus(row.pipeline, row.state, row.reason, ended[0] if ended else None, behind, unfinished)


def _behind(session: Session, spec: PipelineSpec, done: dict[int, CommitRow]) -> list[Behind]:
    found = []
    for branch in dict.fromkeys(leaf.source for leaf in leaves(spec.input)):
        row = session.repos.branch(branch)
        if row is None or row.head is None:
            continue
        head = session.commits.at(row.head)
        processed = done.get(head.repo)
        waiting = _since(session, head, processed.key if processed else None)
        if waiting:
            found.append(Behind(branch, len(waiting), waiting[0].finished is None))
    return found


def _since(session: Session, head: CommitRow, processed: int | None) -> list[CommitRow]:
    """The commits from a head back to one that was processed, without it; without those that have an error or, at the root, nothing."""
    found: list[CommitRow] = []
    row: CommitRow | None = head
    while row is not None and row.key != processed:
        if not row.error and not (row.parent is None and row.tree is None and row.finished is not None):
            found.append(row)
        row = session.commits.at(row.parent) if row.parent is not None else None
    return found


def repo_status(session: Session, projects: Sequence[str] | None = None) -> list[RepoStatus]:
    """All repos of users and pipelines, by project and name."""
    return [RepoStatus(info, tuple(_heads(session, info.branches))) for info in list_repo(session, projects)]


def _heads(session: Session, branches: Sequence[BranchRef]) -> list[Head]:
    found = []
    for branch in branches:
        row = session.repos.branch(branch)
        if row is not None and row.head is not None:
            head = session.commits.at(row.head)
            found.append(Head(branch, head.ref, head.started, head.finished, head.error))
    return found
