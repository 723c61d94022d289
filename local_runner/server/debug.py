"""Calls for those who look for a fault: what the server and the engine said and do, as an archive to take along."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

from local_runner.documents.status import status_document
from local_runner.server.admin import get_version
from local_runner.server.call import Call
from local_runner.server.schema import Message, new, to_document

_TAIL = 1 << 20  # bytes of a log
_PIECE = 1 << 20


def dump(call: Call, request: Message) -> Iterator[Message]:
    """The archive, a gzipped tar."""
    return (new("google.protobuf.BytesValue", value=piece) for piece in _pieces(_archive(call)))


def get_dump_v2_template(call: Call, request: Message) -> Message:
    """What may be asked for: there are no pods, so that it is all one."""
    asked = new("debug_v2.DumpV2Request", system=new("debug_v2.System", version=True))
    return new("debug_v2.GetDumpV2TemplateResponse", request=asked)


def dump_v2(call: Call, request: Message) -> Iterator[Message]:
    """First that it is made, then the same archive as `dump`."""
    content = _archive(call)
    yield new("debug_v2.DumpChunk", progress=new("debug_v2.DumpProgress", task="home", total=1, progress=1))
    for piece in _pieces(content):
        yield new("debug_v2.DumpChunk", content=new("debug_v2.DumpContent", content=piece))


def _archive(call: Call) -> bytes:
    """Version, threads of the server, state of the home, and the ends of the logs. Nothing of files or secrets is in it."""
    parts = {
        "version.json": json.dumps(to_document(get_version(call, request=None)), indent=2).encode(),
        "status.json": json.dumps(status_document(call.home.status(), (), ()), indent=2).encode(),
        "threads.txt": _threads().encode(),
        **{path.name: _end(path) for path in call.home.process_logs()},
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in parts.items():
            head = tarfile.TarInfo(name)
            head.size, head.mode = len(content), 0o600
            archive.addfile(head, io.BytesIO(content))
    return made.getvalue()


def _threads() -> str:
    """Where each thread of the server is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = ((names.get(ident, "?"), "".join(traceback.format_stack(frame))) for ident, frame in sys._current_frames().items())
    return "\n".join(f"thread {name}\n{stack}" for name, stack in stacks)


def _end(log: Path) -> bytes:
    """The last mebibyte of a log; nothing of one that is not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            return file.read(_TAIL)
    except OSError:
        return b""


def _pieces(content: bytes) -> Iterator[bytes]:
    return (content[begin : begin + _PIECE] for begin in range(0, len(content), _PIECE))
