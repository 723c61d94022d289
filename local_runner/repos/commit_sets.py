"""Commit sets: one, or all, each with the commits of other sets that it stands on (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from local_runner.errors import CommitSetNotFound
from local_runner.model.repos import CommitInfo, CommitSetInfo
from local_runner.repos.commits import commit_info
from local_runner.repos.provenance import sources_first
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session

_REMEMBERED = 20_000  # commits, some 40 MB


def commit_set(session: Session, commit_id: str) -> CommitSetInfo:
    """The commits of a set and those of other sets they stand on, sources first. Raises `NotFound` for an empty set."""
    return _Commits(session).of_set(commit_id, session.commits.of_set(commit_id))


def list_commit_set(session: Session, project: str = "") -> Iterator[CommitSetInfo]:
    """All sets, newest first; only those with a commit in the project, if one is given."""
    commits = _Commits(session)
    for commit_id in session.commits.set_ids():
        own = session.commits.of_set(commit_id)
        if not project or any(row.ref.repo.project == project for row in own):
            commits.forget_if_many()
            yield commits.of_set(commit_id, own)


class _Commits:
    """What is known of commits, each read once: in a chain of 300 pipelines every one of 300 sets stands on hundreds of them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sources: dict[int, list[int]] = {}
        self._infos: dict[int, CommitInfo] = {}

    def forget_if_many(self) -> None:
        """Begin anew after so many that remembering them takes room."""
        if len(self._infos) > _REMEMBERED:
            self._sources.clear()
            self._infos.clear()

    def of_set(self, commit_id: str, own: Iterable[CommitRow]) -> CommitSetInfo:
        """The set with these commits. Raises `NotFound` if there are none."""
        rows = {row.key: row for row in own}
        if not rows:
            raise CommitSetNotFound(commit_id)
        keys = dict.fromkeys([*sorted(self._provenance(rows)), *rows])
        graph = {key: self._sources_of(key) for key in keys}
        return CommitSetInfo(commit_id, tuple(self._info(key, rows) for key, _ in sources_first(graph)))

    def _provenance(self, keys: Iterable[int]) -> set[int]:
        """All that these stand on; in it they are themselves only where one of them stands on another."""
        found: set[int] = set()
        waiting = list(keys)
        while waiting:
            new = [source for source in self._sources_of(waiting.pop()) if source not in found]
            found.update(new)
            waiting += new
        return found

    def _sources_of(self, key: int) -> list[int]:
        if key not in self._sources:
            self._sources[key] = self._session.commits.source_keys(key)
        return self._sources[key]

    def _info(self, key: int, rows: dict[int, CommitRow]) -> CommitInfo:
        if key not in self._infos:
            self._infos[key] = commit_info(self._session, rows.get(key) or self._session.commits.at(key))
        return self._infos[key]
