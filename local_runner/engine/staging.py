"""Stages a datum: describes the tree it sees, with private copies of inputs, an empty `out`, and `.env` (reference pps 3.1, 3.2, 3.6)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from local_runner import beneath
from local_runner.errors import ContentLost, LocalRunnerError
from local_runner.executors.launcher.tree import Tree
from local_runner.model.datums import Datum, InputFile
from local_runner.model.file_hash import file_hash
from local_runner.planning.prepare import Roots
from local_runner.repos.nodes import Node, files_below
from local_runner.storage.database import Database, Session
from local_runner.storage.objects import Content
from local_runner.storage.trees import Root

_PIPE_BYTES = 64 * 1024
_NOTHING = Content(file_hash(b""), 0, b"")
# Contents of a datum that go to its worker in the message itself, in bytes; what is more is written to files first.
_MOST_INLINE = 1024 * 1024


class Scratch(NamedTuple):
    """The folder that is a worker's `.scratch`: a descriptor, opened before any user code could change what is in it, and its path."""

    descriptor: int
    path: Path


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
    pipes: list[Pipe] = field(default_factory=list)

    def unread_in_full(self) -> str:
        """Why a reader of a lazy input did not get all of it, "" if every reader did."""
        return next((f"a lazy input could not be read: {pipe.error}" for pipe in self.pipes if pipe.error), "")

    def close(self) -> None:
        """Let go of pipes and parts; the tree itself is the worker's."""
        for pipe in self.pipes:
            pipe.close()
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
) -> Staged:
    """Describe a datum's tree below `.scratch/<place>`, and make what cannot be described: large files, pipes.

    `env` are the lines of `.env`, `owner` is who all of it is to belong to; with `s3_out` no `/pfs/out` stands for the output folder.
    Raises `OSError` and `Unavailable` for a broken disk or store.
    """
    staged = Staged(Tree(f".scratch/{place}/{datum.id}/pfs/{datum.id}"), Parts(scratch, owner))
    try:
        return _Staging(staged).stage(database, datum, roots, env, s3_out=s3_out)
    except BaseException:
        staged.close()
        raise


class Parts:
    """Files and pipes of a datum before they are laid out, in a folder of their own in the worker's `.scratch`.

    Reached by descriptors only: a process that a datum left may put links in place of whatever is there.
    """

    def __init__(self, scratch: Scratch, owner: tuple[int, int] | None) -> None:
        """`owner` is the user and group that all files get, None to leave them as they are."""
        self._scratch, self._owner = scratch, owner
        self._folder = -1
        self._name = ""
        self.brought: list[tuple[str, str, bool]] = []

    def _new(self, path: str, *, keeps_name: bool) -> tuple[int, str]:
        """A folder and a name in it for what is to be brought to a path. Raises OSError."""
        if self._folder < 0:
            self._name = f"parts-{uuid.uuid4().hex}"
            self._folder = beneath.make_folders(self._scratch.descriptor, self._name)
            self._give(self._folder)
        name = str(len(self.brought))
        self.brought.append((path, f".scratch/{self._name}/{name}", keeps_name))
        return self._folder, name

    def file(self, path: str, write: Callable[[int, str], None]) -> None:
        """A new file that is to be brought to a path; `write` is given a descriptor and the name of it. Raises OSError."""
        folder, name = self._new(path, keeps_name=False)
        descriptor = beneath.create_file(folder, name)
        try:
            self._give(descriptor)
            write(descriptor, f"{self._scratch.path}/{self._name}/{name}")
        finally:
            os.close(descriptor)

    def pipe(self, path: str) -> Pipe:
        """A new pipe that is to be brought to a path, under a second name: user code may remove the first. Raises OSError."""
        folder, name = self._new(path, keeps_name=True)
        os.mkfifo(name, 0o666, dir_fd=folder)
        pipe = Pipe(folder, name)
        if self._owner:
            os.chown(pipe.address, *self._owner)
        return pipe

    def close(self) -> None:
        """Remove what is left of it."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
            with contextlib.suppress(OSError):
                beneath.remove_tree(self._scratch.descriptor, self._name)

    def _give(self, descriptor: int) -> None:
        if self._owner:
            os.fchown(descriptor, *self._owner)


class _Staging:
    """Builds the description of a datum's tree, input by input."""

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self._links: dict[str, str] = {}
        self._folders: dict[str, int] = {"out": 0o777}
        self._files: list[tuple[str, bytes]] = []
        self._inline = 0

    def stage(self, database: Database, datum: Datum, roots: Roots, env: Sequence[str], *, s3_out: bool) -> Staged:
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
                if file.source.lazy or file.source.empty_files:
                    staged.wholes[name] = partial(_below, database, roots[file.source.source])
                for path, content, size in files_of(session, file, roots):
                    try:
                        self._add(session, file, name + path, Content(content, size))
                    except ContentLost as error:
                        raise error.of(f"{file.source.source.repo}@{file.commit}:{path}") from None
        staged.tree = Tree(relative, self._links, list(self._folders.items()), self._files, staged.parts.brought)
        for pipe in staged.pipes:
            pipe.start(database)
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
        if lazy:
            pipe = staged.parts.pipe(path)
            pipe.content = content.name
            staged.pipes.append(pipe)
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


