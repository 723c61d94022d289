"""Stages a datum: describes the tree it sees, with private copies of inputs, an empty `out`, and `.env` (reference pps 3.1, 3.2, 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from local_runner.engine.stored_contents import StoredContents
from local_runner.errors import ContentLost
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.parts import Parts, Scratch
from local_runner.model.datums import Datum, InputFile
from local_runner.model.file_hash import file_hash
from local_runner.planning.prepare import Roots
from local_runner.repos.nodes import Node, files_below
from local_runner.storage.database import Database, Session
from local_runner.storage.objects import Content
from local_runner.storage.trees import Root

_NOTHING = Content(file_hash(b""), 0, b"")
# Contents of a datum that go to its worker in the message itself, in bytes; what is more is written to files first.
_MOST_INLINE = 1024 * 1024


@dataclass
class Staged:
    """A datum ready to be laid out. All paths are relative to its folder.

    `contents` are the regular files, `stand_ins` what lazy and empty ones stand for. `wholes` are, by the name of each lazy or empty
    input, what lists everything below a folder of its commit. `parts` holds the large files and the pipes until they are laid out.
    """

    tree: Tree
    parts: Parts
    contents: dict[str, Content] = field(default_factory=dict)
    stand_ins: dict[str, Content] = field(default_factory=dict)
    wholes: dict[str, Callable[[str], Sequence[Node]]] = field(default_factory=dict)
    download_bytes: int = 0

    def unread_in_full(self, elsewhere: str) -> str:
        """Why a reader of a lazy input did not get all of it, "" if every reader did; `elsewhere` is what its worker says."""
        error = elsewhere or next((pipe.error for pipe in self.parts.pipes if pipe.error), "")
        return f"a lazy input could not be read: {error}" if error else ""

    def close(self) -> None:
        """Let go of pipes and parts; the tree itself is the worker's."""
        self.parts.close()


def stage(
    database: Database,
    datum: Datum,
    roots: Roots,
    scratch: Scratch,
    place: str,
    env: Sequence[str],
    *,
    owner: tuple[int, int] | None = None,
    s3_out: bool = False,
    fetches: bool = False,
) -> Staged:
    """Describe a datum's tree below `.scratch/<place>`, and make what cannot be described: large files, pipes.

    `env` are the lines of `.env`, `owner` is who all of it is to belong to; with `s3_out` no `/pfs/out` stands for the output folder.
    For a worker that `fetches`, large files and pipes are named by the hashes of their contents.
    Raises `OSError` and `Unavailable` for a broken disk or store.
    """
    staged = Staged(Tree(f".scratch/{place}/{datum.id}/pfs/{datum.id}"), Parts(scratch, owner))
    try:
        return _Staging(staged, database, fetches=fetches).stage(datum, roots, env, s3_out=s3_out)
    except BaseException:
        staged.close()
        raise


class _Staging:
    """Builds the description of a datum's tree, input by input."""

    def __init__(self, staged: Staged, database: Database, *, fetches: bool) -> None:
        self._staged, self._database, self._fetches = staged, database, fetches
        self._stored: list[tuple[str, bytes, int, bool]] = []
        self._links: dict[str, str] = {}
        self._folders: dict[str, int] = {"out": 0o777}
        self._files: list[tuple[str, bytes]] = []
        self._inline = 0

    def stage(self, datum: Datum, roots: Roots, env: Sequence[str], *, s3_out: bool) -> Staged:
        staged, relative, database = self._staged, self._staged.tree.folder, self._database
        self._links = {name: f"{relative}/{name}" for name in ("out", ".env") if name != "out" or not s3_out}
        variables = "".join(f"{line}\n" for line in env).encode()
        self._files.append((".env", variables))
        staged.contents[".env"] = database.files.take(variables)
        with database.read() as session:
            for file in datum.inputs:
                name = file.source.name
                self._links[name] = f"{relative}/{name}"
                self._folders.setdefault(name, 0o700)
                if file.source.lazy or file.source.empty_files:
                    staged.wholes[name] = partial(_below, database, roots[file.source.source])
                for path, content, size in files_of(session, file, roots):
                    try:
                        self._add(session, file, name + path, Content(content, size))
                    except ContentLost as error:
                        raise error.of(f"{file.source.source.repo}@{file.commit}:{path}") from None
        staged.tree = Tree(relative, self._links, list(self._folders.items()), self._files, staged.parts.brought, self._stored)
        return staged

    def _add(self, session: Session, file: InputFile, path: str, content: Content) -> None:
        source, staged = file.source, self._staged
        lazy = source.lazy
        empty = source.empty_files
        if path in staged.contents or path in staged.stand_ins:
            return  # a group may hold one file twice
        self._make_room(path.rpartition("/")[0], 0o700 if lazy or empty else 0o777)
        if lazy or empty:
            staged.stand_ins[path] = content
        if lazy and self._fetches:
            self._stored.append((path, content.name, content.size, True))
        elif lazy:
            staged.parts.lazy(path, partial(StoredContents(self._database).read, content.name), self._database.close_thread)
        elif empty:
            staged.contents[path] = _NOTHING
            self._files.append((path, b""))
        else:
            staged.contents[path] = content
            staged.download_bytes += content.size
            self._fill(session, path, content)

    def _fill(self, session: Session, path: str, content: Content) -> None:
        inline = session.objects.inline(content.name) if self._inline < _MOST_INLINE else None
        if inline is not None:
            self._inline += len(inline)
            self._files.append((path, inline))
        elif self._fetches:
            self._stored.append((path, content.name, content.size, False))
        else:
            self._staged.parts.file(path, partial(session.objects.copy, content.name))

    def _make_room(self, folder: str, mode: int) -> None:
        if folder not in self._folders:
            self._make_room(folder.rpartition("/")[0], mode)
            self._folders[folder] = mode


def files_of(session: Session, file: InputFile, roots: Roots) -> Iterator[tuple[str, bytes, int]]:
    """(path, hash, size) of an input file, or of all files below an input folder."""
    if file.source.s3:
        return
    if not file.path.endswith("/"):
        yield file.path, file.hash, file.size
        return
    for node in files_below(session.trees, roots[file.source.source], file.path):
        yield node.path, node.hash, node.size


def _below(database: Database, root: Root, folder: str) -> Sequence[Node]:
    with database.read() as session:
        return list(files_below(session.trees, root, folder))
