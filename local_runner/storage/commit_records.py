"""Reads and writes the rows of commits and their provenance."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator
from typing import Any, NamedTuple

from local_runner.model.refs import CommitRef, RepoRef
from local_runner.storage.rows import damaged_row, reads


class CommitRow(NamedTuple):
    """A commit as it lies in the records; `parent` is the key of another, `tree` the root of its files.

    `datum_index` is, in meta repos, the root of a second tree: what became of each datum (pipelines/datum_index.py). `size` is the
    bytes of the finished content. While it is open, `tree` counts only if it is `begun`; before, its content is that of its base.
    """

    key: int
    ref: CommitRef
    repo: int
    branch: str
    origin: str
    parent: int | None
    description: str
    started: float
    finishing: float | None
    finished: float | None
    error: str
    unreadable: str
    tree: bytes | None
    datum_index: bytes | None
    size: int
    begun: bool

    @property
    def is_open(self) -> bool:
        return self.finishing is None


_COLUMNS = (
    "c.key, r.project, r.name, r.type, c.id, c.repo, c.branch, c.origin, c.parent, c.description, c.started, c.finishing,"
    " c.finished, c.error, c.unreadable, c.tree, c.marks, c.size, c.begun"
)
_COMMIT = f"SELECT {_COLUMNS} FROM commits c JOIN repo r ON r.key = c.repo"
_UPDATABLE = frozenset(
    ("parent", "description", "finishing", "finished", "error", "unreadable", "tree", "datum_index", "size", "begun", "origin")
)
_RENAMED = {"datum_index": "marks"}  # the columns that FORMAT 1 calls otherwise


class CommitRecords:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def at(self, key: int) -> CommitRow:
        """The commit with this key, which must exist."""
        found = self._db.execute(f"{_COMMIT} WHERE c.key = ?", (key,)).fetchone()
        if found is None:
            raise damaged_row(f"commit {key} is not there, though something points to it")
        return _commit(found)

    def get(self, key: int) -> CommitRow | None:
        """The commit with this key, if it is still there."""
        found = self._db.execute(f"{_COMMIT} WHERE c.key = ?", (key,)).fetchone()
        return _commit(found) if found else None

    def those_of(self, keys: Iterable[int]) -> list[CommitRow]:
        """The commits with these keys that still exist, in order of creation."""
        return self._all(f"{_COMMIT} WHERE c.key IN (SELECT value FROM json_each(?)) ORDER BY c.key", json.dumps(list(keys)))

    def base(self, row: CommitRow, *, finished: bool = False) -> CommitRow | None:
        """The nearest ancestor without error; with `finished`, of those that are finished. Passing over a hundred takes 0.1 ms."""
        counts = "c.error = ''" + (" AND c.finished IS NOT NULL" if finished else "")
        found = self._db.execute(
            f"WITH RECURSIVE up(key, parent, counts) AS (SELECT c.key, c.parent, {counts} FROM commits c WHERE c.key = ?"
            f" UNION ALL SELECT c.key, c.parent, {counts} FROM up JOIN commits c ON c.key = up.parent WHERE NOT up.counts)"
            " SELECT key FROM up WHERE counts",
            (row.parent,),
        ).fetchone()
        return self.at(found[0]) if found else None

    def find(self, repo: int, commit_id: str) -> CommitRow | None:
        found = self._db.execute(f"{_COMMIT} WHERE c.repo = ? AND c.id = ?", (repo, commit_id)).fetchone()
        return _commit(found) if found else None

    def of_repo(self, repo: int) -> list[CommitRow]:
        """All of them, newest first."""
        return self._all(f"{_COMMIT} WHERE c.repo = ? ORDER BY c.key DESC", repo)

    def newer(self, repo: int, key: int) -> list[CommitRow]:
        """Those of a repo whose keys are greater, oldest first."""
        return self._all(f"{_COMMIT} WHERE c.repo = ? AND c.key > ? ORDER BY c.key", repo, key)

    def of_set(self, commit_id: str) -> list[CommitRow]:
        """All commits with this id, in order of creation."""
        return self._all(f"{_COMMIT} WHERE c.id = ? ORDER BY c.key", commit_id)

    def set_ids(self) -> list[str]:
        """All commit sets, newest first."""
        return [row[0] for row in self._db.execute("SELECT id FROM commits GROUP BY id ORDER BY max(key) DESC")]

    def children(self, key: int) -> list[CommitRow]:
        return self._all(f"{_COMMIT} WHERE c.parent = ? ORDER BY c.key", key)

    def sources(self, key: int) -> list[CommitRow]:
        """Direct provenance."""
        return self._all(f'{_COMMIT} JOIN commit_source s ON s.source = c.key WHERE s."commit" = ? ORDER BY c.key', key)

    def source_keys(self, key: int) -> list[int]:
        """The keys of the direct provenance."""
        return [row[0] for row in self._db.execute('SELECT source FROM commit_source WHERE "commit" = ? ORDER BY source', (key,))]

    def dependants(self, key: int) -> list[CommitRow]:
        """Direct subvenance."""
        return self._all(f'{_COMMIT} JOIN commit_source s ON s."commit" = c.key WHERE s.source = ? ORDER BY c.key', key)

    def open_among(self, keys: Iterable[int]) -> set[int]:
        """The commits among these that exist and are not finished."""
        wanted = list(keys)
        found: set[int] = set()
        for at in range(0, len(wanted), 500):
            some = wanted[at : at + 500]
            query = f"SELECT key FROM commits WHERE finished IS NULL AND key IN ({', '.join('?' * len(some))})"
            found.update(row[0] for row in self._db.execute(query, some))
        return found

    def unfinished_on(self, repo: int) -> list[int]:
        """The keys of unfinished commits in other repos that stand directly on commits of this one."""
        query = """
            SELECT DISTINCT d.key FROM commits c JOIN commit_source s ON s.source = c.key JOIN commits d ON d.key = s."commit"
            WHERE c.repo = ? AND d.repo != c.repo AND d.finished IS NULL"""
        return [row[0] for row in self._db.execute(query, (repo,))]

    def provenance(self, keys: Collection[int]) -> list[CommitRow]:
        """The transitive provenance of these commits, in order of creation."""
        return self._closure(keys, "source", '"commit"')

    def subvenance(self, keys: Collection[int]) -> list[CommitRow]:
        """The transitive subvenance of these commits, in order of creation."""
        return self._closure(keys, '"commit"', "source")

    def _closure(self, keys: Collection[int], there: str, here: str) -> list[CommitRow]:
        """Along the rows of commit_source, from the column `here` to the column `there`."""
        first = f"SELECT {there} FROM commit_source WHERE {here} IN ({', '.join('?' * len(keys))})"
        step = f"SELECT s.{there} FROM found JOIN commit_source s ON s.{here} = found.key"
        query = f"WITH RECURSIVE found(key) AS ({first} UNION {step}) {_COMMIT} JOIN found ON found.key = c.key ORDER BY c.key"
        return self._all(query, *keys)

    def add(self, repo: int, commit_id: str, *, branch: str, origin: str, parent: int | None, description: str, started: float) -> int:
        """A new open commit without content; returns its key."""
        cursor = self._db.execute(
            "INSERT INTO commits (repo, id, branch, origin, parent, description, started) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (repo, commit_id, branch, origin, parent, description, started),
        )
        return cursor.lastrowid or 0

    def update(self, key: int, **values: object) -> None:
        """Set columns of a commit."""
        assert values.keys() <= _UPDATABLE, values
        assignments = ", ".join(f"{_RENAMED.get(name, name)} = ?" for name in values)
        self._db.execute(f"UPDATE commits SET {assignments} WHERE key = ?", (*values.values(), key))

    def set_sources(self, key: int, sources: Iterable[int]) -> None:
        self._db.execute('DELETE FROM commit_source WHERE "commit" = ?', (key,))
        self._db.executemany("INSERT INTO commit_source VALUES (?, ?)", [(key, source) for source in sources])

    def remove(self, key: int) -> None:
        self._db.execute("DELETE FROM commits WHERE key = ?", (key,))

    def roots(self, without: Container[int] = ()) -> Iterator[bytes]:
        """The roots of all trees that some commit holds, but for those with the keys `without`."""
        for key, tree, datum_index in self._db.execute("SELECT key, tree, marks FROM commits"):
            if key not in without:
                yield from (root for root in (tree, datum_index) if root)

    def _all(self, query: str, *values: object) -> list[CommitRow]:
        return [_commit(row) for row in self._db.execute(query, values)]


@reads("commits")
def _commit(row: tuple[Any, ...]) -> CommitRow:
    """Of the columns in `_COLUMNS`."""
    key, project, name, type, id, repo, branch, origin, parent, description, started, finishing, *rest = row
    finished, error, unreadable, tree, datum_index, size, begun = rest
    return CommitRow(
        key=key,
        ref=CommitRef(RepoRef(project, name, type), id),
        repo=repo,
        branch=branch,
        origin=origin,
        parent=parent,
        description=description,
        started=started,
        finishing=finishing,
        finished=finished,
        error=error,
        unreadable=unreadable,
        tree=tree,
        datum_index=datum_index,
        size=size,
        begun=bool(begun),
    )
