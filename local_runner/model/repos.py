"""Projects, repos, branches, commits and files, as they are reported (pfs)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_runner.model.refs import BranchRef, CommitRef, RepoRef

ORIGIN_USER, ORIGIN_AUTO, ORIGIN_FSCK = "USER", "AUTO", "FSCK"


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a branch moves to a commit of the branch it watches (reference pps 5.9)."""

    branch: str
    all: bool = False
    rate_limit_spec: str = ""
    size: str = ""
    commits: int = 0
    cron_spec: str = ""


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    name: str
    description: str
    created: float
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A repo. Sizes are bytes of the newest finished commit on `master`: `inspect_repo` fills `size`, `list_repo` the upper bound."""

    repo: RepoRef
    description: str
    created: float
    size_upper_bound: int
    size: int | None
    branches: tuple[BranchRef, ...]
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A branch with its head and its place in the graph; provenance and subvenance are transitive."""

    branch: BranchRef
    head: CommitRef | None
    provenance: tuple[BranchRef, ...]
    direct_provenance: tuple[BranchRef, ...]
    subvenance: tuple[BranchRef, ...]
    trigger: Trigger | None
    never_propagates: frozenset[BranchRef]
    created: float
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


class CommitState(enum.Enum):
    """How far a commit is; each stage is reached after the one before it (reference pfs 1.3)."""

    STARTED = "STARTED"
    # All that it stands on is finished.
    READY = "READY"
    # It is closed: nothing more is written to it.
    FINISHING = "FINISHING"
    FINISHED = "FINISHED"


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit. Open until `finishing`; times are seconds since the epoch.

    `size` is None until it is finished. An `error` leaves the content readable, but children build on the nearest
    ancestor without one (reference pfs 1.3). `branches` names those on which its children, provenance and subvenance were made.
    """

    commit: CommitRef
    origin: str
    description: str
    branch: str
    parent: CommitRef | None
    children: tuple[CommitRef, ...]
    started: float
    finishing: float | None
    finished: float | None
    direct_provenance: tuple[CommitRef, ...]
    direct_subvenance: tuple[CommitRef, ...]
    error: str
    size_upper_bound: int
    size: int | None
    branches: Mapping[CommitRef, str] = field(default_factory=dict, hash=False)
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class CommitSetInfo:
    """All commits of one change: its own, and those of other sets that they stand on."""

    id: str
    commits: tuple[CommitInfo, ...]


@dataclass(frozen=True, slots=True)
class FileSet:
    """Changes of files that are in no commit yet: `expires` says until when they are kept, in seconds since the epoch."""

    id: str
    expires: float


@dataclass(frozen=True, slots=True)
class PathRange:
    """The paths from `lower` on and below `upper`; an empty `upper` is no bound."""

    lower: str = ""
    upper: str = ""

    def __contains__(self, path: str) -> bool:
        return self.lower <= path and (not self.upper or path < self.upper)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or a folder (path with trailing slash) in a commit. `hash` is Pachyderm's, 32 bytes; `datum` the tag of its writer."""

    commit: CommitRef
    path: str
    hash: bytes
    size: int
    committed: float | None
    datum: str = ""

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")
