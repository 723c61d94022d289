"""Branches: create or change, list, delete; and what may stand on what (reference pfs 1.5, pps 5.9)."""

from __future__ import annotations

from collections.abc import Sequence

from local_runner.errors import BranchNotFound, Invalid, LocalRunnerError, Refused, RepoNotFound
from local_runner.model.names import check_branch
from local_runner.model.refs import BranchRef, CommitQuery, CommitRef
from local_runner.model.repos import ORIGIN_AUTO, BranchInfo, Trigger
from local_runner.model.units import parse_size
from local_runner.repos.commits import check_first_of_set, find_repo, resolve
from local_runner.repos.provenance import provenance, subvenance
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session
from local_runner.storage.repo_records import BranchRow, RepoRow


def create_branch(
    txn: Transaction,
    ref: BranchRef,
    head: CommitQuery | None = None,
    sources: Sequence[BranchRef] = (),
    trigger: Trigger | None = None,
    never: frozenset[BranchRef] = frozenset(),
) -> None:
    """Create a branch, or change its head, provenance or trigger.

    Sources that do not exist are made, with an empty closed commit. A new branch without head, or one whose provenance changed,
    gets an empty commit: open if it stands on something. Raises `LocalRunnerError`.
    """
    session = txn.session
    sources = list(dict.fromkeys(sources))
    if trigger:
        _check_trigger(session, ref, trigger)
        if sources:
            raise Invalid("a branch cannot have both provenance and a trigger")
    for named in (*sources, ref):
        check_branch(named.name)
        if head is None and session.repos.repo(named.repo) is None:
            raise RepoNotFound(named.repo, txn.id)
    repo = _repo(session, ref)
    for source in sources:
        if session.repos.branch(source) is None:
            _empty_head(txn, _add(txn, source), [])
    target = resolve(session, head) if head else None
    if target is not None and target.repo != repo.key:
        raise LocalRunnerError(f"branch and head commit must belong to the same repo: {ref}, {target.ref}")
    row = session.repos.branch(ref)
    old = [source.branch.ref for source in session.repos.sources(row.key)] if row else []
    row = row or _add(txn, ref)
    if ref.repo in [source.repo for source in sources]:
        raise LocalRunnerError(f"repo {ref.repo} cannot be in the provenance of its own branch")
    rows = [found for source in sources if (found := session.repos.branch(source))]
    _check_no_cycle(session, row, rows)
    txn.connect(row.key, [(source.key, source.ref in never) for source in rows])
    if target is not None:
        txn.move(row.key, target.key)
        row = row._replace(head=target.key)
    if row.head is None or (set(old) != set(sources) and sources):
        _empty_head(txn, row, [source.key for source in rows])
    if trigger:
        session.repos.set_trigger(row.key, trigger)


def _untie(names: Sequence[str]) -> str:
    """What to look at before a branch goes that others are tied to; taking away what they need is not advised."""
    others = [name for name in names if not name.partition("@")[0].endswith((".meta", ".spec"))]
    return f"{', '.join(others or names)} would lose what they need: update or delete them first"


def delete_branch(txn: Transaction, ref: BranchRef, *, force: bool = False) -> None:
    """Take a branch away; its commits stay.

    Raises `Refused`, unless it is forced, if others stand on it, or if a trigger ties it to another branch, at whichever end.
    """
    session = txn.session
    row = find_branch(session, ref)
    watchers = [b for b in session.repos.branches(_repo(session, ref).key) if b.trigger and b.trigger.branch == ref.name]
    ties = [
        ("it's in the direct provenance of", [str(dependant.branch.ref) for dependant in session.repos.dependants(row.key)]),
        ("it is triggered by branches", [str(watcher.ref) for watcher in watchers]),
        ("it triggers branches", [f"{ref.repo}@{row.trigger.branch}"] if row.trigger else []),
    ]
    for reason, names in ties:
        if names and not force:
            raise Refused(f'branch "{ref}" cannot be deleted because {reason} [{" ".join(names)}]', hint=_untie(names))
    if row.key in txn.moved:
        raise Refused(f'branch "{ref}" cannot be deleted by the transaction that made it or gave it its head')
    for watcher in watchers:
        session.repos.set_trigger(watcher.key, None)
    session.repos.remove_branch(row.key)


