"""Compares now with the last time: the files a datum reads, the fields of a spec, the code behind an image."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from local_runner.errors import LocalRunnerError
from local_runner.model.datums import Datum, InputFile
from local_runner.model.entries import parse_value
from local_runner.model.refs import BranchRef
from local_runner.planning.plan import FileChange, FileContent
from local_runner.repos.commits import content_root
from local_runner.storage.database import Session
from local_runner.storage.trees import Root

_ORDERS = ("update", "reprocess", "dryRun")  # of a request, and no part of the pipeline


class Cause(NamedTuple):
    """A reason that holds for a whole job. `kind` is "spec" (`name` is the field), "code" (a file), "new pipeline" or "last job"."""

    kind: str
    name: str = ""
    old: Any = None
    new: Any = None


class FileComparison:
    """Compares what datums read now with what they read when they last succeeded.

    `roots` are the trees read now. Those of earlier commits are looked up, and two trees are compared once for all datums.
    """

    def __init__(self, session: Session, roots: Mapping[BranchRef, Root]) -> None:
        self._session = session
        self._roots = roots
        self._compared: dict[tuple[str, BranchRef], tuple[list[str], list[tuple[FileContent | None, FileContent | None]]]] = {}

    def changes(self, old: Datum, new: Datum) -> tuple[FileChange, ...]:
        """The files of two datums of one id that differ; of a folder those below it, as far as its earlier commit is still there."""
        return tuple(c for was, now in zip(old.inputs, new.inputs, strict=True) if was.hash != now.hash for c in self._of_input(was, now))

    def _of_input(self, old: InputFile, new: InputFile) -> Iterator[FileChange]:
        repo, name = new.source.source.repo, new.source.name
        found = list(self._below(old.commit, new)) if new.path.endswith("/") else []
        for path, was, now in found or [(new.path, FileContent(old.hash, old.size), FileContent(new.hash, new.size))]:
            yield FileChange(name, repo, path, was, now)

    def _below(self, old_commit: str, new: InputFile) -> Iterator[tuple[str, FileContent | None, FileContent | None]]:
        key = old_commit, new.source.source
        if key not in self._compared:
            found = dict(self._compare(*key))
            self._compared[key] = list(found), list(found.values())
        paths, contents = self._compared[key]
        for at in range(bisect.bisect_left(paths, new.path), len(paths)):
            if not paths[at].startswith(new.path):
                return
            yield paths[at], *contents[at]

    def _compare(self, old_commit: str, branch: BranchRef) -> Iterator[tuple[str, tuple[FileContent | None, FileContent | None]]]:
        repo = self._session.repos.repo(branch.repo)
        row = self._session.commits.find(repo.key, old_commit) if repo else None
        try:
            before = content_root(self._session, row) if row else None
        except LocalRunnerError:
            row = None
        if row is None:
            return
        merged: dict[str, tuple[FileContent | None, FileContent | None]] = {}
        for key, was, now in self._session.trees.diff(before, self._roots[branch]):
            path = key.decode().partition("\0")[0]
            # A file that another datum writes now has two entries, one of each.
            earlier = merged.get(path, (None, None))
            merged[path] = _content(was) or earlier[0], _content(now) or earlier[1]
        yield from ((path, both) for path, both in merged.items() if both[0] != both[1])


def _content(value: bytes | None) -> FileContent | None:
    return FileContent(*parse_value(value)) if value else None


def spec_changes(old: str, new: str) -> Iterator[Cause]:
    """The fields in which two effective specs, as JSON, differ; the parts of lists are counted from 0."""
    from local_runner.specs.check import normal  # 25 ms, and most commands meet no spec

    before, after = ({k: v for k, v in json.loads(text).items() if k not in _ORDERS} for text in (old, new))
    yield from _differences(normal(before, snake=True), normal(after, snake=True), "")


def _differences(old: Any, new: Any, path: str) -> Iterator[Cause]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(name for name in old if name not in new)]:
            yield from _differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(was, now, f"{path}[{number}]")
    elif old != new:
        yield Cause("spec", path, old, new)


def code_changes(old: str, new: str) -> Iterator[Cause]:
    """The files behind an image that differ, from what `PipelineRow.code` says; their hashes as `old` and `new`."""
    if not old or not new:
        return
    before, after = json.loads(old)["files"], json.loads(new)["files"]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Cause("code", name, before.get(name), after.get(name))
