"""Reads and writes the rows of projects, repos and branches."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from local_runner.model.refs import BranchRef, RepoRef
from local_runner.model.repos import ProjectInfo, Trigger
from local_runner.storage.rows import reads


class RepoRow(NamedTuple):
    key: int
    ref: RepoRef
    description: str
    created: float


class BranchRow(NamedTuple):
    """`head` is the key of a commit."""

    key: int
    ref: BranchRef
    head: int | None
    trigger: Trigger | None
    created: float
    repo: int


class BranchSource(NamedTuple):
    """A branch that another one stands on directly."""

    branch: BranchRow
    never: bool


_REPO = "SELECT key, project, name, type, description, created FROM repo"
_BRANCH = (
    'SELECT b.key, r.project, r.name, r.type, b.name, b.head, b."trigger", b.created, b.repo{} FROM branch b JOIN repo r ON r.key = b.repo'
)


class RepoRecords:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    # -- settings and projects -------------------------------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        found = self._db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM setting WHERE name = ?", (name,))
        else:
            self._db.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def project(self, name: str) -> ProjectInfo | None:
        found = self._db.execute("SELECT name, description, created FROM project WHERE name = ?", (name,)).fetchone()
        return ProjectInfo(*found) if found else None

    def projects(self) -> list[ProjectInfo]:
        """All, the oldest first."""
        return [ProjectInfo(*row) for row in self._db.execute("SELECT name, description, created FROM project ORDER BY created, name")]

    def add_project(self, info: ProjectInfo) -> None:
        self._db.execute("INSERT INTO project VALUES (?, ?, ?, NULL)", (info.name, info.description, info.created))

    def describe_project(self, name: str, description: str) -> None:
        self._db.execute("UPDATE project SET description = ? WHERE name = ?", (description, name))

    def remove_project(self, name: str) -> None:
        self._db.execute("DELETE FROM project WHERE name = ?", (name,))

    def project_defaults(self, name: str) -> str | None:
        found = self._db.execute("SELECT defaults FROM project WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def set_project_defaults(self, name: str, document: str | None) -> None:
        self._db.execute("UPDATE project SET defaults = ? WHERE name = ?", (document, name))

    # -- repos -----------------------------------------------------------------------------------------------------

    def repo(self, ref: RepoRef) -> RepoRow | None:
        found = self._db.execute(f"{_REPO} WHERE project = ? AND name = ? AND type = ?", ref).fetchone()
        return _repo(found) if found else None

    def repos(self, projects: Sequence[str] | None = None, kind: str = "") -> list[RepoRow]:
        """Sorted by project and name, in order of creation where those agree; of these projects and this type, if given."""
        rows = map(_repo, self._db.execute(f"{_REPO} ORDER BY project, name, key"))
        return [row for row in rows if (projects is None or row.ref.project in projects) and kind in ("", row.ref.type)]

    def add_repo(self, ref: RepoRef, description: str, created: float) -> RepoRow:
        cursor = self._db.execute(
            "INSERT INTO repo (project, name, type, description, created) VALUES (?, ?, ?, ?, ?)", (*ref, description, created)
        )
        return RepoRow(cursor.lastrowid or 0, ref, description, created)

    def describe_repo(self, key: int, description: str) -> None:
        self._db.execute("UPDATE repo SET description = ? WHERE key = ?", (description, key))

    def remove_repo(self, key: int) -> None:
        """Remove a repo with its branches and commits."""
        self._db.execute("DELETE FROM repo WHERE key = ?", (key,))

    # -- branches --------------------------------------------------------------------------------------------------

    def branch(self, ref: BranchRef) -> BranchRow | None:
        where = " WHERE r.project = ? AND r.name = ? AND r.type = ? AND b.name = ?"
        found = self._db.execute(_BRANCH.format("") + where, (*ref.repo, ref.name)).fetchone()
        return _branch(found) if found else None

    def branch_at(self, key: int) -> BranchRow:
        return _branch(self._db.execute(_BRANCH.format("") + " WHERE b.key = ?", (key,)).fetchone())

    def branches_with(self, keys: Collection[int]) -> dict[int, BranchRow]:
        """The branches with these keys."""
        query = _BRANCH.format("") + " WHERE b.key IN (SELECT value FROM json_each(?))"
        return {row[0]: _branch(row) for row in self._db.execute(query, (json.dumps(list(keys)),))}

    def branches(self, repo: int | None = None) -> list[BranchRow]:
        """Newest first; of one repo, if given."""
        where, values = (" WHERE b.repo = ?", (repo,)) if repo is not None else ("", ())
        return [_branch(row) for row in self._db.execute(_BRANCH.format("") + where + " ORDER BY b.key DESC", values)]

    def triggered_branches(self) -> list[BranchRow]:
        """The branches with a trigger, newest first."""
        return [_branch(row) for row in self._db.execute(_BRANCH.format("") + ' WHERE b."trigger" IS NOT NULL ORDER BY b.key DESC')]

    def branches_at(self, commit: int) -> list[BranchRow]:
        """The branches whose head is this commit."""
        return [_branch(row) for row in self._db.execute(_BRANCH.format("") + " WHERE b.head = ? ORDER BY b.key", (commit,))]

    def add_branch(self, repo: int, ref: BranchRef, created: float) -> BranchRow:
        cursor = self._db.execute("INSERT INTO branch (repo, name, created) VALUES (?, ?, ?)", (repo, ref.name, created))
        return BranchRow(cursor.lastrowid or 0, ref, None, None, created, repo)

    def remove_branch(self, key: int) -> None:
        self._db.execute("DELETE FROM branch WHERE key = ?", (key,))

    def set_head(self, branch: int, commit: int | None) -> None:
        self._db.execute("UPDATE branch SET head = ? WHERE key = ?", (commit, branch))

    def set_trigger(self, branch: int, trigger: Trigger | None) -> None:
        text = json.dumps(dataclasses.asdict(trigger)) if trigger else None
        self._db.execute('UPDATE branch SET "trigger" = ? WHERE key = ?', (text, branch))

    # -- what branches stand on --------------------------------------------------------------------------------------

    def sources(self, branch: int) -> list[BranchSource]:
        """Direct provenance, in the order it was given."""
        query = _BRANCH.format(", s.never") + " JOIN branch_source s ON s.source = b.key WHERE s.branch = ? ORDER BY s.position"
        return [BranchSource(_branch(row), bool(row[9])) for row in self._db.execute(query, (branch,))]

    def dependants(self, branch: int) -> list[BranchSource]:
        """Branches that stand directly on this one."""
        query = _BRANCH.format(", s.never") + " JOIN branch_source s ON s.branch = b.key WHERE s.source = ? ORDER BY b.key"
        return [BranchSource(_branch(row), bool(row[9])) for row in self._db.execute(query, (branch,))]

    def set_sources(self, branch: int, sources: Iterable[tuple[int, bool]]) -> None:
        """Replace the direct provenance by (branch, never) pairs."""
        self._db.execute("DELETE FROM branch_source WHERE branch = ?", (branch,))
        rows = [(branch, source, int(never), position) for position, (source, never) in enumerate(sources)]
        self._db.executemany("INSERT INTO branch_source VALUES (?, ?, ?, ?)", rows)

    def awakened(self, moved: Collection[int]) -> dict[int, list[int]]:
        """Branches below these that their changes reach, not through an edge that never propagates; each with what it stands on."""
        query = f"""
            WITH RECURSIVE below(key) AS (
              SELECT branch FROM branch_source WHERE source IN ({_marks(moved)}) AND NOT never
              UNION SELECT s.branch FROM below JOIN branch_source s ON s.source = below.key WHERE NOT s.never
            )
            SELECT s.branch, s.source FROM below CROSS JOIN branch_source s ON s.branch = below.key"""
        found: dict[int, list[int]] = {}
        for branch, source in self._db.execute(query, tuple(moved)):
            found.setdefault(branch, []).append(source)
        return found

    def all_sources(self) -> dict[int, list[int]]:
        """Every branch that stands on others, with those."""
        found: dict[int, list[int]] = {}
        for branch, source in self._db.execute("SELECT branch, source FROM branch_source"):
            found.setdefault(branch, []).append(source)
        return found

    def stands_on(self, branch: int, other: int) -> bool:
        """Whether a branch stands on another one, or is it."""
        query = """
            WITH RECURSIVE below(key) AS (
              VALUES (?) UNION SELECT s.branch FROM below JOIN branch_source s ON s.source = below.key
            )
            SELECT 1 FROM below WHERE key = ?"""
        return self._db.execute(query, (other, branch)).fetchone() is not None

    def some_repo_has_two(self) -> bool:
        """Whether any repo has more than one branch: in many homes none has."""
        return self._db.execute("SELECT 1 FROM branch GROUP BY repo HAVING count(*) > 1 LIMIT 1").fetchone() is not None

    def two_of_one_repo(self, branch: int) -> BranchRef | None:
        """One of two branches of one repo in the graph that a branch is part of, by edges of either direction."""
        query = """
            WITH RECURSIVE graph(key) AS (
              VALUES (?)
              UNION SELECT s.source FROM graph JOIN branch_source s ON s.branch = graph.key
              UNION SELECT s.branch FROM graph JOIN branch_source s ON s.source = graph.key
            )
            SELECT max(key) FROM graph JOIN branch USING (key) GROUP BY repo HAVING count(*) > 1 LIMIT 1"""
        found = self._db.execute(query, (branch,)).fetchone()
        return self.branch_at(found[0]).ref if found else None


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _repo(row: tuple[int, str, str, str, str, float]) -> RepoRow:
    return RepoRow(row[0], RepoRef(*row[1:4]), row[4], row[5])


@reads("branch")
def _branch(row: tuple[int, str, str, str, str, int | None, str | None, float, int]) -> BranchRow:
    trigger = Trigger(**json.loads(row[6])) if row[6] else None
    return BranchRow(row[0], BranchRef(RepoRef(*row[1:4]), row[4]), row[5], trigger, row[7], row[8])
