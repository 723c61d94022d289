"""Calls for those who look for a fault: what the server and the engine said and do, as an archive to take along."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

from local_runner.documents.status import status_document
from local_runner.errors import Invalid
from local_runner.server.admin import version
from local_runner.server.call import Call
from local_runner.server.profile import profile as sampled
from local_runner.server.schema import Message, new, to_document

_TAIL = 1 << 20  # bytes of a log
_PIECE = 1 << 20
_CPU = "cpu"
_USUAL_SECONDS, _MOST_SECONDS = 60.0, 600.0  # of a profile


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


def profile(call: Call, request: Message) -> Iterator[Message]:
    """Where the server's threads were, for so long as is asked; of other profiles than that of the processor, where they are now.

    An archive, as on a cluster, with one file that has the name of the profile.
    """
    wanted = request.profile.name or _CPU
    length = request.profile.duration
    seconds = (length.seconds + length.nanos / 1e9) or _USUAL_SECONDS
    if not 0 < seconds <= _MOST_SECONDS:
        raise Invalid(f"a profile takes at most {_MOST_SECONDS} s")
    content = sampled(seconds, call.stop) if wanted == _CPU else _threads().encode()
    name = f"{re.sub('[^a-z]', '_', wanted.lower())}.txt"
    return (new("google.protobuf.BytesValue", value=piece) for piece in _pieces(_packed({name: content})))


def binary(call: Call, request: Message) -> Iterator[Message]:
    """The program that the server runs in, which is Python's."""
    with open(sys.executable, "rb") as file:
        while piece := file.read(_PIECE):
            yield new("google.protobuf.BytesValue", value=piece)


def _archive(call: Call) -> bytes:
    """Version, threads of the server, state of the home, and the ends of the logs. Nothing of files or secrets is in it."""
    parts = {
        "version.json": json.dumps(to_document(version()), indent=2).encode(),
        "status.json": json.dumps(status_document(call.home.status(), (), ()), indent=2).encode(),
        "threads.txt": _threads().encode(),
        **{path.name: _end(path) for path in call.home.process_logs()},
    }
    return _packed(parts)


def _packed(parts: Mapping[str, bytes]) -> bytes:
    """Files by name as a gzipped tar."""
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
