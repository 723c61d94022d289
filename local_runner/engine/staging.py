"""The tree a datum sees: its inputs as private copies, an empty `out`, and `.env` (reference pps 3.1, 3.2, 3.6)."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from local_runner.executors.tree import Tree
from local_runner.model.datums import Datum, InputFile
from local_runner.model.file_hash import file_hash
from local_runner.model.inputs import Pfs
from local_runner.model.refs import BranchRef
from local_runner.repos.nodes import Node, files_below
from local_runner.storage.database import Database, Session
from local_runner.storage.objects import Content
from local_runner.storage.trees import Root

_PIPE_BYTES = 64 * 1024
_NOTHING = Content(file_hash(b""), 0, b"")
# Contents of a datum that go to its worker in the message itself, in bytes; what is more is written to files first.
_MOST_INLINE = 1024 * 1024

Roots = Mapping[BranchRef, Root]  # branch -> tree of the commit of it that is read


@dataclass
class Staged:
    """A datum ready to be laid out. `folder` is where its tree will stand, seen from here; `parts` what is kept for it until then.

    `contents` are the regular files by their path in the folder, `stand_ins` what lazy and empty ones stand for, by their path here.
    `wholes` are, by the path here of each lazy or empty input, what lists everything below a folder of its commit.
    Paths here are plain strings: to put Paths together was a tenth of what a batched datum costs the engine.
    """

    tree: Tree
    folder: str
    parts: str
    contents: dict[str, Content] = field(default_factory=dict)
    stand_ins: dict[str, Content] = field(default_factory=dict)
    wholes: dict[str, Callable[[str], Sequence[Node]]] = field(default_factory=dict)
    download_bytes: int = 0
    pipes: list[Pipe] = field(default_factory=list)

    @property
    def out(self) -> str:
        return f"{self.folder}/out"

    def close(self) -> None:
        """Let go of pipes and parts; the tree itself is the worker's."""
        for pipe in self.pipes:
            pipe.close()
        if self.tree.brought:
            shutil.rmtree(self.parts, ignore_errors=True)


def stage(
    database: Database,
    datum: Datum,
    roots: Roots,
    scratch: Path,
    place: str,
    env: Sequence[str],
    *,
    owner: tuple[int, int] | None = None,
    s3_out: bool = False,
) -> Staged:
    """Describe a datum's tree below `<scratch>/<place>`, and make what cannot be described: large files, pipes.

    `env` are the lines of `.env`, `owner` is who all of it is to belong to; with `s3_out` no `/pfs/out` stands for the output folder.
    Raises `OSError` and `Unavailable` for a broken disk or store.
    """
    below = f"{place}/{datum.id}/pfs/{datum.id}"
    staged = Staged(Tree(f".scratch/{below}"), f"{scratch}/{below}", f"{scratch}/{place}-parts-{datum.id}")
    return _Staging(staged, owner).stage(database, datum, roots, env, s3_out)


