"""Transfers what a command left in its datum's folder to the engine, file by file.

The worker's side (`Collector`) runs where user code runs, in the launcher: whatever user code made of its folder, links lead
where they lead for user code, and nothing else can be read. The engine's side (`collected`) opens no path that user code can change.

The launcher imports this file: next to nothing is imported here. Question and answer are plain tuples:

    ("collect", folder, paths, real)   a datum's folder, relative to `/pfs`; what to collect: "out" with all below it, and regular
                                       files; inputs that stand for something the store has (lazy and empty ones)
    ("more",)                          the next answer
    answer: (pieces, whether there are no more); a piece: (path, kind, where, data, whether that ends it). A file that is larger than
    an answer goes on as the first piece of the next one; or the file itself comes with the answer, open, as that of its last piece, and
    data is None. Then the engine reads what lies on its own disk, as fast as that is.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

# Kinds of pieces. `where` of LINKED and FOLDER is where in the datum's folder the link leads, "" if elsewhere.
FILE = "file"  # a regular file
LINKED = "linked"  # content that a link in `out` stands for; not regular if it is a stand-in's
FOLDER = "folder"  # a link to a folder of an input that stands for something the store has: for the engine to fill in
BAD = "bad"  # cannot be collected; `data` says why

_ANSWER_BYTES = 256 * 1024
_ANSWER_PIECES = 256
_HANDED_BYTES = 1024 * 1024  # of a file that is handed over itself, where that can be
_LEADS_NOWHERE = "it is a link that leads nowhere"

Piece = tuple[str, str, str, bytes | None, bool]
Ask = Callable[[tuple[Any, ...]], tuple[Any, int | None]]  # the answer, and the descriptor that came with it


class Collector:
    """Answers the questions of one worker, about one datum at a time. `pfs` is what stands for `/pfs` here.

    With `hands` who asks can be given open files: `handed` is what goes with an answer, good until the next question. Only files
    of the disk the datums are on are handed: of a file system that user code made, a read might never end.
    """

    def __init__(self, pfs: str = "/pfs", *, hands: bool = False) -> None:
        self._pfs = pfs
        self._pieces: Iterator[Piece] = iter(())
        self._proc = _device("/proc")
        self._disk = _device(f"{pfs}/.scratch") if hands else -1
        self.handed: int | None = None

    def answer(self, verb: str, *details: Any) -> tuple[list[Piece], bool]:
        """The answer to ("collect", …) or ("more",); `folder` of the former is where this process finds it."""
        if verb == "collect":
            self._pieces = self._walk(*details)
        self.handed = None
        pieces: list[Piece] = []
        size = 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece[3] or b"")
            if size >= _ANSWER_BYTES or len(pieces) >= _ANSWER_PIECES or not piece[4] or self.handed is not None:
                return pieces, False
        return pieces, True

    def _walk(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Piece]:
        base = os.path.realpath(folder)
        for path in paths:
            if path == "out":
                yield from self._out(base, real)
            else:
                yield from self._regular(f"{base}/{path}", path, FILE)

    def _out(self, base: str, real: Sequence[str]) -> Iterator[Piece]:
        todo = ["out"]
        while todo:
            path = todo.pop()
            try:
                entries = _entries(f"{base}/{path}")
            except OSError as why:
                yield _bad(path, "it is no folder any more" if why.errno in (errno.ENOTDIR, errno.ELOOP) else _words(why))
                continue
            for entry in entries:
                inside = f"{path}/{entry.name}"
                if entry.is_symlink():
                    yield from self._follow(base, inside, real)
                elif entry.is_dir(follow_symlinks=False):
                    todo.append(inside)
                elif entry.is_file(follow_symlinks=False):
                    yield from self._regular(f"{base}/{inside}", inside, FILE)
                elif not stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                    yield _bad(inside, "it is a socket or a device")

    def _follow(self, base: str, path: str, real: Sequence[str]) -> Iterator[Piece]:
        """The files that a link in `out` stands for."""
        try:
            target = self._target(f"{base}/{path}")
            is_folder = os.path.isdir(target)
        except OSError as why:
            yield _bad(path, _LEADS_NOWHERE if why.errno == errno.ENOENT else _words(why))
            return
        where = target[len(base) + 1 :] if target.startswith(f"{base}/") else ""
        if not is_folder:
            yield from self._content(target, path, where, real, _LEADS_NOWHERE)
            return
        if where.partition("/")[0] in real:
            yield path, FOLDER, where, b"", True
            return
        todo = [(target, path)]
        while todo:
            folder, inside = todo.pop()
            try:
                entries = _entries(folder)
            except OSError as why:
                yield _bad(inside, _words(why))
                continue
            for entry in entries:
                here, name = f"{folder}/{entry.name}", f"{inside}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    todo.append((here, name))
                    continue
                complaint = "inside a linked folder, a link has to lead to a file"
                try:
                    here = self._target(here) if entry.is_symlink() else here
                except OSError:
                    yield _bad(name, complaint)
                    continue
                yield from self._content(here, name, here[len(base) + 1 :] if here.startswith(f"{base}/") else "", real, complaint)

    def _target(self, path: str) -> str:
        """The final target of a link. Raises OSError for one that leads nowhere, in a circle, or to `/proc`: there it would be
        about this process.
        """
        if self._pfs != "/pfs" and (named := os.readlink(path)).startswith("/pfs/"):
            path = self._pfs + named.removeprefix("/pfs")  # what user code calls so, where it stands elsewhere
        os.stat(path)
        target = os.path.realpath(path, strict=True)
        if target == "/proc" or target.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return target

    def _content(self, target: str, path: str, where: str, real: Sequence[str], complaint: str) -> Iterator[Piece]:
        if where.partition("/")[0] in real and not stat.S_ISREG(os.lstat(target).st_mode):
            yield path, LINKED, where, b"", True  # a pipe of a lazy input, which user code need not have read
        else:
            yield from self._regular(target, path, LINKED, where, complaint)

    def _regular(self, here: str, path: str, kind: str, where: str = "", complaint: str = "") -> Iterator[Piece]:
        """Open a regular file without following links; a pipe, which would block, is refused."""
        try:
            descriptor = os.open(here, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as why:
            yield _bad(path, _words(why))
            return
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_dev == self._proc:
                if kind == LINKED or not stat.S_ISFIFO(status.st_mode):
                    yield _bad(path, complaint or "it is no file any more")
                return
            if status.st_size >= _HANDED_BYTES and status.st_dev == self._disk:
                self.handed = descriptor
                yield path, kind, where, None, True
                return
            data = os.read(descriptor, _ANSWER_BYTES)
            while len(data) == _ANSWER_BYTES:
                yield path, kind, where, data, False
                data = os.read(descriptor, _ANSWER_BYTES)
            yield path, kind, where, data, True
        except OSError as why:
            yield _bad(path, _words(why))
        finally:
            os.close(descriptor)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder; a link is not followed. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    os.close(descriptor)
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _device(path: str) -> int:
    try:
        return os.stat(path).st_dev
    except OSError:
        return -1


def _bad(path: str, why: str) -> Piece:
    return path, BAD, "", why.encode(errors="replace"), True


def _words(why: OSError) -> str:
    return (why.strerror or str(why)).lower()


# -- the engine's side -------------------------------------------------------------------------------------------------


class Collected(NamedTuple):
    """A file that is handed over. `content` is read at most once, before the next one is asked for.

    `path` is relative to the datum's folder. `linked` ones are what a link in `out` stood for, and `where` then says where in the
    datum's folder that was, if there; `is_folder` says that it was a folder of an input that stands for something the store has.
    `error` says why it cannot be collected.
    """

    path: str
    content: CollectedContent
    linked: bool = False
    where: str = ""
    is_folder: bool = False
    error: str = ""


class CollectedContent:
    """Bytes of a file that come from a worker; read as from an unbuffered file. Raises OSError if reading failed there."""

    def __init__(self, pieces: CollectedPieces, first: Piece) -> None:
        self._pieces = pieces
        self._rest, self._is_last = first[3] or b"", first[4]
        self._file = pieces.take_file() if first[3] is None else None

    @property
    def file(self) -> io.FileIO | None:
        """The file itself, at its beginning, if that is at hand; to be read before the next one is asked for."""
        return self._file

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end; all there are if it is negative."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if self._file:
            return self._file.read(size)
        while not self._rest and not self._is_last:
            path, kind, _, data, self._is_last = self._pieces.next_piece()
            if kind == BAD:
                raise OSError(errno.EIO, (data or b"").decode(), path)
            self._rest = data or b""
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()

    def skip(self) -> None:
        """Pass over what was not read."""
        while self._file is None and self.read(1 << 20):
            pass


class CollectedPieces:
    """The answers to one question, piece by piece."""

    def __init__(self, ask: Ask, question: tuple[Any, ...]) -> None:
        self._ask = ask
        self._answer: list[Piece] = []
        self._file: int | None = None
        self._at, self._is_last = 0, False
        self._take(question)

    def next_piece(self) -> Piece:
        """Raises StopIteration after the last."""
        while self._at == len(self._answer):
            if self._is_last:
                raise StopIteration
            self._take(("more",))
        self._at += 1
        return self._answer[self._at - 1]

    def take_file(self) -> io.FileIO:
        """The file that came with the answer. Raises OSError if it was lost on the way: this process has too many open."""
        if self._file is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        file, self._file = io.FileIO(self._file), None
        return file

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, question: tuple[Any, ...]) -> None:
        self.close()
        (self._answer, self._is_last), self._file = self._ask(question)
        self._at = 0


def collected(ask: Ask, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Collected]:
    """The files at these paths of a datum's folder, in no order; the protocol is at the head of this file."""
    pieces = CollectedPieces(ask, ("collect", folder, list(paths), list(real)))
    try:
        while True:
            try:
                piece = pieces.next_piece()
            except StopIteration:
                return
            path, kind, where, data, _ = piece
            if kind == BAD:
                nothing = CollectedContent(pieces, (path, kind, "", b"", True))
                yield Collected(path, nothing, error=(data or b"").decode())
                continue
            content = CollectedContent(pieces, piece)
            try:
                yield Collected(path, content, kind != FILE, where, kind == FOLDER)
                content.skip()
            finally:
                content.close()
    finally:
        pieces.close()