def find_branch(session: Session, ref: BranchRef) -> BranchRow:
    """A branch that must exist. Raises `NotFound`."""
    row = session.repos.branch(ref)
    if row is None:
        find_repo(session, ref.repo, ref.name)
        raise BranchNotFound(ref.name, ref.repo)
    return row


def inspect_branch(session: Session, ref: BranchRef) -> BranchInfo:
    """A branch with its place in the graph. Raises `NotFound`."""
    return branch_info(session, find_branch(session, ref))


def list_branch(session: Session, repo: RepoRow, *, reverse: bool = False) -> list[BranchInfo]:
    """The branches of a repo, newest first."""
    rows = session.repos.branches(repo.key)
    return [branch_info(session, row) for row in (reversed(rows) if reverse else rows)]


def branch_info(session: Session, row: BranchRow) -> BranchInfo:
    """A branch as it is reported."""
    sources = session.repos.sources(row.key)
    head: CommitRef | None = session.commits.at(row.head).ref if row.head is not None else None
    return BranchInfo(
        row.ref,
        head,
        tuple(branch.ref for branch in provenance(session, row.key).values()),
        tuple(source.branch.ref for source in sources),
        tuple(branch.ref for branch in subvenance(session, row.key).values()),
        row.trigger,
        frozenset(source.branch.ref for source in sources if source.never),
        row.created,
        session.metadata.get("branch", row.key),
    )


def _add(txn: Transaction, ref: BranchRef) -> BranchRow:
    check_branch(ref.name)
    return txn.session.repos.add_branch(_repo(txn.session, ref).key, ref, txn.now)


def _repo(session: Session, ref: BranchRef) -> RepoRow:
    row = session.repos.repo(ref.repo)
    if row is None:
        raise RepoNotFound(ref.repo)
    return row


def _empty_head(txn: Transaction, row: BranchRow, sources: list[int]) -> None:
    """A commit without changes at the head of a branch: open if it stands on something, else closed."""
    session = txn.session
    repo = _repo(session, row.ref)
    check_first_of_set(txn, repo)
    key = session.commits.add(repo.key, txn.id, branch=row.ref.name, origin=ORIGIN_AUTO, parent=row.head, description="", started=txn.now)
    if sources:
        heads = (session.repos.branch_at(source).head for source in sources)
        session.commits.set_sources(key, {head for head in heads if head is not None})
        txn.opened.append(key)
    else:
        session.commits.update(key, finishing=txn.now, finished=txn.now)
    txn.move(row.key, key)


def _check_no_cycle(session: Session, branch: BranchRow, sources: Sequence[BranchRow]) -> None:
    for source in sources:
        if session.repos.stands_on(source.key, branch.key):
            names = (f"{b.ref.repo.project}/{b.ref.repo.name}.{b.ref.repo.type}@{b.ref.name}" for b in (source, branch))
            raise LocalRunnerError("cycle detected because {} is already in the subvenance of {}".format(*names))


def _check_trigger(session: Session, ref: BranchRef, trigger: Trigger) -> None:
    from local_runner.model.schedule import parse_schedule  # 5 ms, for the few that have clocks

    if not trigger.branch:
        raise Invalid("triggers must specify a branch to trigger on")
    check_branch(trigger.branch)
    if trigger.rate_limit_spec:
        parse_schedule(trigger.rate_limit_spec)
    if trigger.cron_spec:
        parse_schedule(trigger.cron_spec)
    if trigger.size:
        parse_size(trigger.size)
    if trigger.commits < 0:
        raise Invalid("can't trigger on a negative number of commits")
    watched = trigger.branch
    while True:
        if watched == ref.name:
            raise Invalid("triggers cannot form a loop")
        row = session.repos.branch(BranchRef(ref.repo, watched))
        if row is None:
            missing = f"branch={ref.repo}@{watched}"
            raise BranchNotFound(watched, f"{ref.repo} (triggers need it: {missing})")
        if row.trigger is None:
            return
        watched = row.trigger.branch
