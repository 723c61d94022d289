"""A transaction over the repos: one commit set, which spreads downstream at its end (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from local_runner.errors import LocalRunnerError, Refused
from local_runner.model.refs import META, SPEC, CommitRef, RepoRef
from local_runner.model.repos import ORIGIN_AUTO
from local_runner.repos.provenance import sources_first
from local_runner.storage.database import Session
from local_runner.storage.repo_records import BranchRow, BranchSource


@dataclass
class Transaction:
    """A write under way. `id` names the commit set, `now` is the time of all of it.

    `moved` are keys of branches whose heads changed, `connected` of those that stand on others than before; `opened` keys of commits
    that `propagate` made, `finished` of those that were closed: triggers may fire on them, in sets of their own; `bereft` of unfinished
    ones that lost a commit they stand on. What a later verb removed stays in all of them: keys are never given again. `spout` is the
    spec commit of the pipeline in whose worker this happens.
    """

    session: Session
    id: str
    now: float
    moved: dict[int, None] = field(default_factory=dict)
    opened: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    bereft: dict[int, None] = field(default_factory=dict)
    connected: dict[int, None] = field(default_factory=dict)
    spout: CommitRef | None = None

    def move(self, branch: int, commit: int) -> None:
        """Set the head of a branch, and remember to tell those who stand on it."""
        self.session.repos.set_head(branch, commit)
        self.moved[branch] = None

    def connect(self, branch: int, sources: Sequence[tuple[int, bool]]) -> None:
        """Let a branch stand on others, given as (branch, never) pairs; at the end it is seen whether that may be."""
        self.session.repos.set_sources(branch, sources)
        if sources:
            self.connected[branch] = None


def propagate(txn: Transaction) -> None:
    """Give every branch below a moved one an open commit in this set, if it has none yet.

    Its provenance is, for each source, the commit of this set or else the source's head; its parent is the previous head.
    Raises `LocalRunnerError` if two branches of one repo meet in a graph, as they only can where branches were connected; `Refused` if a
    repo has a commit of this set on another branch.
    """
    session = txn.session
    for branch in txn.connected if txn.connected and session.repos.some_repo_has_two() else ():
        _check_one_branch_per_repo(session, branch)
    graph = session.repos.awakened(txn.moved)
    rows = session.repos.branches_with({*graph, *(source for sources in graph.values() for source in sources)})
    made = {row.repo: row for row in session.commits.of_set(txn.id)}
    for key, sources in sources_first(graph):
        row, found = rows[key], [rows[source] for source in sources]
        if [source.ref.repo.type for source in found] == [SPEC]:  # the output of a spout, whose commits are its own affair
            continue
        if row.repo not in made:
            rows[key] = row._replace(head=open_commit(txn, row, found))
        elif made[row.repo].key != row.head:
            raise second_of_set(txn, row.ref.repo)


def second_of_set(txn: Transaction, repo: RepoRef) -> Refused:
    """The error for a second commit of one set in a repo."""
    text = f"inconsistent dependencies: cannot create commit {repo}@{txn.id}: the transaction has one in this repo already"
    return Refused(text, hint="do one of them in a transaction of its own")


def may_write_output(txn: Transaction, repo: RepoRef, sources: Sequence[BranchSource]) -> bool:
    """Whether this happens in the worker of the present version of the spout whose output the branch of these sources is (pps 4.8)."""
    if txn.spout is None or has_datums(txn.session, repo):
        return False
    heads = [source.branch.head for source in sources if source.branch.ref.repo == repo._replace(type=SPEC)]
    return any(head is not None and txn.session.commits.at(head).ref == txn.spout for head in heads)


def has_datums(session: Session, repo: RepoRef) -> bool:
    """Whether a repo belongs to a pipeline that makes its output of datums: spouts and services have no meta repo."""
    return session.repos.repo(repo._replace(type=META)) is not None


def open_commit(txn: Transaction, branch: BranchRow, sources: Sequence[BranchRow]) -> int:
    """A new open AUTO commit, the first of this set in its repo, at the head of a branch that stands on `sources`; returns its key."""
    commits = txn.session.commits
    key = commits.add(branch.repo, txn.id, branch=branch.ref.name, origin=ORIGIN_AUTO, parent=branch.head, description="", started=txn.now)
    commits.set_sources(key, {source.head for source in sources if source.head is not None})
    txn.session.repos.set_head(branch.key, key)
    txn.opened.append(key)
    return key


def _check_one_branch_per_repo(session: Session, branch: int) -> None:
    twice = session.repos.two_of_one_repo(branch)
    if twice is not None:
        raise LocalRunnerError(
            f'multiple branches from the same repo, "{twice.repo}", cannot participate in a DAG', hint=f"{twice} is one of them"
        )