class _Staging:
    """What has been described of a datum so far."""

    def __init__(self, staged: Staged, owner: tuple[int, int] | None) -> None:
        self._staged = staged
        self._owner = owner
        self._links: dict[str, str] = {}
        self._folders: dict[str, int] = {"out": 0o777}
        self._files: list[tuple[str, bytes]] = []
        self._brought: list[tuple[str, str, bool]] = []
        self._inline = 0

    def stage(self, database: Database, datum: Datum, roots: Roots, env: Sequence[str], s3_out: bool) -> Staged:
        staged, relative = self._staged, self._staged.tree.folder
        self._links = {name: f"{relative}/{name}" for name in ("out", ".env") if name != "out" or not s3_out}
        variables = "".join(f"{line}\n" for line in env).encode()
        self._files.append((".env", variables))
        staged.contents[".env"] = database.files.take(variables)
        with database.read() as session:
            for file in datum.inputs:
                name = file.source.name
                self._links[name] = f"{relative}/{name}"
                self._folders.setdefault(name, 0o700)
                if isinstance(file.source, Pfs) and (file.source.lazy or file.source.empty_files):
                    staged.wholes[f"{staged.folder}/{name}"] = partial(_below, database, roots[file.source.source])
                for path, content, size in files_of(session, file, roots):
                    self._add(session, file, name + path, Content(content, size))
        staged.tree = Tree(relative, self._links, list(self._folders.items()), self._files, self._brought)
        for pipe in staged.pipes:
            pipe.start(database)
        return staged

    def _add(self, session: Session, file: InputFile, path: str, content: Content) -> None:
        source, staged = file.source, self._staged
        lazy = isinstance(source, Pfs) and source.lazy
        empty = isinstance(source, Pfs) and source.empty_files
        here = f"{staged.folder}/{path}"
        if path in staged.contents or here in staged.stand_ins:
            return  # a group may hold one file twice
        self._make_room(path.rpartition("/")[0], 0o700 if lazy or empty else 0o777)
        if lazy or empty:
            staged.stand_ins[here] = content
        if lazy:
            # A second name, out of reach: user code may move the first one away or remove it.
            pipe = self._part(path, keeps_name=True)
            os.mkfifo(pipe, 0o666)
            staged.pipes.append(Pipe(pipe, content.name))
            self._give(pipe)
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
        else:
            part = self._part(path, keeps_name=False)
            session.objects.place(content.name, part)
            self._give(part)

    def _make_room(self, folder: str, mode: int) -> None:
        if folder not in self._folders:
            self._make_room(folder.rpartition("/")[0], mode)
            self._folders[folder] = mode

    def _part(self, path: str, *, keeps_name: bool) -> str:
        """Where to make a file or pipe that is to be brought to a path."""
        parts = self._staged.parts
        if not self._brought:
            os.makedirs(parts)
            self._give(parts)
        name = str(len(self._brought))
        self._brought.append((path, f".scratch/{os.path.basename(parts)}/{name}", keeps_name))
        return f"{parts}/{name}"

    def _give(self, path: str) -> None:
        if self._owner:
            os.chown(path, *self._owner)


def files_of(session: Session, file: InputFile, roots: Roots) -> Iterator[tuple[str, bytes, int]]:
    """(path, hash, size) of everything an input file stands for."""
    if isinstance(file.source, Pfs) and file.source.s3:
        return
    if not file.path.endswith("/"):
        yield file.path, file.hash, file.size
        return
    for node in files_below(session.trees, roots[file.source.source], file.path):
        yield node.path, node.hash, node.size


def _below(database: Database, root: Root, folder: str) -> Sequence[Node]:
    with database.read() as session:
        return list(files_below(session.trees, root, folder))


class Pipe:
    """A lazy file: whoever opens it reads the content, once."""

    def __init__(self, path: str, content: bytes) -> None:
        self._path = path
        self._content = content
        self.read_bytes = 0
        self._given_up = False
        self._thread: threading.Thread | None = None

    def start(self, database: Database) -> None:
        """Wait for a reader, in a thread of its own."""
        self._thread = threading.Thread(target=self._serve, args=(database,), name=f"lazy {self._path}", daemon=True)
        self._thread.start()

    def _serve(self, database: Database) -> None:
        descriptor = os.open(self._path, os.O_WRONLY)  # blocks until somebody reads
        try:
            if self._given_up:
                return
            with database.read() as session:
                for block in session.objects.read(self._content):
                    view = memoryview(block)
                    while view and not self._given_up:
                        written = os.write(descriptor, view)
                        self.read_bytes += written
                        view = view[written:]
        except BrokenPipeError:
            pass  # the reader had enough
        finally:
            os.close(descriptor)
            database.close_thread()

    def close(self) -> None:
        """Let go of a pipe, whether anybody opened it or not."""
        self._given_up = True
        # Its writer may be anywhere: about to open it, waiting for a reader, or in the middle of a write.
        reader = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        while self._thread and self._thread.is_alive():
            with contextlib.suppress(BlockingIOError):
                os.read(reader, _PIPE_BYTES)
            self._thread.join(0.001)
        os.close(reader)
        os.unlink(self._path)
