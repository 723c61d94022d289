"""Calls about files: change, list, find, read and compare them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator

from local_runner.errors import Invalid, Unsupported
from local_runner.model.repos import FileInfo
from local_runner.model.wire import delimited
from local_runner.server import refs
from local_runner.server.call import Call, reads_bytes
from local_runner.server.file_changes import apply_changes
from local_runner.server.infos import FileInfos
from local_runner.server.schema import Message, message_class, nothing, parse
from local_runner.server.steps import read_step

_PIECE = 1 << 20  # bytes of content in a message; clients take four times as much, at the least
_ZEROS = b"\0" * tarfile.BLOCKSIZE


@reads_bytes
def modify_file(call: Call, requests: Iterator[bytes]) -> Message:
    """The first message says of which commit; those that follow are made as one change."""
    first = next(requests, None)
    if first is None:
        return nothing()
    commit = refs.commit(refs.given(parse("pfs_v2.ModifyFileRequest", first), "set_commit"))
    with call.runner.modify_file(commit) as changes:
        apply_changes(call, commit, changes, map(read_step, requests))
    return nothing()


# -- looking -----------------------------------------------------------------------------------------------------------


def inspect_file(call: Call, request: Message) -> bytes:
    file = refs.file(refs.given(request, "file"))
    return FileInfos(call, file.commit).encode(call.runner.inspect_file(file))


def list_file(call: Call, request: Message) -> Iterator[bytes]:
    file = refs.file(refs.given(request, "file"))
    after = refs.path(request.paginationMarker.path) if request.HasField("paginationMarker") and not request.reverse else ""
    return map(FileInfos(call, file.commit).encode, _bounded(call.runner.list_file(file, after), request))


def walk_file(call: Call, request: Message) -> Iterator[bytes]:
    file = refs.file(refs.given(request, "file"))
    return map(FileInfos(call, file.commit).encode, _bounded(call.runner.walk_file(file), request))


def glob_file(call: Call, request: Message) -> Iterator[bytes]:
    commit = refs.commit(refs.given(request, "commit"))
    found = call.runner.glob_file(commit, refs.path(request.pattern))
    return map(FileInfos(call, commit).encode, _in_range(found, request.path_range))


def diff_file(call: Call, request: Message) -> Iterator[Message]:
    """Pairs of files that differ; `shallow` leaves out what lies below the folders."""
    new_file = refs.file(refs.given(request, "new_file"))
    old_file = refs.file(request.old_file) if request.HasField("old_file") and request.old_file.HasField("commit") else None
    infos, message = FileInfos(call, new_file.commit), message_class("pfs_v2.DiffFileResponse")
    depth = _depth(new_file.path)
    for ours, theirs in call.runner.diff_file(new_file, old_file):
        if request.shallow and all(_depth(info.path) > depth + 1 for info in (ours, theirs) if info):
            continue
        answer = message()
        if ours:
            answer.new_file.MergeFromString(infos.encode(ours))
        if theirs:
            answer.old_file.MergeFromString(infos.encode(theirs))
        yield answer


def _depth(path: str) -> int:
    return path.rstrip("/").count("/")


def _bounded(found: Iterator[FileInfo], request: Message) -> Iterator[FileInfo]:
    """From the marker on, which is left out, at most so many, in the other order if that is wanted. Raises `Invalid`."""
    if request.number < 0:
        raise Invalid(f"cannot list {request.number} files")
    marker = refs.path(request.paginationMarker.path) if request.HasField("paginationMarker") else ""
    if request.reverse:
        found = reversed(list(found))
        found = (info for info in found if not marker or info.path < marker)
    elif marker:
        found = (info for info in found if info.path > marker)
    for count, info in enumerate(found, 1):
        yield info
        if count == request.number:
            return


def _in_range(found: Iterable[FileInfo], bounds: Message) -> Iterator[FileInfo]:
    """Those from the lower bound on, and below the upper one."""
    return (info for info in found if bounds.lower <= info.path and (not bounds.upper or info.path < bounds.upper))


# -- reading -----------------------------------------------------------------------------------------------------------


def get_file(call: Call, request: Message) -> Iterator[bytes]:
    """The content of one file."""
    if request.offset < 0:
        raise Invalid(f"cannot read from byte {request.offset} on")
    file = refs.file(_not_to_url(refs.given(request, "file"), request))
    content = call.runner.get_file(file, request.offset)
    return (_bytes_value(piece) for block in content for piece in _cut(block))


def get_file_tar(call: Call, request: Message) -> Iterator[bytes]:
    """All that a path, taken as a pattern, matches, as an archive."""
    file = refs.file(_not_to_url(refs.given(request, "file"), request))
    found = call.runner.get_files(file)
    return map(_bytes_value, _gathered(_archive(found, request.path_range)))


def _not_to_url(file: Message, request: Message) -> Message:
    if request.URL:
        raise Unsupported("files are not copied to object stores from here", hint="an egress of a pipeline does")
    return file


def _archive(found: Iterator[tuple[FileInfo, Iterator[bytes]]], bounds: Message) -> Iterator[bytes]:
    """The pieces of a tar archive, as upstream writes it: absolute names, no rights, no times."""
    for info, content in found:
        if info.path == "/" or not bounds.lower <= info.path or (bounds.upper and info.path >= bounds.upper):
            continue
        head = tarfile.TarInfo(info.path)
        head.mode, head.size = 0, 0 if info.is_folder else info.size
        head.type = tarfile.DIRTYPE if info.is_folder else tarfile.REGTYPE
        yield head.tobuf(tarfile.PAX_FORMAT)
        if not info.is_folder:
            yield from content
            yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield _ZEROS * 2


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in few, large pieces."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield from _cut(b"".join(held))
            held, size = [], 0
    if held:
        yield b"".join(held)


def _cut(block: bytes) -> Iterator[bytes]:
    return (block[begin : begin + _PIECE] for begin in range(0, len(block), _PIECE))


def _bytes_value(content: bytes) -> bytes:
    """A BytesValue as on the wire."""
    return delimited(0x0A, content) if content else b""
