"""Files in commits: put, copy, delete; list, find, read and compare them (reference pfs 1.6, 1.7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from local_runner.errors import ChangedMeanwhile, Invalid, LocalRunnerError, NotFound, PathNotFound, Refused
from local_runner.model.entries import DEFAULT_TAG, entry_key, entry_value, folder_range, parse_entry
from local_runner.model.globs import compile_glob
from local_runner.model.names import check_path, clean_path
from local_runner.model.refs import Ancestry, BranchRef, CommitQuery, FileQuery
from local_runner.model.repos import FileInfo
from local_runner.repos.commits import check_not_output, content_root, finish_commit, resolve, resolve_readable, start_commit, writable_root
from local_runner.repos.nodes import Node, children, file_at, matching, node_at, walk
from local_runner.repos.nodes import files_below as nodes_below
from local_runner.repos.transaction import Transaction
from local_runner.storage.append import append as append_content
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.objects import Content
from local_runner.storage.trees import Root

# -- changing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """Write a file, over what is there or after it; the files of each tag are apart."""

    path: str
    content: Content
    append: bool = False
    tag: str = DEFAULT_TAG


@dataclass(frozen=True, slots=True)
class Delete:
    """Take away the file of a tag; or, with a trailing slash, a folder."""

    path: str
    tag: str = DEFAULT_TAG


@dataclass(frozen=True, slots=True)
class Copy:
    """Write a file or folder of some commit under another path; nothing if it is not there."""

    source: FileQuery
    path: str
    append: bool = False
    tag: str = DEFAULT_TAG


@dataclass(frozen=True, slots=True)
class Expect:
    """Change nothing at all unless the file of this path has this hash, or with None is not there."""

    path: str
    hash: bytes | None


Change = Put | Delete | Copy | Expect


def check_change(change: Change) -> Change:
    """The change with its path checked. Raises `Invalid`."""
    if isinstance(change, Put):
        return replace(change, path=check_path(change.path))
    if isinstance(change, Delete):
        return replace(change, path=_doomed(change.path))
    if isinstance(change, Expect):
        return replace(change, path=check_path(change.path))
    return replace(change, path=check_path(clean_path(change.path)))


def check_tag(tag: str) -> str:
    """The tag of a file, that of what people put if it is empty. Raises `Invalid`."""
    if not tag.isascii() or not tag.isprintable():
        raise Invalid(f"datum ({ascii(tag)[1:-1]}) invalid: only printable ASCII characters are allowed")
    return tag or DEFAULT_TAG


def _doomed(path: str) -> str:
    """The cleaned path to delete, with its trailing slash; checked as typed, unlike other paths."""
    if not path:
        raise Invalid("path () invalid: only printable ASCII characters are allowed", hint="say which file: REPO@BRANCH:/PATH")
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise Invalid(f"path ({path}) invalid: relative file paths are not allowed")
    cleaned = check_path(clean_path(path))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def modify(txn: Transaction, query: CommitQuery, changes: Sequence[Change], *, as_job: bool = False) -> CommitRow:
    """Apply changes, in order, to an open commit; or make a commit of them on a branch whose head is closed, or that is not there.

    Returns the commit. Raises `Refused` for a finished commit named by its id and, but for `as_job`, for the open output of a job;
    `NotFound`, `Invalid`.
    """
    session = txn.session
    try:
        row: CommitRow | None = resolve(session, query)
    except NotFound:
        if query.id or not query.branch:
            raise
        row = None
    if row is not None and row.is_open:
        if not as_job:
            check_not_output(session, row)
        return _write(txn, row, changes)
    if row is not None and query.id:
        raise Refused(f"commit {row.ref} has already finished", hint="put files on a branch to make a new commit")
    if query.ancestry != Ancestry():
        raise Refused(f"{query} has already finished, if it is there at all", hint="put files on a branch to make a new commit")
    return finish_commit(txn, _write(txn, start_commit(txn, BranchRef(query.repo, query.branch)), changes))


def _write(txn: Transaction, row: CommitRow, changes: Sequence[Change]) -> CommitRow:
    session = txn.session
    root = writable_root(session, row)
    session.commits.update(row.key, tree=apply(session, root, changes), begun=True)
    return session.commits.at(row.key)


def apply(session: Session, root: Root, changes: Sequence[Change]) -> Root:
    """The tree after these changes, made in order; contents that are not stored yet are."""
    session.objects.add(change.content for change in changes if isinstance(change, Put))
    edits: dict[bytes, bytes | None] = {}
    for change in changes:
        if isinstance(change, Put):
            _put(session, root, edits, change, entry_key(change.path, change.tag), (change.content.name, change.content.size))
        elif isinstance(change, Delete):
            if change.path.endswith("/"):
                # What came earlier in this list has to be in the tree before a folder can be taken out of it.
                root, edits = session.trees.edit(root, edits), {}
                doomed = (key for key, _ in session.trees.scan(root, *folder_range(change.path)))
                edits |= {key: None for key in doomed if key.endswith(f"\0{change.tag}".encode())}
            else:
                edits[entry_key(change.path, change.tag)] = None
        elif isinstance(change, Expect):
            found = file_at(session.trees, root, change.path)
            if (found and found.hash) != change.hash:
                raise ChangedMeanwhile(change.path)
        else:
            for path, node in copied(session, change):
                _put(session, root, edits, change, entry_key(path, change.tag), (node.hash, node.size))
    return session.trees.edit(root, edits)


def _put(
    session: Session, root: Root, edits: dict[bytes, bytes | None], change: Put | Copy, key: bytes, content: tuple[bytes, int]
) -> None:
    name, size = content
    if change.append:
        before = edits[key] if key in edits else session.trees.get(root, key)
        if before:
            there = parse_entry(key, before)
            # By content, whatever its history: a cluster may hash pieces apart (DEVIATIONS.md).
            taken = append_content(session.objects, there.hash, name)
            session.objects.add([taken])
            name, size = taken.name, taken.size
    edits[key] = entry_value(name, size)


def copied(session: Session, change: Copy) -> Iterator[tuple[str, Node]]:
    """The files that a copy writes, each with the path it gets."""
    root = content_root(session, resolve_readable(session, change.source.commit))
    source = clean_path(change.source.path)
    stem = source.rstrip("/")
    for node in walk(session.trees, root, source):
        if not node.path.endswith("/"):
            yield clean_path(change.path + node.path[len(stem) :]), node


# -- looking -----------------------------------------------------------------------------------------------------------


def list_file(session: Session, file: FileQuery, after: str = "") -> Iterator[FileInfo]:
    """The direct children of a folder, those after a path, or the file itself; nothing for a missing path."""
    row = resolve_readable(session, file.commit)
    return _infos(row, children(session.trees, content_root(session, row), clean_path(file.path), after))


def walk_file(session: Session, file: FileQuery) -> Iterator[FileInfo]:
    """A file or a folder with everything below. Raises `NotFound`, but for `/` of an empty commit."""
    row = resolve_readable(session, file.commit)
    path = clean_path(file.path)
    nodes = list(walk(session.trees, content_root(session, row), path))
    if not nodes and path != "/":
        raise NotFound(f"commit/{row.ref.id} does not contain item: {path}")
    return _infos(row, nodes)


def glob_file(session: Session, commit: CommitQuery, pattern: str) -> Iterator[FileInfo]:
    """Files and folders that a pattern matches. Raises `Invalid` for a pattern that does not compile."""
    row = resolve_readable(session, commit)
    return _infos(row, matching(session.trees, content_root(session, row), compile_glob(pattern)))


def inspect_file(session: Session, file: FileQuery) -> FileInfo:
    """One file or folder. Raises `NotFound`."""
    return _info(*find_node(session, file))


def find_node(session: Session, file: FileQuery) -> tuple[CommitRow, Node]:
    """A file or folder, and the commit that is meant. Raises `NotFound`."""
    row, path = resolve_readable(session, file.commit), clean_path(file.path)
    node = node_at(session.trees, content_root(session, row), path)
    if node is None:
        raise PathNotFound(path, file.whereabouts, *row.ref)
    return row, node


def find_content(session: Session, file: FileQuery) -> FileInfo:
    """The one regular file that a path, taken as a pattern, matches. Raises `NotFound`, or `Invalid` for folders and several."""
    row = resolve_readable(session, file.commit)
    root = content_root(session, row)
    plain = file_at(session.trees, root, clean_path(file.path))
    found = [plain] if plain else list(matching(session.trees, root, compile_glob(file.path)))
    if not found:
        raise PathNotFound(file.path, file.whereabouts, *row.ref)
    if len(found) > 1:
        raise Invalid(f"matched multiple files: {file.path}", hint="Try again with the -r flag")
    if found[0].path.endswith("/"):
        raise Invalid(f"cannot get directory or non-regular file: {file.path}", hint="Try again with the -r flag")
    return _info(row, found[0])


def find_contents(session: Session, file: FileQuery) -> Iterator[FileInfo]:
    """All that a path, taken as a pattern, matches, folders with everything below. Raises `NotFound` if that is nothing."""
    row = resolve_readable(session, file.commit)
    root = content_root(session, row)
    seen: set[str] = set()
    for match in list(matching(session.trees, root, compile_glob(file.path))):
        for node in walk(session.trees, root, match.path.rstrip("/") or "/"):
            if node.path not in seen:
                seen.add(node.path)
                yield _info(row, node)
    if not seen:
        raise PathNotFound(file.path, file.whereabouts, *row.ref)


def files_below(session: Session, file: FileQuery) -> Iterator[FileInfo]:
    """The files below a folder, in path order; or the one at the path. Raises `NotFound`."""
    row, path = resolve_readable(session, file.commit), clean_path(file.path)
    root = content_root(session, row)
    single = file_at(session.trees, root, path)
    found = iter((single,)) if single else nodes_below(session.trees, root, path)
    first = next(found, None)
    if first is None:
        raise PathNotFound(path, file.whereabouts, *row.ref)
    return _infos(row, chain((first,), found))


def diff_file(session: Session, new: FileQuery, old: FileQuery | None) -> Iterator[tuple[FileInfo | None, FileInfo | None]]:
    """Files and folders whose hashes differ, in path order, as (new, old); the old default to the same path in the parent commit."""
    row = resolve_readable(session, new.commit)
    path = clean_path(new.path)
    if old is not None:
        before: CommitRow | None = resolve_readable(session, old.commit)
        old_path = clean_path(old.path)
    else:
        before = session.commits.at(row.parent) if row.parent is not None else None
        old_path = path
    ours = {node.path: node for node in walk(session.trees, content_root(session, row), path)}
    theirs = {n.path: n for n in walk(session.trees, content_root(session, before), old_path)} if before else {}
    for name in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(name), theirs.get(name)
        if left is None or right is None or left.hash != right.hash:
            yield (_info(row, left) if left else None, _info(before, right) if before and right else None)


def find_commit(session: Session, file: FileQuery, limit: int = 0) -> Iterator[tuple[str, CommitRow, int]]:
    """Commits from the given one back in which a path was changed: ("found", commit, searched) …, then one ("last", commit, searched).

    Raises `Unavailable` for an unfinished commit on the way.
    """
    row = resolve(session, file.commit)
    path = clean_path(file.path)
    searched = found = 0
    while True:
        if row.finished is None:
            raise LocalRunnerError(f"commit {row.ref} not finished")
        parent = session.commits.at(row.parent) if row.parent is not None else None
        here = file_at(session.trees, content_root(session, row), path)
        there = file_at(session.trees, content_root(session, parent), path) if parent else None
        searched += 1
        if (here and here.hash) != (there and there.hash):
            found += 1
            yield "found", row, searched
        if parent is None or (limit and found == limit):
            yield "last", row, searched
            return
        row = parent


def file_history(session: Session, file: FileQuery, limit: int) -> Iterator[FileInfo]:
    """The versions of a file in a commit and its ancestors, newest first, once for each content; at most `limit` older ones if >= 0."""
    row: CommitRow | None = resolve(session, file.commit)
    path = clean_path(file.path)
    last, count = None, 0
    while row is not None and (limit < 0 or count <= limit):
        node = node_at(session.trees, content_root(session, row), path)
        parent = session.commits.at(row.parent) if row.parent is not None else None
        older = node_at(session.trees, content_root(session, parent), path) if parent else None
        if node and (older is None or older.hash != node.hash) and node.hash != last:
            yield _info(row, node)
            last, count = node.hash, count + 1
        row = parent


def _infos(row: CommitRow, nodes: Iterator[Node] | Sequence[Node]) -> Iterator[FileInfo]:
    return (_info(row, node) for node in nodes)


def _info(row: CommitRow, node: Node) -> FileInfo:
    return FileInfo(row.ref, node.path, node.hash, node.size, row.finishing, node.tag)
