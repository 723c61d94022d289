"""One change of the repos: everything in it shares a commit set, and at its end it spreads to what stands on it (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import META, SPEC, CommitRef, RepoRef
from local_runner.model.repos import ORIGIN_AUTO
from local_runner.repos.provenance import provenance, related
from local_runner.storage.database import Session
from local_runner.storage.repo_records import BranchRow, Source


@dataclass
class Transaction:
    """A write under way. `id` names the commit set, `now` is the time of all of it.

    `moved` are keys of branches whose heads changed, `opened` keys of the commits that `propagate` made, `finished` of those that were
    closed: triggers may fire on them, in sets of their own. `spout` is the spec commit of the pipeline in whose worker this happens.
    """

    session: Session
    id: str
    now: float
    moved: dict[int, None] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    spout: CommitRef | None = None

    def move(self, branch: int, commit: int) -> None:
        """Set the head of a branch, and remember to tell those who stand on it."""
        self.session.repos.set_head(branch, commit)
        self.moved[branch] = None


def propagate(txn: Transaction) -> None:
    """Give every branch below a moved one an open commit in this set, if it has none yet.

    Its provenance is, for each source, the commit of this set or else the source's head; its parent is the previous head.
    Raises `LocalRunnerError` if two branches of one repo would meet in a graph.
    """
    repos = txn.session.repos
    for branch in txn.moved:
        _check_one_branch_per_repo(txn.session, branch)
    below = [row for key in txn.moved for row in _awakened(txn.session, key)]
    unique = {row.key: row for row in below}
    depth = {key: len(provenance(txn.session, key)) for key in unique}
    for key in sorted(unique, key=lambda key: depth[key]):
        row = repos.branch_at(key)
        sources = repos.sources(key)
        if _stand_on_spec_alone(sources):  # the output of a spout, whose commits are its own affair
            continue
        open_commit(txn, row, [source.branch.key for source in sources])


def may_write_output(txn: Transaction, repo: RepoRef, sources: Sequence[Source]) -> bool:
    """Whether this happens in the worker of the present version of the spout whose output the branch of these sources is (pps 4.8)."""
    if txn.spout is None or has_datums(txn.session, repo):
        return False
    heads = [source.branch.head for source in sources if source.branch.ref.repo == repo._replace(type=SPEC)]
    return any(head is not None and txn.session.commits.at(head).ref == txn.spout for head in heads)


def has_datums(session: Session, repo: RepoRef) -> bool:
    """Whether a repo belongs to a pipeline that makes its output of datums: spouts and services have no meta repo."""
    return session.repos.repo(repo._replace(type=META)) is not None


def _stand_on_spec_alone(sources: Sequence[Source]) -> bool:
    return [source.branch.ref.repo.type for source in sources] == [SPEC]


def open_commit(txn: Transaction, branch: BranchRow, sources: list[int]) -> None:
    """A new open AUTO commit at the head of a branch that stands on `sources`; nothing if it has one of this set."""
    head = txn.session.commits.at(branch.head) if branch.head is not None else None
    if head is not None and head.ref.id == txn.id:
        return
    repo = txn.session.repos.repo(branch.ref.repo)
    assert repo is not None
    key = txn.session.commits.add(
        repo.key, txn.id, branch=branch.ref.name, origin=ORIGIN_AUTO, parent=branch.head, description="", started=txn.now
    )
    heads = (txn.session.repos.branch_at(source).head for source in sources)
    txn.session.commits.set_sources(key, {head for head in heads if head is not None})
    txn.session.repos.set_head(branch.key, key)
    txn.opened.append(key)


def _awakened(session: Session, branch: int) -> list[BranchRow]:
    """Branches below this one that its changes reach: not through an edge that never propagates."""
    seen: dict[int, BranchRow] = {}
    waiting = [branch]
    while waiting:
        for dependant in session.repos.dependants(waiting.pop()):
            if not dependant.never and dependant.branch.key not in seen:
                seen[dependant.branch.key] = dependant.branch
                waiting.append(dependant.branch.key)
    return list(seen.values())


def _check_one_branch_per_repo(session: Session, branch: int) -> None:
    found: dict[object, BranchRow] = {}
    for row in related(session, branch):
        if row.ref.repo in found and found[row.ref.repo].key != row.key:
            raise LocalRunnerError(
                f'multiple branches from the same repo, "{row.ref.repo}", cannot participate in a DAG', hint=f"{row.ref} is one of them"
            )
        found[row.ref.repo] = row
