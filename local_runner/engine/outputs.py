"""What a datum left in `out`, as files to commit (reference pps 3.4, 3.5)."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from local_runner.engine.staging import Staged
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.executors.tree import Left
from local_runner.model.names import check_path
from local_runner.storage.objects import Content

Outside = Callable[[str], Path]  # a path as user code sees it -> where that lies on the host, links followed


class Taker(Protocol):
    """Who reads what was written: `ObjectFiles` keeps it, others may want to know only what it is."""

    def take(self, source: BinaryIO, /) -> Content: ...


class OutputFile(NamedTuple):
    """A file to commit. `linked` ones are content that a link stood for, which is not counted as uploaded."""

    path: str
    content: Content
    linked: bool = False


class BadOutput(LocalRunnerError):
    """Something in `out` cannot be committed; the datum fails with this."""


def collect(files: Taker, staged: Staged, outside: Outside) -> list[OutputFile]:
    """Read everything below `out`: files, and what links stand for; empty folders and named pipes are passed over.

    Raises `BadOutput` for names a repo does not accept, sockets, and links that lead nowhere.
    """
    return sorted(_walk(files, staged, outside, staged.out, ""))


def _walk(files: Taker, staged: Staged, outside: Outside, folder: str, prefix: str) -> Iterator[OutputFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}/{entry.name}"
            if entry.is_symlink():
                yield from _follow(files, staged, outside, path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _walk(files, staged, outside, entry.path, path)
            elif entry.is_file(follow_symlinks=False):
                yield OutputFile(_named(path), _take(files, entry.path))
            elif not stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                raise BadOutput(f"cannot upload {path}: it is a socket or a device", hint="write regular files to /pfs/out")


def _take(files: Taker, path: str) -> Content:
    try:
        # Not through a link that a process which goes on has put there since.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
            return files.take(file)
    except PermissionError:
        raise BadOutput(f"cannot upload {path}: permission denied", hint="leave what is in /pfs/out readable") from None


def _named(path: str) -> str:
    try:
        return check_path(path)
    except Invalid as error:
        raise BadOutput(
            f"cannot upload file produced by the user code because its name cannot be represented in PFS: {error.message}",
            hint="rename it before it goes to /pfs/out",
        ) from None
    except UnicodeEncodeError:
        raise BadOutput(f"cannot upload file produced by the user code because its name is not text: {path!r}") from None


def _follow(files: Taker, staged: Staged, outside: Outside, path: str) -> Iterator[OutputFile]:
    """Regular content in place of a link. Links from `out` to `out` are resolved too, which a cluster refuses (DEVIATIONS.md)."""
    try:
        target = outside(f"/pfs/out{path}")
    except OSError as error:
        raise BadOutput(f"cannot upload {path}: {error.strerror}", hint="write the content to /pfs/out") from None
    if target.is_dir():
        for inside, content in _below(files, staged, target, lambda inside: outside(f"/pfs/out{path}/{inside}")):
            yield OutputFile(_named(f"{path}/{inside}"), content, linked=True)
    elif whole := staged.stand_ins.get(str(target)):  # of a lazy or empty input, which user code need not have read
        yield OutputFile(_named(path), whole, linked=True)
    elif target.is_file():  # to open a pipe could take for ever
        yield OutputFile(_named(path), _take(files, str(target)), linked=True)
    else:
        raise BadOutput(f"cannot upload {path}: it is a link that leads nowhere", hint="write the content to /pfs/out")


def _below(files: Taker, staged: Staged, folder: Path, find: Callable[[str], Path]) -> Iterator[tuple[str, Content]]:
    """What a folder holds; `find` says where one of its links leads, for the host would follow it elsewhere.

    One of a lazy or empty input stands for all of it in the commit, even what the datum did not select.
    """
    for top, whole in staged.wholes.items():
        if folder.is_relative_to(top):
            real = PurePosixPath("/") / folder.relative_to(top)
            for node in whole(str(real)):
                yield PurePosixPath(node.path).relative_to(real).as_posix(), Content(node.hash, node.size)
            return
    for content in sorted(_contents(folder)):
        inside = content.relative_to(folder).as_posix()
        yield inside, _take(files, str(_linked(content, inside, find)))


def _linked(content: Path, inside: str, find: Callable[[str], Path]) -> Path:
    with contextlib.suppress(OSError):
        if (target := find(inside) if content.is_symlink() else content).is_file():
            return target
    raise BadOutput(f"cannot upload {content}: inside a linked folder, a link has to lead to a file")


def _contents(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            yield from _contents(entry)
        else:
            yield entry


def seen_files(files: Taker, staged: Staged, left: Left) -> Iterator[OutputFile]:
    """`.env` and the inputs as user code left them, for the meta repo. What it did not touch is not read."""
    touched = {*left.changed, *left.gone}
    for path, content in staged.contents.items():
        if path not in touched:
            yield OutputFile(f"/{path}", content)
    for path in left.changed:
        if _is_legal(f"/{path}"):
            yield OutputFile(f"/{path}", _take(files, f"{staged.folder}/{path}"))


def _is_legal(path: str) -> bool:
    try:
        check_path(path)
    except (Invalid, UnicodeEncodeError):
        return False
    return True
