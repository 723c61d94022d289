"""The messages that change files, as steps. Those that come by the ten thousand are read by hand, in a tenth of the time."""

from __future__ import annotations

from typing import NamedTuple

from local_runner.model.wire import extent
from local_runner.server import refs
from local_runner.server.schema import Message, parse

_ADD, _DELETE = 0x12, 0x1A  # the fields of a ModifyFileRequest
_PATH, _DATUM, _RAW = 0x0A, 0x12, 0x1A  # those of an AddFile; a DeleteFile has the first two
_VALUE = 0x0A  # of a BytesValue


class Step(NamedTuple):
    """What a message does, to which path, and with which tag: `content` is added for "raw"; of other kinds, `request` says the rest."""

    kind: str
    path: str = ""
    tag: str = ""
    content: bytes = b""
    request: Message = None


def read_step(data: bytes) -> Step:
    """The step of a `ModifyFileRequest`. Raises `Invalid` for bytes that are none."""
    try:
        found = _read_by_hand(data)
    except (IndexError, UnicodeDecodeError):
        found = None
    return found or _step(parse("pfs_v2.ModifyFileRequest", data))


def _step(request: Message) -> Step:
    kind = request.WhichOneof("body") or ""
    if kind == "add_file":
        add = request.add_file
        # A file that is added without any source is empty.
        return Step(add.WhichOneof("source") or "raw", refs.path(add.path), add.datum, add.raw.value, request)
    if kind == "delete_file":
        return Step(kind, refs.path(request.delete_file.path), request.delete_file.datum)
    return Step(kind, request=request)


def _read_by_hand(data: bytes) -> Step | None:
    """A file that is added with its content, or deleted; None for all else, and for what is not written as clients write it."""
    outer = data[0]
    at, end = extent(data, 1)
    if outer not in (_ADD, _DELETE) or end != len(data):
        return None
    path = tag = content = b""
    seen = set()
    while at < end:
        field = data[at]
        if field in seen:  # which of them counts is for protobuf to say
            return None
        seen.add(field)
        begin, at = extent(data, at + 1)
        if at > end:
            return None
        if field == _PATH:
            path = data[begin:at]
        elif field == _DATUM:
            tag = data[begin:at]
        elif field == _RAW and outer == _ADD:
            if begin < at:
                begin, stop = extent(data, begin + 1) if data[begin] == _VALUE else (0, 0)
                if stop != at:
                    return None
            content = data[begin:at]
        else:
            return None
    return Step("raw" if outer == _ADD else "delete_file", refs.path(path.decode()), tag.decode(), content)
