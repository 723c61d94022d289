"""Commits: find, start, finish and list them (reference pfs 1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from local_runner.errors import (
    BranchNotFound,
    CommitNotFound,
    Invalid,
    LocalRunnerError,
    NotFound,
    Refused,
    RepoNotFound,
    Unavailable,
)
from local_runner.model.names import check_branch
from local_runner.model.refs import FILE_SETS, META, BranchRef, CommitQuery, CommitRef, PipelineRef, RepoRef
from local_runner.model.repos import ORIGIN_AUTO, ORIGIN_USER, CommitInfo, CommitState
from local_runner.repos.collisions import first_collision
from local_runner.repos.transaction import Transaction, has_datums, may_write_output, second_of_set
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.file_set_records import FileSetRow
from local_runner.storage.repo_records import RepoRow
from local_runner.storage.trees import Root

# -- finding -----------------------------------------------------------------------------------------------------------


def find_repo(session: Session, ref: RepoRef, branch: str = "") -> RepoRow:
    """A repo that must exist; `branch` is what is looked for in it. Raises `NotFound`."""
    row = session.repos.repo(ref)
    if row is None:
        raise RepoNotFound(ref, branch=branch)
    return row


def resolve(session: Session, query: CommitQuery) -> CommitRow:
    """The commit that a query names. Raises `NotFound`, and `Invalid` for an ancestor that does not exist.

    An id of a set in which the repo has no commit of its own names the one that the set stands on (reference pfs 1.3, *alias*).
    """
    if not query.id and not query.branch:
        raise Invalid(
            f"cannot pick commit with no ID or branch: {query.repo}", hint=f"say {query.repo.name}@BRANCH or {query.repo.name}@ID"
        )
    repo = find_repo(session, query.repo, query.branch)
    if query.id:
        row = session.commits.find(repo.key, query.id) or _alias(session, repo, query.id)
        if row is None:
            raise CommitNotFound(f"{query.repo}@{query.id}")
        if query.ancestry.from_root is not None:
            raise Invalid(f"{query.id} names a commit, not a branch", hint="commits are counted from the root of a branch")
    else:
        branch = session.repos.branch(BranchRef(query.repo, query.branch))
        if branch is None:
            raise BranchNotFound(query.branch, query.repo)
        if branch.head is None:
            raise CommitNotFound(str(query))
        row = session.commits.at(branch.head)
    return _ancestor(session, query, row)


def resolve_readable(session: Session, query: CommitQuery) -> CommitRow:
    """As `resolve`, for those who only read: a file set is a finished commit of the repo `__filesets__`. Raises `NotFound`."""
    if query.repo.name != FILE_SETS:
        return resolve(session, query)
    row = find_file_set(session, query.id or query.branch)
    return CommitRow(
        key=0,  # of none
        ref=CommitRef(query.repo, row.id),
        repo=0,
        branch="",
        origin=ORIGIN_AUTO,
        parent=None,
        description="FileSet - Virtual Commit",
        started=0.0,
        finishing=0.0,
        finished=0.0,
        error="",
        unreadable="",
        tree=row.root,
        datum_index=None,
        size=session.trees.totals(row.root).size,
        begun=True,
    )


def find_file_set(session: Session, id: str) -> FileSetRow:
    """A file set whose time is not over. Raises `NotFound`."""
    row = session.file_sets.find(id, session.clock())
    if row is None:
        raise NotFound(f"fileset {id} not found", hint="it is kept for some minutes; renewing it keeps it for longer")
    return row


def _ancestor(session: Session, query: CommitQuery, row: CommitRow) -> CommitRow:
    if query.ancestry.from_root is not None:
        line = [row]
        while line[-1].parent is not None:
            line.append(session.commits.at(line[-1].parent))
        # One beyond the head gives the head, as on a cluster; more is an error.
        if not 0 < query.ancestry.from_root <= len(line) + 1:
            offset = query.ancestry.from_root - 1
            text = f"invalid offset from branch root for head commit: {row.ref}, offset: {offset}, maximum depth: {len(line)}"
            raise LocalRunnerError(text, hint=f"the oldest is {query.branch or query.id}.1, the newest .{len(line)}")
        row = line[-min(query.ancestry.from_root, len(line))]
    from_here = row.ref
    for step in range(query.ancestry.back):
        if row.parent is None:
            offset = query.ancestry.back
            raise LocalRunnerError(
                f"invalid offset for ancestor of commit: {from_here}, offset requested: {offset}, offset traversable: {step}"
            )
        row = session.commits.at(row.parent)
    return row


def _alias(session: Session, repo: RepoRow, commit_id: str) -> CommitRow | None:
    members = [row.key for row in session.commits.of_set(commit_id)]
    return next((row for row in session.commits.provenance(members) if row.repo == repo.key), None)


# -- content -----------------------------------------------------------------------------------------------------------


def base_root(session: Session, row: CommitRow) -> Root:
    """The tree a commit builds on: that of its nearest ancestor without error. Raises `Unavailable` while that one is unfinished."""
    base = session.commits.base(row)
    if base is not None and base.finished is None:
        raise Unavailable(f"base commit {base.ref} for commit {row.ref} unfinished", hint=f"wait commit {base.ref}")
    return base.tree if base else None


def content_root(session: Session, row: CommitRow) -> Root:
    """The tree a reader sees, of an open commit too.

    Raises `LocalRunnerError` if the content is no folder tree, `Unavailable` while what an open commit builds on is unfinished.
    """
    if row.unreadable:
        raise LocalRunnerError(row.unreadable)
    if row.finished is not None:
        return row.tree
    base = base_root(session, row)
    return row.tree if row.begun else base


def writable_root(session: Session, row: CommitRow) -> Root:
    """The tree an open commit is written on; what it builds on may be open itself, and counts as it is now."""
    while not row.begun and row.finished is None and row.parent is not None:
        row = session.commits.at(row.parent)
        while row.error and row.parent is not None:
            row = session.commits.at(row.parent)
    return None if row.error else row.tree


# -- starting and finishing --------------------------------------------------------------------------------------------


def start_commit(txn: Transaction, ref: BranchRef, parent: CommitQuery | None = None, description: str = "") -> CommitRow:
    """An open commit at the head of a branch, which is made if it is not there. Raises `LocalRunnerError`."""
    session = txn.session
    if not ref.name:
        raise Invalid("branch must be specified")
    repo = find_repo(session, ref.repo)
    check_branch(ref.name)
    branch = session.repos.branch(ref)
    above = resolve(session, parent).key if parent else branch.head if branch else None
    if above is not None and session.commits.at(above).is_open:
        raise Refused(f"parent commit {session.commits.at(above).ref} has not been finished", hint="finish commit, or stop job, first")
    sources = session.repos.sources(branch.key) if branch is not None else []
    if sources and not may_write_output(txn, ref.repo, sources):
        raise Refused(f"cannot start a commit on an output branch: {ref}")
    check_first_of_set(txn, repo)
    branch = branch or session.repos.add_branch(repo.key, ref, txn.now)
    key = session.commits.add(repo.key, txn.id, branch=ref.name, origin=ORIGIN_USER, parent=above, description=description, started=txn.now)
    if sources:
        session.commits.set_sources(key, {source.branch.head for source in sources if source.branch.head is not None})
    txn.move(branch.key, key)
    return session.commits.at(key)


def check_first_of_set(txn: Transaction, repo: RepoRow) -> None:
    """Raises `Refused` if the repo has a commit of this set already."""
    if txn.session.commits.find(repo.key, txn.id):
        raise second_of_set(txn, repo.ref)


def finish_commit(txn: Transaction, row: CommitRow, description: str = "", error: str = "", *, force: bool = False) -> CommitRow:
    """Close a commit and check its content; a violation is noted as the commit's error, not raised.

    It is only finishing until the one it builds on is finished. Raises `Refused` if it is closed, or the output of a pipeline that is
    neither spout nor service (unless forced).
    """
    session = txn.session
    if not row.is_open:
        raise Refused(f"commit {row.ref} has already finished")
    if not force and is_output(session, row):
        raise Refused("cannot finish a pipeline output or meta commit, use 'stop job' instead")
    values: dict[str, object] = {"finishing": txn.now} | ({"description": description} if description else {})
    session.commits.update(row.key, **values)
    _complete(txn, row, error)
    return session.commits.at(row.key)


def is_output(session: Session, row: CommitRow) -> bool:
    """Whether a commit is the output, or the bookkeeping, of a pipeline that makes its output of datums."""
    pipeline = session.pipelines.pipeline(PipelineRef(row.ref.repo.project, row.ref.repo.name))
    return pipeline is not None and has_datums(session, row.ref.repo) and bool(session.commits.sources(row.key))


def _complete(txn: Transaction, row: CommitRow, error: str = "") -> None:
    """Finish a closed commit, and those that waited for it, unless its base is unfinished."""
    session = txn.session
    try:
        root = row.tree if row.begun else _base_or_nothing(session, row) if error else base_root(session, row)
    except Unavailable:
        return
    # Paths of a meta repo hold the datum's id, so that they cannot collide.
    checked = not error and row.ref.repo.type != META
    collision = "" if not checked else first_collision(session.trees, _base_or_nothing(session, row), root)
    size = session.trees.totals(root).size
    error = error or collision
    session.commits.update(row.key, finished=txn.now, tree=root, begun=True, size=size, error=error, unreadable=collision)
    txn.finished.append(row.key)
    for child in session.commits.children(row.key):
        if not child.is_open and child.finished is None:
            _complete(txn, child)


def _base_or_nothing(session: Session, row: CommitRow) -> Root:
    """The tree of the nearest ancestor that is finished without error."""
    base = session.commits.base(row, finished=True)
    return base.tree if base else None


def check_not_output(session: Session, row: CommitRow) -> None:
    """Raises `Refused` if a commit is written by a job alone: what others write there would be taken for what its datums wrote."""
    if is_output(session, row):
        raise Refused(
            f"commit {row.ref} is written by a job of pipeline {row.ref.repo.name}", hint="stop job ends it, and closes its commit"
        )


def clear_commit(txn: Transaction, row: CommitRow) -> None:
    """Take back everything written to an open commit. Raises `Refused` for a finished one, and for the output of a job."""
    if not row.is_open:
        raise Refused("cannot clear finished commit")
    check_not_output(txn.session, row)
    txn.session.commits.update(row.key, tree=None, begun=False)


# -- looking -----------------------------------------------------------------------------------------------------------


def commit_info(session: Session, row: CommitRow, *, upper_bound: bool = False) -> CommitInfo:
    """A commit as it is reported; a cluster fills the upper bound of the size in lists only."""
    bound = 0
    if upper_bound:
        try:
            bound = row.size if row.finished is not None else session.trees.totals(content_root(session, row)).size
        except LocalRunnerError:
            bound = 0
    children, sources, dependants = session.commits.children(row.key), session.commits.sources(row.key), session.commits.dependants(row.key)
    return CommitInfo(
        row.ref,
        row.origin,
        row.description,
        row.branch,
        session.commits.at(row.parent).ref if row.parent is not None else None,
        tuple(child.ref for child in children),
        row.started,
        row.finishing,
        row.finished,
        tuple(source.ref for source in sources),
        tuple(dependant.ref for dependant in dependants),
        row.error,
        bound,
        None if row.finished is None else 0 if was_given_up(row) else row.size,
        {near.ref: near.branch for near in (*children, *sources, *dependants) if _has_branch(session, near)},
        session.metadata.get("commits", row.key),
    )


def was_given_up(row: CommitRow) -> bool:
    """Whether a commit was finished with an error, as by a failed job; a cluster shows no size for it."""
    return bool(row.error) and not row.unreadable


def _has_branch(session: Session, row: CommitRow) -> bool:
    """Whether the branch on which it was made is still there; one that was made anew is another."""
    branch = session.repos.branch(BranchRef(row.ref.repo, row.branch))
    return branch is not None and branch.created <= row.started


def list_commit(
    session: Session, repo: RepoRef, to: CommitQuery | None, from_: CommitQuery | None, number: int, *, reverse: bool, origin: str
) -> Iterator[CommitInfo]:
    """Commits of a repo, newest first; with `to`, it and its ancestors down to `from_`, which is left out. Raises `NotFound`, `Invalid`."""
    found = find_repo(session, repo)
    if from_ and not to:
        raise Invalid("cannot use `from` commit without `to` commit")
    stop = resolve(session, from_).key if from_ else None
    rows: Sequence[CommitRow] | Iterator[CommitRow]
    if to is None:
        rows = session.commits.of_repo(found.key)
        rows = list(reversed(rows)) if reverse else rows
    else:
        if reverse:
            raise Invalid("cannot use 'Reverse' while also using 'From' or 'To'")
        rows = _line(session, resolve(session, to), stop)
    chosen = (row for row in rows if not origin or row.origin == origin)
    for count, row in enumerate(chosen):
        if number and count == number:
            return
        yield commit_info(session, row, upper_bound=True)


def list_commits(session: Session, origin: str = "", *, reverse: bool = False) -> Iterator[CommitInfo]:
    """Commits of all repos, newest first."""
    rows = (row for id in session.commits.set_ids() for row in reversed(session.commits.of_set(id)))
    chosen = [row for row in rows if not origin or row.origin == origin]
    return (commit_info(session, row, upper_bound=True) for row in (reversed(chosen) if reverse else chosen))


def has_reached(session: Session, row: CommitRow, state: CommitState) -> bool:
    """Whether a commit is in this state, or further."""
    if state is CommitState.READY:
        return all(source.finished is not None for source in session.commits.provenance([row.key]) if source.key != row.key)
    if state is CommitState.FINISHING:
        return not row.is_open
    return state is CommitState.STARTED or row.finished is not None


def _line(session: Session, row: CommitRow, stop: int | None) -> Iterator[CommitRow]:
    while row.key != stop:
        yield row
        if row.parent is None:
            return
        row = session.commits.at(row.parent)


# -- sets --------------------------------------------------------------------------------------------------------------


def last_key(session: Session, repo: RepoRef, from_: CommitQuery | None, *, only_new: bool) -> int:
    """The key after which the commits come that a subscription tells of. Raises `NotFound`."""
    rows = session.commits.of_repo(find_repo(session, repo).key) if only_new else []
    return rows[0].key if rows else resolve(session, from_).key if from_ else 0


def newer_commits(session: Session, repo: RepoRef, key: int, branch: str = "", origin: str = "") -> tuple[int, list[CommitInfo]]:
    """The commits of a repo that were started after the one with this key, oldest first, and the key of the last; of one branch and of
    one origin, if those are given."""
    rows = session.commits.newer(find_repo(session, repo).key, key)
    chosen = (row for row in rows if branch in ("", row.branch) and origin in ("", row.origin))
    return rows[-1].key if rows else key, [commit_info(session, row) for row in chosen]


# -- removing ----------------------------------------------------------------------------------------------------------
