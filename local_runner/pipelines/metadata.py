"""Changes the metadata of projects, repos, branches, commits, pipelines and the home."""

from __future__ import annotations

from collections.abc import Sequence

from local_runner.errors import LocalRunnerError
from local_runner.model.metadata import Edit, Target
from local_runner.model.refs import BranchRef, CommitQuery, PipelineRef, RepoRef
from local_runner.pipelines.pipelines import find_pipeline
from local_runner.repos.branches import find_branch
from local_runner.repos.commits import find_repo, resolve
from local_runner.repos.repos import inspect_project
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session


class EditsFailed(LocalRunnerError):
    """Some edits of several failed; the code is that of the first."""

    def __init__(self, faults: Sequence[tuple[int, LocalRunnerError]]) -> None:
        texts = "; ".join(f"edit #{number}: {error.message}" for number, error in faults)
        super().__init__(f"apply edits: {texts}", hint=faults[0][1].hint)
        self.grpc_code, self.exit_status = faults[0][1].grpc_code, faults[0][1].exit_status


def edit_metadata(txn: Transaction, edits: Sequence[Edit]) -> None:
    """Make all edits, one after the other. Raises `EditsFailed` that says what is wrong with each that is."""
    faults: list[tuple[int, LocalRunnerError]] = []
    for number, edit in enumerate(edits):
        try:
            table, key = _row(txn.session, edit.target)
            txn.session.metadata.put(table, key, edit.apply(txn.session.metadata.get(table, key)))
        except LocalRunnerError as error:
            faults.append((number, error))
    if faults:
        raise EditsFailed(faults)


def _row(session: Session, target: Target) -> tuple[str, object]:
    """The table of a thing, and what names it there. Raises `NotFound`."""
    match target:
        case None:
            return "home", ""
        case str():
            return "project", inspect_project(session, target).name
        case RepoRef():
            return "repo", find_repo(session, target).key
        case BranchRef():
            return "branch", find_branch(session, target).key
        case CommitQuery():
            return "commits", resolve(session, target).key
        case PipelineRef():
            return "pipeline", find_pipeline(session, target).pipeline
