"""Removes commits: squashing leaves what they wrote to their children, dropping takes it along (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Sequence

from local_runner.errors import (
    Refused,
)
from local_runner.model.refs import SPEC, CommitQuery, CommitRef
from local_runner.model.repos import ORIGIN_USER
from local_runner.repos.commits import resolve
from local_runner.repos.provenance import sources_first
from local_runner.repos.transaction import Transaction, open_commit
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.repo_records import BranchRow


def squash_commit_set(txn: Transaction, commit_id: str) -> list[CommitRef]:
    """Remove a set; what it changed stays in its children. Returns what was removed. Raises `Refused`."""
    return _remove(txn, _removable_set(txn.session, commit_id), squash=True)


def drop_commit_set(txn: Transaction, commit_id: str) -> list[CommitRef]:
    """Remove a set and what it changed; it must be the newest everywhere. Returns what was removed. Raises `Refused`."""
    return _remove(txn, _removable_set(txn.session, commit_id), squash=False)


def remove_commit(txn: Transaction, query: CommitQuery, *, recursive: bool, squash: bool) -> list[CommitRef]:
    """Squash or drop one commit and all that stand on it. Returns what was removed. Raises `Refused`."""
    row = resolve(txn.session, query)
    rows = [row, *txn.session.commits.subvenance([row.key])]
    if len(rows) > 1 and not recursive:
        verb = "squash" if squash else "drop"
        raise Refused(f"cannot {verb} commit ({row.ref}) with subvenance without recursive", hint="--recursive removes those too")
    return _remove(txn, rows, squash=squash)


def _removable_set(session: Session, commit_id: str) -> list[CommitRow]:
    own = session.commits.of_set(commit_id)
    others = {row.ref.id for row in session.commits.subvenance([row.key for row in own])} - {commit_id}
    if others:
        names = ", ".join(sorted(others))
        raise Refused(f'commit set "{commit_id}" cannot be dropped because it has subvenant commit sets: {names}')
    return own


def _remove(txn: Transaction, rows: Sequence[CommitRow], *, squash: bool) -> list[CommitRef]:
    session = txn.session
    for row in rows:
        if row.ref.repo.type == SPEC and row.origin == ORIGIN_USER:
            raise Refused(f"cannot squash commit {row.ref} because it updated a pipeline")
        children = session.commits.children(row.key)
        if squash and not children:
            raise Refused(
                f"cannot squash a commit that has no children as that would cause data loss, use the drop operation instead: {row.ref}",
                hint="delete commit drops it",
            )
        if not squash and children:
            raise Refused(f"cannot drop a commit that has children: {row.ref}", hint="squash commit folds it into them")
        for child in children:
            if child.finished is None:
                raise Refused(f"cannot squash until child commit {child.ref} is finished")
    headless = [branch for row in rows for branch in _remove_one(session, row)]
    # When all are gone: a new head is not to stand on one that goes next.
    for key, _ in sources_first({key: [source.branch.key for source in session.repos.sources(key)] for key in headless}):
        _new_head(txn, session.repos.branch_at(key))
    return [row.ref for row in rows]


def _remove_one(session: Session, row: CommitRow) -> list[int]:
    """Remove a commit; its children get its parent. Returns the branches that lost their head."""
    heads = session.repos.branches_at(row.key)
    for branch in heads:
        session.repos.set_head(branch.key, row.parent)
    for child in session.commits.children(row.key):
        session.commits.update(child.key, parent=row.parent)
    session.commits.remove(row.key)
    return [branch.key for branch in heads] if row.parent is None else []


def _new_head(txn: Transaction, branch: BranchRow) -> None:
    """An empty commit at the head of a branch, open if it stands on others; or the one of this set that its repo has already."""
    session = txn.session
    existing = session.commits.find(branch.repo, txn.id)
    if existing is None:
        sources = [source.branch for source in session.repos.sources(branch.key)]
        key = open_commit(txn, branch, sources)
        if not sources:
            session.commits.update(key, finishing=txn.now, finished=txn.now)
    else:
        session.repos.set_head(branch.key, existing.key)
