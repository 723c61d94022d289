"""The input expression of a pipeline, as it stands after defaulting (reference pps 1.1, 1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.refs import USER, BranchRef, RepoRef
from local_runner.model.repos import Trigger


@dataclass(frozen=True, slots=True)
class Pfs:
    """Files of a branch, chosen by a glob; each match is a datum."""

    repo: str
    name: str
    glob: str
    project: str = DEFAULT_PROJECT
    repo_type: str = USER
    branch: str = "master"
    join_on: str = ""
    outer_join: bool = False
    group_by: str = ""
    lazy: bool = False
    empty_files: bool = False
    s3: bool = False
    reference: bool = False
    trigger: Trigger | None = None
    never_propagates: bool = False

    @property
    def source(self) -> BranchRef:
        return BranchRef(RepoRef(self.project, self.repo, self.repo_type), self.branch)


@dataclass(frozen=True, slots=True)
class Cron:
    """Ticks of a clock: files named by their time in a repo of their own. `start` is RFC 3339, "" until it is created."""

    name: str
    repo: str
    spec: str
    project: str = DEFAULT_PROJECT
    overwrite: bool = False
    start: str = ""

    # What a `Pfs` may ask for and a clock does not.
    outer_join: ClassVar[bool] = False
    lazy: ClassVar[bool] = False
    empty_files: ClassVar[bool] = False
    s3: ClassVar[bool] = False
    reference: ClassVar[bool] = False
    trigger: ClassVar[Trigger | None] = None
    never_propagates: ClassVar[bool] = False

    @property
    def branch(self) -> str:
        return "master"

    @property
    def repo_type(self) -> str:
        return USER

    @property
    def source(self) -> BranchRef:
        return BranchRef(RepoRef(self.project, self.repo), self.branch)


@dataclass(frozen=True, slots=True)
class Cross:
    """Every combination of the children's datums."""

    children: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """The set of all the children's datums."""

    children: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Combinations of the children's files whose `join_on` agrees."""

    children: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One datum for all files with the same `group_by`."""

    children: tuple[Input, ...]


Composite = Cross | Union | Join | Group
Input = Pfs | Cron | Composite


def leaves(node: Input | None) -> Iterator[Pfs | Cron]:
    """All pfs and cron inputs of an expression, in order."""
    if isinstance(node, (Pfs, Cron)):
        yield node
    elif node is not None:
        for child in node.children:
            yield from leaves(child)
