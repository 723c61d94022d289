"""Converts the verbs of a transaction to documents that are kept until it is finished, and does them (reference pfs 1.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from local_runner.errors import NotFound, Unsupported
from local_runner.model.refs import Ancestry, BranchRef, CommitQuery, JobRef, PipelineRef, RepoRef
from local_runner.model.repos import Trigger
from local_runner.pipelines.job_end import forget_finished, forget_removed
from local_runner.pipelines.jobs import stop_job
from local_runner.pipelines.pipelines import Request, create_pipeline
from local_runner.repos.branches import create_branch, delete_branch
from local_runner.repos.commits import drop_commit_set, finish_commit, remove_commit, resolve, squash_commit_set, start_commit
from local_runner.repos.repos import create_repo, delete_repo
from local_runner.repos.transaction import Transaction, has_datums
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PendingRow

Document = dict[str, Any]


def to_document(value: object) -> Any:
    """A ref, query, trigger or request as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_document(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_document(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_document(item) for key, item in value.items()}
    return value


def _repo(document: list[str]) -> RepoRef:
    return RepoRef(*document)


def _branch(document: list[Any]) -> BranchRef:
    return BranchRef(_repo(document[0]), document[1])


def _commit(document: Document | None) -> CommitQuery | None:
    if document is None:
        return None
    return CommitQuery(_repo(document["repo"]), document["branch"], document["id"], Ancestry(**document["ancestry"]))


def _some_commit(document: Document) -> CommitQuery:
    found = _commit(document)
    assert found is not None
    return found


def _job(document: list[Any]) -> JobRef:
    return JobRef(PipelineRef(*document[0]), document[1])


def _finish(txn: Transaction, a: Document) -> None:
    row = finish_commit(txn, resolve(txn.session, _some_commit(a["commit"])), a["description"], a["error"], a["force"])
    if has_datums(txn.session, row.ref.repo):
        forget_finished(txn, row.ref)


def _create_branch(txn: Transaction, a: Document) -> None:
    trigger = Trigger(**a["trigger"]) if a["trigger"] else None
    never = frozenset(_branch(b) for b in a.get("never", ()))  # unknown to transactions of former versions
    create_branch(txn, _branch(a["branch"]), _commit(a["head"]), [_branch(b) for b in a["provenance"]], trigger, never)


VERBS: Mapping[str, Callable[[Transaction, Document], Any]] = {
    "create_repo": lambda txn, a: create_repo(txn, _repo(a["repo"]), a["description"], a["update"]).key,
    "delete_repo": lambda txn, a: delete_repo(txn, _repo(a["repo"]), a["force"]),
    "create_branch": _create_branch,
    "delete_branch": lambda txn, a: delete_branch(txn, _branch(a["branch"]), a["force"]),
    "start_commit": lambda txn, a: start_commit(txn, _branch(a["branch"]), _commit(a["parent"]), a["description"]).ref,
    "finish_commit": _finish,
    "squash_commit_set": lambda txn, a: forget_removed(txn, squash_commit_set(txn, a["id"])),
    "drop_commit_set": lambda txn, a: forget_removed(txn, drop_commit_set(txn, a["id"])),
    "remove_commit": lambda txn, a: forget_removed(txn, remove_commit(txn, _some_commit(a["commit"]), a["recursive"], a["squash"])),
    "stop_job": lambda txn, a: stop_job(txn, _job(a["job"]), a["reason"]),
    "create_pipeline": lambda txn, a: create_pipeline(txn, Request(**a["request"])).version,
}


def apply(txn: Transaction, verb: str, arguments: Document) -> Any:
    """Do one verb; `arguments` are what `to_document` made. Raises `LocalRunnerError`."""
    if verb not in VERBS:
        raise Unsupported(f"{verb} cannot be part of a transaction")
    return VERBS[verb](txn, arguments)


def find_pending(session: Session, transaction: str) -> PendingRow:
    """An open transaction. Raises `NotFound`."""
    row = session.pipelines.pending(transaction)
    if row is None:
        raise NotFound(f"transaction {transaction or '(none)'} not found", hint="start transaction begins one")
    return row