class Pipe:
    """The named pipe of a lazy file, from which its content can be read once; held by a descriptor, as user code may move or remove it."""

    def __init__(self, folder: int, name: str) -> None:
        """Open the named pipe in an open folder. Raises OSError if it is no pipe."""
        # Opening it to read keeps it, whatever becomes of its name, and is no reader to those who wait for one.
        how = os.O_PATH if sys.platform == "linux" else os.O_RDONLY | os.O_NONBLOCK
        self._descriptor = os.open(name, how | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        if not stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise FileNotFoundError(errno.ENOENT, "the pipe of a lazy input is gone", name)
        self.address = f"/proc/self/fd/{self._descriptor}" if sys.platform == "linux" else f"/dev/fd/{self._descriptor}"
        self.content = b""  # the hash of what it gives
        self.read_bytes = 0
        self.error = ""  # why its reader did not get all of it
        self._given_up = False
        self._thread: threading.Thread | None = None

    def start(self, database: Database) -> None:
        """Wait for a reader, in a thread of its own."""
        self._thread = threading.Thread(target=self._serve, args=(database,), name="lazy input", daemon=True)
        self._thread.start()

    def _serve(self, database: Database) -> None:
        descriptor = -1
        try:
            descriptor = os.open(self.address, os.O_WRONLY | os.O_CLOEXEC)  # blocks until the pipe is read
            if self._given_up:
                return
            with database.read() as session:
                for block in session.objects.read(self.content):
                    view = memoryview(block)
                    while view and not self._given_up:
                        written = os.write(descriptor, view)
                        self.read_bytes += written
                        view = view[written:]
        except BrokenPipeError:
            pass  # the reader had enough
        except (LocalRunnerError, OSError) as error:
            self.error = error.message if isinstance(error, LocalRunnerError) else str(error)
        finally:
            if descriptor >= 0:
                os.close(descriptor)
            database.close_thread()

    def close(self) -> None:
        """Close the pipe, whether or not it was opened by a reader; idempotent."""
        if self._descriptor < 0:
            return
        self._given_up = True
        # Its writer may be anywhere: about to open it, waiting for a reader, or in the middle of a write.
        with contextlib.suppress(OSError):
            os.chmod(self.address, 0o600)  # user code may have taken the right to open it
        reader = os.open(self.address, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while self._thread and self._thread.is_alive():
                with contextlib.suppress(BlockingIOError):
                    os.read(reader, _PIPE_BYTES)
                self._thread.join(0.001)
        finally:
            os.close(reader)
            os.close(self._descriptor)
            self._descriptor = -1
