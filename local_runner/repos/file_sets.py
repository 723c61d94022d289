"""File sets: changes of files that are in no commit yet, kept for some minutes so that they can be read, joined and added to commits.

To those who read, a file set is a commit of the repo `__filesets__` (reference pfs 1.9).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from local_runner.errors import Invalid
from local_runner.model.entries import parse_entry
from local_runner.model.ids import new_id
from local_runner.model.refs import CommitQuery
from local_runner.model.repos import FileSet, PathRange
from local_runner.repos.commits import base_root, content_root, find_file_set, resolve
from local_runner.repos.files import Change, Copy, Delete, Expect, Put, apply, copied
from local_runner.storage.database import Session
from local_runner.storage.file_set_records import FileSetRow, Layer, layers
from local_runner.storage.objects import Content

DEFAULT_SECONDS, MOST_SECONDS = 600.0, 1800.0
_SHARD_FILES, _SHARD_BYTES = 1_000_000, 1_000_000_000


def create_file_set(session: Session, changes: Sequence[Change]) -> FileSet:
    """Keep changes without making them. Raises `Invalid` for one that expects something of a commit, `NotFound` for a source of a copy."""
    deleted: dict[tuple[str, str], None] = {}
    for change in changes:
        if isinstance(change, Expect):
            raise Invalid("a file set expects nothing of the commit it is added to")
        if isinstance(change, Delete) or (isinstance(change, Put) and not change.append):
            deleted[change.path, change.tag] = None
        elif isinstance(change, Copy) and not change.append:
            deleted.update(dict.fromkeys((path, change.tag) for path, _ in copied(session, change)))
    return _keep(session, (Layer(tuple(deleted), apply(session, None, changes)),), DEFAULT_SECONDS)


def file_set_of(session: Session, query: CommitQuery, *, only_changes: bool = False) -> FileSet:
    """The files of a commit, or with `only_changes` how they differ from those it builds on. Raises `NotFound`, `Unavailable`."""
    row = resolve(session, query)
    root = content_root(session, row)
    if not only_changes:
        return _keep(session, (Layer((), root),), DEFAULT_SECONDS)
    deleted, added = [], []
    for key, old, new in session.trees.diff(base_root(session, row), root):
        if old is not None:
            entry = parse_entry(key, old)
            deleted.append((entry.path, entry.tag))
        if new is not None:
            added.append((key, new))
    return _keep(session, (Layer(tuple(deleted), session.trees.build(added)),), DEFAULT_SECONDS)


def compose_file_set(session: Session, ids: Sequence[str], seconds: float) -> FileSet:
    """Several file sets, each laid over those before it, as one. Raises `NotFound`, and `Invalid` for a time that may not be."""
    found = layers([find_file_set(session, id) for id in ids])
    return _keep(session, found, _checked(seconds) if seconds else DEFAULT_SECONDS)


def renew_file_set(session: Session, id: str, seconds: float) -> None:
    """Keep a file set for so long from now on. Raises `NotFound`, and `Invalid` for a time that may not be."""
    row = find_file_set(session, id)
    now = session.clock()
    session.file_sets.put(row._replace(expires=now + _checked(seconds)), now)


def shard_file_set(session: Session, id: str, files: int = 0, size: int = 0) -> Iterator[PathRange]:
    """Ranges of paths that hold about so many files, or so many bytes, each; together they hold every path. 0 stands for the usual."""
    most_files, most_bytes = files or _SHARD_FILES, size or _SHARD_BYTES
    lower, count, total, last = "", 0, 0, ""
    for key, value in session.trees.scan(find_file_set(session, id).root):
        entry = parse_entry(key, value)
        if entry.path != last and (count >= most_files or total >= most_bytes):
            yield PathRange(lower, entry.path)
            lower, count, total = entry.path, 0, 0
        count, total, last = count + (entry.path != last), total + entry.size, entry.path
    yield PathRange(lower, "")


def changes_of(session: Session, id: str) -> list[Change]:
    """What is to be done to a commit so that it has a file set. Raises `NotFound`."""
    return _changes(session, find_file_set(session, id).layers)


def _changes(session: Session, found: Sequence[Layer]) -> list[Change]:
    changes: list[Change] = []
    for layer in found:
        changes += [Delete(path, tag) for path, tag in layer.deleted]
        for entry in (parse_entry(key, value) for key, value in session.trees.scan(layer.added)):
            changes.append(Put(entry.path, Content(entry.hash, entry.size), append=True, tag=entry.tag))
    return changes


def _keep(session: Session, found: tuple[Layer, ...], seconds: float) -> FileSet:
    root = found[0].added if len(found) == 1 else apply(session, None, _changes(session, found))
    row = FileSetRow(new_id(), session.clock() + seconds, root, found)
    session.file_sets.put(row, session.clock())
    return FileSet(row.id, row.expires)


def _checked(seconds: float) -> float:
    if seconds < 1:
        raise Invalid(f"ttl ({seconds:g}) must be at least one second")
    if seconds > MOST_SECONDS:
        raise Invalid(f"ttl ({seconds:g}s) exceeds max ttl ({MOST_SECONDS:g}s)")
    return seconds
