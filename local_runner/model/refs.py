"""References to repos, branches, commits and files, and the text that is typed for them.

A *ref* is exact (a commit has its id); a *query* is what was typed and the store has to look up
(`data@master^2`, `data@master=<id>:/a`). Both are parsed here and nowhere else (reference pfs 1.1, 1.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from local_runner.errors import Invalid
from local_runner.model.names import DEFAULT_PROJECT, check_text, clean_path, is_id

USER, META, SPEC = "user", "meta", "spec"
FILE_SETS = "__filesets__"  # the repo whose commits are file sets, for those who read


class RepoRef(NamedTuple):
    """A repo. `type` is "user" (data and pipeline output), "meta" (bookkeeping of datums) or "spec" (pipeline versions)."""

    project: str
    name: str
    type: str = USER

    def __str__(self) -> str:
        return f"{self.project}/{self.name}" + ("" if self.type == USER else f".{self.type}")


class BranchRef(NamedTuple):
    """A branch of a repo."""

    repo: RepoRef
    name: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"


class CommitRef(NamedTuple):
    """A commit: in a repo there is at most one for each commit set, whose id it shares."""

    repo: RepoRef
    id: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"


class PipelineRef(NamedTuple):
    """A pipeline."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"

    @property
    def repo(self) -> RepoRef:
        return RepoRef(self.project, self.name)


class JobRef(NamedTuple):
    """A job of a pipeline; its id is that of the commit set that caused it, and of its output commit."""

    pipeline: PipelineRef
    id: str

    def __str__(self) -> str:
        return f"{self.pipeline}@{self.id}"


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The suffix of a commit: `.n` counts from the root of the branch, `^n` and `~n` go back n parents."""

    from_root: int | None = None
    back: int = 0


@dataclass(frozen=True, slots=True)
class CommitQuery:
    """A commit as typed: branch or id (one may be empty), and how far to go back from there."""

    repo: RepoRef
    branch: str = ""
    id: str = ""
    ancestry: Ancestry = Ancestry()

    def __str__(self) -> str:
        suffix = "" if self.ancestry.from_root is None else f".{self.ancestry.from_root}"
        suffix += f"^{self.ancestry.back}" if self.ancestry.back else ""
        return f"{self.repo}@{self.id or self.branch}{suffix}"


@dataclass(frozen=True, slots=True)
class FileQuery:
    """A file or folder as typed, in a commit as typed. `path` keeps a trailing slash, as `delete file` minds it."""

    commit: CommitQuery
    path: str = "/"

    @property
    def whereabouts(self) -> str:
        """The commit as error messages name it: as typed, or only the repo if an id was typed, as on a cluster."""
        return str(self.commit if self.commit.branch else self.commit.repo)


_BACK = re.compile(r"(?:\^+|\^\d+|~+|~\d+)?", re.ASCII)
_MOST_DIGITS, _SHOWN = 18, 60
_SUFFIX = re.compile(r"(?P<name>[^.^~]*)(?:\.(?P<root>-?\d+))?(?P<back>[\^~].*)?", re.ASCII)


def parse_repo(text: str, project: str = DEFAULT_PROJECT) -> RepoRef:
    """A repo from `name`, `name.meta` or `project/name`; `project` is taken where the text names none. Raises `Invalid`."""
    head, slash, name = check_text(text).rpartition("/")
    if slash:
        project = head
    name, dot, kind = name.partition(".")
    if dot and kind not in (USER, META, SPEC):
        raise Invalid(f"invalid repo type: {kind}" if kind else f"invalid repo name: {text}")
    if not name:
        raise Invalid("repo name cannot be empty")
    return RepoRef(project, name, kind or USER)


def parse_branch(text: str, project: str = DEFAULT_PROJECT) -> BranchRef:
    """A branch from `repo@branch`. Raises `Invalid`."""
    repo, at, branch = check_text(text).partition("@")
    if not at or not branch:
        raise Invalid(f'invalid format "{text}": expected a repo and a branch as repo@branch', hint="as in images@master")
    return BranchRef(parse_repo(repo, project), branch)


def parse_ancestry(text: str) -> tuple[str, Ancestry]:
    """Cuts `master^2`, `master.3~` or an id with a suffix into its name and how far to go back. Raises `Invalid`."""
    found = _SUFFIX.fullmatch(check_text(text))
    back = (found["back"] or "") if found else ""
    if not found or not _BACK.fullmatch(back):
        raise Invalid(f'invalid ancestry syntax "{text}"', hint="write it as in master^2 or master.1")
    root = _count(found["root"].removeprefix("-"), text) if found["root"] is not None else None
    if root is not None and found["root"].startswith("-"):
        raise Invalid(f'invalid ancestry syntax "{text}", commits are counted from 1')
    steps = _count(back[1:], text) if back[1:].isdigit() else len(back)
    return found["name"], Ancestry(root, steps)


def _count(digits: str, text: str) -> int:
    """Raises `Invalid` for a number so long that no cluster counts so far."""
    if len(digits) > _MOST_DIGITS:
        raise Invalid(f'invalid ancestry syntax "{text[:_SHOWN]}…", no branch has so many commits')
    return int(digits)


def parse_commit(text: str, project: str = DEFAULT_PROJECT) -> CommitQuery:
    """A commit from `repo`, `repo@branch-or-id` with an ancestry suffix, or `repo@branch=id`. Raises `Invalid`."""
    repo_text, _, rest = text.partition("@")
    repo = parse_repo(repo_text, project)
    branch, equals, identity = check_text(rest).partition("=")
    if not equals:
        name, ancestry = parse_ancestry(rest)
        return CommitQuery(repo, "", name, ancestry) if is_id(name) else CommitQuery(repo, name, "", ancestry)
    name, ancestry = parse_ancestry(identity)
    return CommitQuery(repo, branch, name, ancestry)


def parse_file(text: str, project: str = DEFAULT_PROJECT) -> FileQuery:
    """A file from `repo@commit:/path`; without a path it is the root. Raises `Invalid`."""
    commit, colon, path = check_text(text).partition(":")
    cleaned = clean_path(path) if colon else "/"
    if path.endswith("/") and cleaned != "/":
        cleaned += "/"
    return FileQuery(parse_commit(commit, project), cleaned)
