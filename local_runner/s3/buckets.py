"""Which buckets there are: the branches of a home, or what one job may see of it; and how their names are written.

A bucket of a home is called `[commit.][branch.]repo[.project]`: without branch it is `master`, without project `default`, and a project
is named only together with a branch (`s3/driver.go` of Pachyderm 2.12).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from local_runner.errors import NotFound
from local_runner.model.names import DEFAULT_PROJECT, is_id
from local_runner.model.refs import BranchRef, CommitQuery, RepoRef
from local_runner.model.repos import CommitInfo
from local_runner.runner import Runner
from local_runner.s3.errors import S3Error

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,255}")
DEFAULT_BRANCH = "master"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket: the commit it shows, or the branch whose head it shows; and what may be done with it."""

    name: str
    commit: CommitQuery
    readable: bool = True
    writable: bool = True
    has_versions: bool = True
    is_output: bool = False  # of a job that is under way, which alone may write it

    @property
    def branch(self) -> BranchRef:
        return BranchRef(self.commit.repo, self.commit.branch or DEFAULT_BRANCH)


class Buckets(Protocol):
    """The buckets that a gateway serves."""

    can_change: bool  # whether buckets can be made and removed

    def all(self) -> list[tuple[str, float]]:
        """Names and times of creation, sorted."""
        ...

    def find(self, name: str) -> Bucket:
        """Raises `NoSuchBucket`, `InvalidBucketName`."""
        ...


class HomeBuckets:
    """A bucket for every branch of every repo of a home, and for every commit that is asked for."""

    can_change = True

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def all(self) -> list[tuple[str, float]]:
        found = [(bucket_name(branch), info.created) for info in self._runner.list_repo() for branch in info.branches]
        return sorted(found)

    def find(self, name: str) -> Bucket:
        bucket = read_bucket_name(name)
        try:
            if bucket.commit.branch:
                self._runner.inspect_branch(bucket.branch)
            if bucket.commit.id:
                self._runner.inspect_commit(bucket.commit)
        except NotFound:
            raise S3Error("NoSuchBucket") from None
        return bucket


class JobBuckets:
    """What a job sees: an input's commit under the input's name, to be read; and its output under `out`, to be written."""

    can_change = False

    def __init__(self, runner: Runner, buckets: Mapping[str, Bucket]) -> None:
        self._runner, self._buckets = runner, buckets

    def all(self) -> list[tuple[str, float]]:
        return sorted((name, self._runner.inspect_repo(bucket.commit.repo).created) for name, bucket in self._buckets.items())

    def find(self, name: str) -> Bucket:
        if name not in self._buckets:
            raise S3Error("NoSuchBucket")
        return self._buckets[name]


def read_bucket_name(name: str) -> Bucket:
    """The branch or commit that a bucket's name means. Raises `InvalidBucketName`."""
    if not _NAME.fullmatch(name):
        raise S3Error("InvalidBucketName")
    parts = name.split(".")
    commit = parts.pop(0) if is_id(parts[0]) else ""
    if not 1 <= len(parts) <= 3 or "" in parts:
        raise S3Error("InvalidBucketName", f'invalid bucket name "{name}": expected [commit.][branch.]repo[.project]')
    branch = "" if len(parts) == 1 else parts[0]
    repo = RepoRef(parts[2] if len(parts) == 3 else DEFAULT_PROJECT, parts[min(len(parts) - 1, 1)])
    return Bucket(name, CommitQuery(repo, branch or ("" if commit else DEFAULT_BRANCH), commit))


def bucket_name(branch: BranchRef) -> str:
    """The whole name of a branch's bucket."""
    return f"{branch.name}.{branch.repo.name}.{branch.repo.project}"


def commit_of(runner: Runner, bucket: Bucket) -> CommitInfo | None:
    """The commit that a bucket shows; None for a branch without any. Raises `NotFound`."""
    try:
        return runner.inspect_commit(bucket.commit)
    except NotFound:
        if bucket.commit.id or runner.inspect_branch(bucket.branch).head is not None:
            raise
        return None


def exact(commit: CommitInfo) -> CommitQuery:
    """A commit by its id alone."""
    return CommitQuery(commit.commit.repo, id=commit.commit.id)
