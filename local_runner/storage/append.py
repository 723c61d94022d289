"""Appends to a large content without storing it again: what comes goes with its last chunk, the rest is shared (FORMAT.md, *Parts*)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from local_runner.model.file_hash import hash_of_chunks
from local_runner.storage.intake import Stream
from local_runner.storage.objects import WORTH_SHARING, Content, Objects
from local_runner.storage.stored_file import FilePart, first_bytes
from local_runner.storage.sums import BLOCK, Summer, covers

_MOST_PARTS = 64  # more would make reading slow: then it is stored whole again


def append(objects: Objects, there: bytes, more: bytes) -> Content:
    """The content of one name followed by that of another, stored but for its rows; part of the transaction under way.

    Raises `ContentLost` for a damaged one.
    """
    shared = _append_sharing(objects, there, more)
    return shared or objects.files.take(Stream(chain(objects.read(there), objects.read(more))))


def _append_sharing(objects: Objects, there: bytes, more: bytes) -> Content | None:
    """None where that is not worth it, or not possible: it is a small content, one in many parts, or of an earlier version."""
    known = objects.large(there)
    sums = objects.sums(there)
    if known is None:
        return None
    chunks, parts = known
    size = sum(chunk.size for chunk in chunks)
    kept = size - chunks[-1].size  # the last chunk is cut again, with what comes
    if kept < WORTH_SHARING or len(parts) >= _MOST_PARTS or not covers(sums, size):
        return None
    summer = Summer()
    begin = kept - kept % BLOCK
    for piece in _limited(objects.read(there, begin), kept - begin):
        summer.update(piece)

    def tail() -> Iterator[bytes]:
        for piece in chain(objects.read(there, kept), objects.read(more)):
            summer.update(piece)
            yield piece

    rest = objects.files.store(Stream(tail()))
    if not rest.size:
        return None
    objects.add([rest])
    all_chunks = (*chunks[:-1], *rest.chunks)
    return Content(
        hash_of_chunks(all_chunks),
        kept + rest.size,
        sums=sums[: begin // BLOCK * 4] + summer.sums(),
        chunks=all_chunks,
        parts=(*first_bytes(parts or [FilePart(there, 0, size)], kept), FilePart(rest.name, 0, rest.size)),
    )


def _limited(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        if size <= 0:
            return
        yield piece[:size]
        size -= len(piece)
