"""Collects what a datum left in `out` as files to commit (reference pps 3.4, 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from local_runner.engine.staging import Staged
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.executors.base import Worker
from local_runner.executors.launcher.collect import Collected
from local_runner.executors.launcher.tree import TreeChanges
from local_runner.model.names import check_path
from local_runner.pipelines.outcome import OutputFile
from local_runner.storage.intake import OpenFile, Source
from local_runner.storage.objects import Content

_WRITE_IT = "write the content to /pfs/out"
_HINTS = {
    "permission denied": "leave what is in /pfs/out readable",
    "it is a socket or a device": "write regular files to /pfs/out",
}


class Taker(Protocol):
    """Takes the content of an output file: `ObjectFiles` stores it, others only hash it."""

    def take(self, source: Source, /) -> Content: ...


class BadOutput(LocalRunnerError):
    """An output that cannot be committed; the datum fails with this reason."""


def collect(files: Taker, staged: Staged, worker: Worker, check: Callable[[], None] = lambda: None) -> list[OutputFile]:
    """Read everything below `out`: files, and what links stand for; empty folders and named pipes are passed over.

    `check` is called again and again meanwhile; what it raises ends the reading. Raises `BadOutput` for names a repo does not accept,
    sockets, and links that lead nowhere. Links from `out` to `out` are resolved too, which a cluster refuses (DEVIATIONS.md).
    """
    found = []
    for file in worker.collect(staged.tree.folder, ["out"], list(staged.wholes)):
        check()
        path = file.path.removeprefix("out") or "/"
        if file.error:
            raise BadOutput(f"cannot upload {path}: {file.error}", hint=_HINTS.get(file.error, _WRITE_IT))
        if file.is_folder:
            found += [OutputFile(_named(f"{path}/{below}"), content, linked=True) for below, content in _whole(staged, file.where)]
        else:
            found.append(OutputFile(_named(path), _content(files, staged, file, path, check), file.linked))
    return sorted(found)


def _content(files: Taker, staged: Staged, file: Collected, path: str, check: Callable[[], None]) -> Content:
    if (whole := staged.stand_ins.get(file.where)) is not None:  # of a lazy or empty input, which user code need not have read
        return whole
    try:
        return files.take(_source(file, check))
    except OSError as error:
        if error.filename != file.path:
            raise
        raise BadOutput(f"cannot upload {path}: {error.strerror}", hint=_WRITE_IT) from None


class _Checked(NamedTuple):
    """A source that calls `check` before each block."""

    block: Callable[[int], bytes]
    check: Callable[[], None]

    def read(self, size: int, /) -> bytes:
        self.check()
        return self.block(size)


def _source(file: Collected, check: Callable[[], None] = lambda: None) -> Source:
    """The content, from the file itself where that is at hand."""
    return OpenFile(file.content.file, check) if file.content.file else _Checked(file.content.read, check)


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


def _whole(staged: Staged, where: str) -> Iterator[tuple[str, Content]]:
    """All files of the commit below a folder of a lazy or empty input, by path, even those the datum did not select."""
    name, _, below = where.partition("/")
    real = PurePosixPath("/") / below
    for node in staged.wholes[name](str(real)):
        yield PurePosixPath(node.path).relative_to(real).as_posix(), Content(node.hash, node.size)


def seen_files(files: Taker, staged: Staged, left: TreeChanges, worker: Worker) -> Iterator[OutputFile]:
    """`.env` and the inputs as user code left them, for the meta repo. What it did not touch is not read."""
    touched = {*left.changed, *left.gone}
    for path, content in staged.contents.items():
        if path not in touched:
            yield OutputFile(f"/{path}", content)
    changed = [path for path in left.changed if _is_legal(f"/{path}")]
    if changed:
        for file in worker.collect(staged.tree.folder, changed, []):
            if not file.error:  # else it is gone by now
                yield OutputFile(f"/{file.path}", files.take(_source(file)))


def _is_legal(path: str) -> bool:
    try:
        check_path(path)
    except (Invalid, UnicodeEncodeError):
        return False
    return True
