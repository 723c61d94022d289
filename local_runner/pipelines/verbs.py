"""The verbs that may stand in a transaction, each a value that knows how it is done (reference pfs 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from local_runner.model.refs import BranchRef, CommitQuery, CommitRef, JobRef, RepoRef
from local_runner.model.repos import Trigger
from local_runner.pipelines import pipelines
from local_runner.pipelines.job_end import forget_finished, forget_removed
from local_runner.pipelines.jobs import stop_job
from local_runner.repos import branches, commit_removal, commits, repos
from local_runner.repos.transaction import Transaction, has_datums

Result = TypeVar("Result", covariant=True)


class Verb(Protocol[Result]):
    """A change that was asked for."""

    def apply(self, txn: Transaction) -> Result:
        """Do it as part of a change. Raises `LocalRunnerError`."""
        ...


@dataclass(frozen=True, slots=True)
class CreateRepo:
    """Create a repo, or with `update` give one that is there another description."""

    repo: RepoRef
    description: str = ""
    update: bool = False

    def apply(self, txn: Transaction) -> None:
        repos.create_repo(txn, self.repo, self.description, update=self.update)


@dataclass(frozen=True, slots=True)
class DeleteRepo:
    """Delete a repo; the result says whether there was one."""

    repo: RepoRef
    force: bool = False

    def apply(self, txn: Transaction) -> bool:
        return bool(repos.delete_repo(txn, self.repo, force=self.force))


@dataclass(frozen=True, slots=True)
class CreateBranch:
    """Create or change a branch. It stands on `provenance`, of which those in `never` give it no new commits."""

    branch: BranchRef
    head: CommitQuery | None = None
    provenance: tuple[BranchRef, ...] = ()
    trigger: Trigger | None = None
    never: tuple[BranchRef, ...] = ()

    def apply(self, txn: Transaction) -> None:
        branches.create_branch(txn, self.branch, self.head, list(self.provenance), self.trigger, frozenset(self.never))


@dataclass(frozen=True, slots=True)
class DeleteBranch:
    """Delete a branch; its commits stay."""

    branch: BranchRef
    force: bool = False

    def apply(self, txn: Transaction) -> None:
        branches.delete_branch(txn, self.branch, force=self.force)


@dataclass(frozen=True, slots=True)
class StartCommit:
    """Start a commit on a branch; the result is that commit."""

    branch: BranchRef
    parent: CommitQuery | None = None
    description: str = ""

    def apply(self, txn: Transaction) -> CommitRef:
        return commits.start_commit(txn, self.branch, self.parent, self.description).ref


@dataclass(frozen=True, slots=True)
class FinishCommit:
    """Finish an open commit; with an `error` it counts as failed."""

    commit: CommitQuery
    description: str = ""
    error: str = ""
    force: bool = False

    def apply(self, txn: Transaction) -> None:
        row = commits.finish_commit(txn, commits.resolve(txn.session, self.commit), self.description, self.error, force=self.force)
        if has_datums(txn.session, row.ref.repo):
            forget_finished(txn, row.ref)


@dataclass(frozen=True, slots=True)
class SquashCommitSet:
    """Remove the commits of a set; what they hold stays in their children."""

    id: str

    def apply(self, txn: Transaction) -> None:
        forget_removed(txn, commit_removal.squash_commit_set(txn, self.id))


@dataclass(frozen=True, slots=True)
class DropCommitSet:
    """Remove the commits of a set with what they hold."""

    id: str

    def apply(self, txn: Transaction) -> None:
        forget_removed(txn, commit_removal.drop_commit_set(txn, self.id))


@dataclass(frozen=True, slots=True)
class RemoveCommit:
    """Squash or drop one commit, with `recursive` also those that stand on it."""

    commit: CommitQuery
    recursive: bool = False
    squash: bool = True

    def apply(self, txn: Transaction) -> None:
        forget_removed(txn, commit_removal.remove_commit(txn, self.commit, recursive=self.recursive, squash=self.squash))


@dataclass(frozen=True, slots=True)
class StopJob:
    """End a job that is not over, as killed."""

    job: JobRef
    reason: str = ""

    def apply(self, txn: Transaction) -> None:
        stop_job(txn, self.job, self.reason)


@dataclass(frozen=True, slots=True)
class CreatePipeline:
    """Create or update a pipeline; the result is its new version."""

    request: pipelines.PipelineRequest

    def apply(self, txn: Transaction) -> int:
        return pipelines.create_pipeline(txn, self.request).version
