"""The tree a datum sees: its inputs as private copies, an empty `out`, and `.env` (reference pps 3.1, 3.2, 3.6)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_runner.model.datums import Datum, InputFile
from local_runner.model.inputs import Pfs
from local_runner.model.refs import BranchRef
from local_runner.repos.nodes import files_below
from local_runner.storage.database import Database, Session
from local_runner.storage.objects import Content
from local_runner.storage.trees import Root

_PIPE_BYTES = 64 * 1024

Roots = Mapping[BranchRef, Root]  # branch -> tree of the commit of it that is read


@dataclass
class Staged:
    """A datum's folder. `folder` lies below the worker's `/pfs`; `links` are what stands in `/pfs` while it is active."""

    folder: Path
    links: Mapping[str, str]
    download_bytes: int = 0
    # Content hashes of input files as they were laid out: what user code leaves alone need not be hashed again.
    given: dict[str, tuple[bytes, int, int]] = field(default_factory=dict)
    # What lazy and empty files stand for, for links to them.
    stand_ins: dict[str, Content] = field(default_factory=dict)
    pipes: list[Pipe] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"


def stage(database: Database, datum: Datum, roots: Roots, pfs: Path, place: str, env: Mapping[str, str], *, s3_out: bool = False) -> Staged:
    """Lay out a datum below `<pfs>/.scratch/<place>`; with `s3_out` no `/pfs/out` stands for its output folder.

    Raises `OSError` and `Unavailable` for a broken disk or store.
    """
    relative = f".scratch/{place}/{datum.id}/pfs/{datum.id}"
    folder = f"{pfs}/{relative}"
    os.makedirs(f"{pfs}/.scratch/{place}", exist_ok=True)
    # One by one and as text: most of what a datum costs that does nothing is spent here, and makedirs asks for each folder first.
    for made_now in (f"{pfs}/.scratch/{place}/{datum.id}", folder.rpartition("/")[0], folder, f"{folder}/out"):
        os.mkdir(made_now)
    links = {name: f"{relative}/{name}" for name in ("out", ".env") if name != "out" or not s3_out}
    staged = Staged(Path(folder), links)
    with open(f"{folder}/.env", "wb", buffering=0) as variables:
        variables.write("".join(f"{key}={value}\n" for key, value in env.items()).encode())
    made: set[str] = set()
    with database.read() as session:
        for file in datum.inputs:
            name = file.source.name
            top = f"{folder}/{name}"
            links[name] = f"{relative}/{name}"
            if top not in made:
                os.mkdir(top, 0o700)
                made.add(top)
            for path, content, size in _files(session, file, roots):
                _lay(session, staged, file, f"{top}{path}", content, size, made)
    for pipe in staged.pipes:
        pipe.start(database)
    return staged


def give_to(folder: Path, owner: tuple[int, int]) -> None:
    """Make a user and group own a folder with all below; links themselves, not what they lead to (reference pps 3.1)."""
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(os.path.join(parent, name), *owner, follow_symlinks=False)


def _files(session: Session, file: InputFile, roots: Roots) -> Iterator[tuple[str, bytes, int]]:
    """(path, hash, size) of everything an input file stands for."""
    if isinstance(file.source, Pfs) and file.source.s3:
        return
    if not file.path.endswith("/"):
        yield file.path, file.hash, file.size
        return
    for node in files_below(session.trees, roots[file.source.source], file.path):
        yield node.path, node.hash, node.size


def _lay(session: Session, staged: Staged, file: InputFile, target: str, content: bytes, size: int, made: set[str]) -> None:
    lazy = isinstance(file.source, Pfs) and file.source.lazy
    empty = isinstance(file.source, Pfs) and file.source.empty_files
    parent = target.rpartition("/")[0]
    if parent not in made:
        os.makedirs(parent, 0o700 if lazy or empty else 0o777, exist_ok=True)
        made.add(parent)
    if os.path.lexists(target):
        return  # a group may hold one file twice
    if lazy or empty:
        staged.stand_ins[os.path.realpath(target)] = Content(content, size)
    if lazy:
        # A second name, out of reach: user code may move the first one away or remove it.
        private = str(staged.folder.parent.parent / f"lazy-{len(staged.pipes)}")
        os.mkfifo(private, 0o666)
        os.link(private, target)
        staged.pipes.append(Pipe(private, content))
        return
    if empty:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o666))
    else:
        session.objects.place(content, target)
        staged.download_bytes += size
        stat = os.stat(target)
        staged.given[target] = (content, stat.st_mtime_ns, stat.st_size)


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
