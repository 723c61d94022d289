"""Projects and repos: create, describe, list, delete (reference pfs 1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from local_runner.errors import AlreadyExists, LocalRunnerError, ProjectNotFound, Refused
from local_runner.model.names import DEFAULT_PROJECT, check_name, check_project
from local_runner.model.refs import FILE_SETS, META, SPEC, USER, BranchRef, PipelineRef, RepoRef
from local_runner.model.repos import ProjectInfo, RepoInfo
from local_runner.repos.branches import delete_branch
from local_runner.repos.commits import find_repo, was_given_up
from local_runner.repos.provenance import sources_first
from local_runner.repos.transaction import Transaction
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.repo_records import RepoRow

CURRENT_PROJECT = "current project"  # a setting: the project of names that mention none


def create_project(txn: Transaction, name: str, description: str = "", *, update: bool = False) -> None:
    """An update changes the description. Raises `AlreadyExists`, or for an update `NotFound`: unlike that of a repo it makes none."""
    check_project(name)
    if update:
        inspect_project(txn.session, name)
        txn.session.repos.describe_project(name, description)
    elif txn.session.repos.project(name) is None:
        txn.session.repos.add_project(ProjectInfo(name, description, txn.now))
    else:
        raise AlreadyExists(f'project "{name}"')


def inspect_project(session: Session, name: str) -> ProjectInfo:
    """Raises `NotFound`."""
    info = session.repos.project(name)
    if info is None:
        raise ProjectNotFound(name)
    return replace(info, metadata=session.metadata.get("project", name))


def list_project(session: Session) -> list[ProjectInfo]:
    """All, the oldest first."""
    return [replace(info, metadata=session.metadata.get("project", info.name)) for info in session.repos.projects()]


def delete_project(txn: Transaction, name: str, *, force: bool = False) -> None:
    """Raises `Refused` while repos remain, unless it is forced, which takes them along, and the pipelines with their jobs."""
    inspect_project(txn.session, name)
    remaining = txn.session.repos.repos([name])
    if remaining and not force:
        names = "; ".join(f"repo {row.ref} still exists" for row in remaining)
        raise Refused(f"cannot delete project {name}: {names}", hint="delete its pipelines and repos first, or use --force")
    for pipeline in txn.session.pipelines.of_project(name):
        txn.session.pipelines.remove_pipeline(pipeline)
    remove_repos(txn, remaining, force=True)
    txn.session.repos.remove_project(name)
    if name == DEFAULT_PROJECT:
        txn.session.repos.add_project(ProjectInfo(DEFAULT_PROJECT, "", txn.now))


def create_repo(txn: Transaction, ref: RepoRef, description: str = "", *, update: bool = False) -> RepoRow:
    """Raises `AlreadyExists` unless it is an update, which makes it if need be and else changes the description."""
    check_name(ref.name)
    inspect_project(txn.session, ref.project)
    if ref.name == FILE_SETS:
        raise Refused(f"{ref.name} is a reserved name")
    existing = txn.session.repos.repo(ref)
    if existing is None:
        if ref.type != USER:
            find_repo(txn.session, ref._replace(type=USER))
        return txn.session.repos.add_repo(ref, description, txn.now)
    if not update:
        raise AlreadyExists(f"repo {ref}")
    txn.session.repos.describe_repo(existing.key, description)
    return existing._replace(description=description)


def delete_repo(txn: Transaction, ref: RepoRef, *, force: bool = False) -> bool:
    """Remove a repo with its commits, and its meta and spec repos with it; False if there was none. Raises `Refused`."""
    session = txn.session
    if session.repos.repo(ref) is None:
        return False
    _check_no_pipeline(session, ref)
    remove_repos(txn, related_repos(session, ref), force=force)
    return True


def delete_repos(txn: Transaction, projects: Sequence[str] | None = None, *, force: bool = False) -> list[RepoRef]:
    """Remove all repos, of some projects if those are named, or none of them. Returns what was removed. Raises `Refused`."""
    rows = txn.session.repos.repos(projects)
    for row in rows:
        _check_no_pipeline(txn.session, row.ref)
    remove_repos(txn, rows, force=force)
    return [row.ref for row in rows]


def _check_no_pipeline(session: Session, ref: RepoRef) -> None:
    if session.pipelines.pipeline(PipelineRef(ref.project, ref.name)):
        raise LocalRunnerError(
            "cannot delete a repo associated with a pipeline - delete the pipeline instead", hint=f"delete pipeline {ref.name}"
        )


def related_repos(session: Session, ref: RepoRef) -> list[RepoRow]:
    """The repo; for a user repo, the meta and spec repos of the same name too."""
    types = (USER, META, SPEC) if ref.type == USER else (ref.type,)
    return [row for type in types if (row := session.repos.repo(ref._replace(type=type)))]


def remove_repos(txn: Transaction, rows: Sequence[RepoRow], *, force: bool) -> None:
    """Remove repos, their branches from the lowest in the graph upward. Raises `Refused` if others stand on one, unless forced."""
    repos = txn.session.repos
    branches = {branch.key: branch for row in rows for branch in repos.branches(row.key)}
    graph = {key: [source.branch.key for source in repos.sources(key)] for key in branches}
    for key, _ in reversed(list(sources_first(graph))):
        delete_branch(txn, branches[key].ref, force=force)
    for row in rows:
        txn.bereft.update(dict.fromkeys(txn.session.commits.unfinished_on(row.key)))
        txn.session.repos.remove_repo(row.key)


def inspect_repo(session: Session, ref: RepoRef) -> RepoInfo:
    """A repo, with its exact size. Raises `NotFound`."""
    return _repo_info(session, find_repo(session, ref), exact=True)


def list_repo(session: Session, projects: Sequence[str] | None = None, kind: str = USER) -> list[RepoInfo]:
    """Sorted by project and name; `kind` "" is all types. A project that does not exist has none."""
    return [_repo_info(session, row, exact=False) for row in session.repos.repos(projects, kind)]


def _repo_info(session: Session, row: RepoRow, *, exact: bool) -> RepoInfo:
    """The size is that of the newest finished commit on master."""
    size = 0
    master = session.repos.branch(BranchRef(row.ref, "master"))
    commit: CommitRow | None = session.commits.at(master.head) if master and master.head is not None else None
    while commit is not None and commit.finished is None:
        commit = session.commits.at(commit.parent) if commit.parent is not None else None
    if commit is not None and not was_given_up(commit):
        size = commit.size
    branches = tuple(branch.ref for branch in reversed(session.repos.branches(row.key)))
    # A cluster fills one of the two, and so do we.
    metadata = session.metadata.get("repo", row.key)
    return RepoInfo(row.ref, row.description, row.created, 0 if exact else size, size if exact else None, branches, metadata)
