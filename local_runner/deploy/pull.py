"""Pulls commits of a cluster into repos of the same name, in a project of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from local_runner.deploy.cluster import Cluster, RemoteCommit, RemoteFile
from local_runner.errors import Invalid, NotFound, Unavailable, WorkFailed
from local_runner.model.refs import BranchRef, CommitQuery, CommitRef, FileQuery, RepoRef
from local_runner.repos.file_changes import FileChanges
from local_runner.repos.files import Put
from local_runner.runner import Runner

INTO = "cluster"  # a project of their own: an output repo takes no commits of others, and a plain repo in its place would bar the pipeline


@dataclass(frozen=True, slots=True)
class Pulled:
    """The result of a pull: the local branch, its origin in words, and the number of files fetched; None if it was here already."""

    branch: BranchRef
    provenance: str
    fetched: int | None


def pull(runner: Runner, cluster: Cluster, query: CommitQuery, into: str = INTO, say: Callable[[str], None] = lambda text: None) -> Pulled:
    """Make a local branch hold what a commit of the cluster holds, in one commit whose description says where it is from.

    Waits for a commit that is not finished. Only files that differ are fetched; the commit that was pulled last is not pulled again.
    Raises `NotFound`, `WorkFailed` for the commit of a failed job, `Unavailable` if a content does not arrive whole.
    """
    if not query.branch:
        raise Invalid(
            f"{query} names no branch", hint=f"write {query.repo.name}@BRANCH; an older commit of it is {query.repo.name}@BRANCH=ID"
        )
    commit = cluster.head(query)
    if not commit.is_finished:
        say(f"{query} is not finished yet, waiting for it")
        commit = cluster.head(CommitQuery(commit.commit.repo, id=commit.commit.id), wait=True)
    if commit.error:
        hint = "pull an older commit: REPO@BRANCH=ID"
        raise WorkFailed(f"{commit.commit} on {cluster.address} is the commit of something that failed: {commit.error}", hint=hint)
    branch = BranchRef(RepoRef(into, query.repo.name), query.branch)
    provenance = described(cluster.address, commit)
    try:
        head = runner.inspect_commit(CommitQuery(branch.repo, branch.name))
    except NotFound:
        here: dict[str, bytes] = {}
    else:
        if head.description == provenance:
            return Pulled(branch, provenance, None)
        files = runner.walk_file(FileQuery(CommitQuery(branch.repo, id=head.commit.id)))
        here = {file.path: file.hash for file in files if not file.is_folder}
    fetched, there = 0, cluster.files(commit.commit)
    with runner.write_commit(branch, provenance, project_description="what was pulled from clusters") as changes:
        for path in here.keys() - {file.path for file in there}:
            changes.delete(path)
        for file in there:
            if here.get(file.path) != file.hash:
                _fetch(cluster, commit.commit, file, changes)
                fetched += 1
    return Pulled(branch, provenance, fetched)


def described(address: str, commit: RemoteCommit) -> str:
    """The description of a pulled commit, which names its origin."""
    made = f", made from {', '.join(map(str, commit.made_from))}" if commit.made_from else ""
    return f"pulled from {address}: {commit.commit}{made}"


def _fetch(cluster: Cluster, commit: CommitRef, file: RemoteFile, changes: FileChanges) -> None:
    if not file.size:  # nothing is sent for it, which python-pachyderm does not expect
        changes.put(file.path, b"")
        return
    with cluster.open(commit, file.path) as content:
        changes.put(file.path, content)
    came = changes.changes[-1]
    assert isinstance(came, Put)
    size = came.content.size
    # The hash would not do: of a file put together from pieces it can be another for the same content (reference pfs 1.8).
    if size != file.size:
        text = f"{commit}:{file.path}: {size} of {file.size} bytes came from {cluster.address}"
        raise Unavailable(text, hint="the connection broke; pull again")
