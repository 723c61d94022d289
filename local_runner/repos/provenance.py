"""Who stands on whom, over any number of steps (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.repo_records import BranchRow

_Row = TypeVar("_Row", BranchRow, CommitRow)


def provenance(session: Session, branch: int) -> dict[int, BranchRow]:
    """All branches this one stands on, by key."""
    return _closure(branch, lambda key: (source.branch for source in session.repos.sources(key)))


def subvenance(session: Session, branch: int) -> dict[int, BranchRow]:
    """All branches that stand on this one, by key."""
    return _closure(branch, lambda key: (source.branch for source in session.repos.dependants(key)))


def related(session: Session, branch: int) -> list[BranchRow]:
    """Every branch of the graph this one is part of, itself included."""

    def neighbours(key: int) -> Iterable[BranchRow]:
        repos = session.repos
        return [*(source.branch for source in repos.sources(key)), *(source.branch for source in repos.dependants(key))]

    found = _closure(branch, neighbours)
    found.setdefault(branch, session.repos.branch_at(branch))
    return list(found.values())


def commit_provenance(session: Session, commit: int) -> dict[int, CommitRow]:
    """All commits this one stands on, by key."""
    return _closure(commit, session.commits.sources)


def commit_subvenance(session: Session, commit: int) -> dict[int, CommitRow]:
    """All commits that stand on this one, by key."""
    return _closure(commit, session.commits.dependants)


def _closure(start: int, neighbours: Callable[[int], Iterable[_Row]]) -> dict[int, _Row]:
    found: dict[int, _Row] = {}
    waiting = [start]
    while waiting:
        for row in neighbours(waiting.pop()):
            if row.key not in found:
                found[row.key] = row
                waiting.append(row.key)
    return found
