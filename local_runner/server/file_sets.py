"""Calls about file sets: changes of files that are in no commit yet. Both services that clients know, that of pfs and that of storage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

from local_runner.errors import Invalid, Unsupported
from local_runner.model.refs import FILE_SETS
from local_runner.model.repos import FileInfo, PathRange
from local_runner.server import refs
from local_runner.server.call import Call, reads_bytes
from local_runner.server.file_changes import apply_changes, apply_modifications
from local_runner.server.schema import Message, message_class, new, nothing
from local_runner.server.steps import read_step

_PIECE = 1 << 20  # bytes of content in a message
_CHUNK = 8 << 20  # bytes of content behind an address
_BLAKE2B = 1


# -- pfs ---------------------------------------------------------------------------------------------------------------


@reads_bytes
def create_file_set(call: Call, requests: Iterator[bytes]) -> Message:
    with call.home.create_file_set() as changes:
        apply_changes(call, None, changes, map(read_step, requests))
    return new("pfs_v2.CreateFileSetResponse", file_set_id=changes.id)


def get_file_set(call: Call, request: Message) -> Message:
    only_changes = bool(request.type)
    found = call.home.get_file_set(refs.commit(refs.given(request, "commit")), only_changes=only_changes)
    return new("pfs_v2.CreateFileSetResponse", file_set_id=found.id)


def add_file_set(call: Call, request: Message) -> Message:
    call.home.add_file_set(refs.commit(refs.given(request, "commit")), request.file_set_id)
    return nothing()


def renew_file_set(call: Call, request: Message) -> Message:
    call.home.renew_file_set(request.file_set_id, float(request.ttl_seconds))
    return nothing()


def compose_file_set(call: Call, request: Message) -> Message:
    found = call.home.compose_file_set(list(request.file_set_ids), float(request.ttl_seconds))
    return new("pfs_v2.CreateFileSetResponse", file_set_id=found.id)


def shard_file_set(call: Call, request: Message) -> Message:
    return new("pfs_v2.ShardFileSetResponse", shards=_shards(call, request, request.file_set_id, "pfs_v2.PathRange"))


# -- storage -----------------------------------------------------------------------------------------------------------


def create_fileset(call: Call, requests: Iterator[Message]) -> Message:
    with call.home.create_file_set() as changes:
        apply_modifications(changes, requests)
    return new("storage.CreateFilesetResponse", fileset_id=changes.id)


def read_fileset(call: Call, request: Message) -> Iterator[Message]:
    """Files and their contents, in pieces; an empty file is one message without content."""
    kind = message_class("storage.ReadFilesetResponse")
    for info in _files(call, request):
        for piece in (b"",) if request.empty_files or not info.size else _read(call, info, _PIECE):
            answer = kind(path=info.path)
            answer.data.value = piece
            yield answer


def read_fileset_cdr(call: Call, request: Message) -> Iterator[Message]:
    """For each file where its content can be fetched from the S3 gateway, cut into chunks, each with its hash. Raises `Unsupported`."""
    if call.address_of is None:
        raise Unsupported("contents are fetched from the S3 gateway, and none is there", hint="serve with --s3-port")
    for info in _files(call, request):
        address = call.address_of(f"{info.commit.id}.{FILE_SETS}", info.path.lstrip("/"))
        chunks, begin = [], 0
        for chunk in _read(call, info, _CHUNK):
            end = begin + len(chunk)
            http = new("cdr.HTTP", url=address, headers={"Range": f"bytes={begin}-{end - 1}"})
            hash = hashlib.blake2b(chunk, digest_size=32).digest()
            checked = new("cdr.ContentHash", inner=new("cdr.Ref", http=http), algo=_BLAKE2B, hash=hash)
            chunks.append(new("cdr.Ref", content_hash=checked))
            begin = end
        ref = chunks[0] if len(chunks) == 1 else new("cdr.Ref", concat=new("cdr.Concat", refs=chunks))
        yield new("storage.ReadFilesetCDRResponse", path=info.path, ref=ref)


def renew_fileset(call: Call, request: Message) -> Message:
    call.home.renew_file_set(request.fileset_id, float(request.ttl_seconds))
    return nothing()


def compose_fileset(call: Call, request: Message) -> Message:
    found = call.home.compose_file_set(list(request.fileset_ids), float(request.ttl_seconds))
    return new("storage.ComposeFilesetResponse", fileset_id=found.id)


def shard_fileset(call: Call, request: Message) -> Message:
    return new("storage.ShardFilesetResponse", shards=_shards(call, request, request.fileset_id, "storage.PathRange"))


# -- both --------------------------------------------------------------------------------------------------------------


def _shards(call: Call, request: Message, id: str, kind: str) -> list[Message]:
    """Raises `Invalid` for negative bounds."""
    if request.num_files < 0 or request.size_bytes < 0:
        raise Invalid(f"cannot cut after {request.num_files} files or {request.size_bytes} bytes")
    return [
        new(kind, lower=found.lower, upper=found.upper) for found in call.home.shard_file_set(id, request.num_files, request.size_bytes)
    ]


def _files(call: Call, request: Message) -> Iterator[FileInfo]:
    """The files that make it through all filters. Raises `Invalid` for a pattern that is none, `NotFound`."""
    passes = [_filter(filter) for filter in request.filters]
    for info in call.home.scan_file(refs.file_set(request.fileset_id)):
        if isinstance(info, FileInfo) and all(test(info.path) for test in passes):
            yield info


def _filter(message: Message) -> Callable[[str], bool]:
    if message.WhichOneof("filter") == "path_range":
        return PathRange(message.path_range.lower, message.path_range.upper).__contains__
    try:
        pattern = re.compile(message.path_regex)
    except (re.error, OverflowError) as error:
        raise Invalid(f"error parsing regexp: {message.path_regex}: {error}") from None
    return lambda path: pattern.search(path) is not None


def _read(call: Call, info: FileInfo, most: int) -> Iterator[bytes]:
    """The content of a file in pieces of so many bytes, the last one shorter."""
    held = bytearray()
    for block in call.home.read_content(info):
        held += block
        while len(held) >= most:
            yield bytes(held[:most])
            del held[:most]
    if held:
        yield bytes(held)
