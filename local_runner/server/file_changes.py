"""The messages that change files, as they come in, one after the other: those of pfs, and those of the service of file sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter

from local_runner.errors import Invalid, Unsupported
from local_runner.model.refs import CommitQuery, FileQuery
from local_runner.repos.file_changes import FileChanges
from local_runner.server import refs
from local_runner.server.call import Call
from local_runner.server.schema import Message
from local_runner.server.steps import Step
from local_runner.server.web import opened
from local_runner.storage.intake import Stream


def apply_changes(call: Call, commit: CommitQuery | None, changes: FileChanges, steps: Iterable[Step]) -> None:
    """Collect what the messages of `ModifyFile` say, but for the first one. Raises `Invalid`.

    `commit` is where files that are copied from nowhere lie. Pieces of one file come as messages in a row, and become one content.
    """
    for (kind, path, tag), group in groupby(steps, _to_what):
        if kind == "raw":
            changes.put(path, _joined(group), append=True, tag=tag)
            continue
        for step in group:
            if kind == "delete_file":
                changes.delete(path, tag=tag)
            elif kind == "copy_file":
                _copy(commit, changes, step.request.copy_file)
            elif kind == "url":
                _fetch(changes, path, tag, step.request.add_file.url)
            else:
                raise Invalid(f"a message says {kind or 'nothing'} where a change of a file was expected")


def _joined(steps: Iterator[Step]) -> bytes | Stream:
    """The content of a file that comes as one message, or piece by piece."""
    first, second = next(steps), next(steps, None)
    return first.content if second is None else Stream(step.content for step in chain((first, second), steps))


_to_what = itemgetter(0, 1, 2)  # what a step does, to which path, and with which tag


def _copy(commit: CommitQuery | None, changes: FileChanges, request: Message) -> None:
    source = refs.given(request, "src")
    here = commit is not None and not source.HasField("commit")
    found = FileQuery(commit, refs.path(source.path)) if here and commit else refs.file(source)
    changes.copy(found, refs.path(request.dst), append=request.append, tag=request.datum)


def _fetch(changes: FileChanges, path: str, tag: str, source: Message) -> None:
    """Put what a URL leads to. Raises `Unsupported`, `Unavailable`."""
    if source.recursive:
        raise Unsupported(f"cannot read URLs recursively: {source.URL}", hint="put each file by a URL of its own")
    with opened(source.URL) as content:
        changes.put(path, content, append=True, tag=tag)


def apply_modifications(changes: FileChanges, requests: Iterable[Message]) -> None:
    """Collect what the messages of `storage.Fileset/CreateFileset` say. Raises `Invalid` for one that says nothing."""
    for (kind, path), group in groupby(requests, _modification):
        if kind == "append_file":
            changes.put(path, Stream(request.append_file.data.value for request in group), append=True)
            continue
        for request in group:
            if kind == "delete_file":
                changes.delete(refs.path(request.delete_file.path))
            elif kind == "copy_file":
                copy = request.copy_file
                changes.copy(FileQuery(refs.file_set(copy.fileset_id), refs.path(copy.src)), refs.path(copy.dst or copy.src))
            else:
                raise Invalid("a message says nothing where a change of a file was expected")


def _modification(request: Message) -> tuple[str, str]:
    """What a message does, and to which path what it appends goes."""
    kind = request.WhichOneof("modification") or ""
    return kind, refs.path(request.append_file.path) if kind == "append_file" else ""
