"""The format of log files: a source record for each printer, then checked blocks of lines (FORMAT.md, *Logs*)."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

SUFFIX, OLD_SUFFIX = ".log", ".jsonl"  # the old one held a JSON document a line

_EARLIER = "-earlier"  # before the suffix: what a log that begins anew had before

_STREAMS = {"o": "stdout", "e": "stderr", "w": "worker"}
_LETTERS = {stream: letter.encode() for letter, stream in _STREAMS.items()}
_MARK = b"\x1e"
_SOURCE = b"="
_HEADER = re.compile(rb"\x1e(?:(=)|([oew])([0-9a-f]+) ([0-9a-f]+)) ([0-9a-f]+) ([0-9a-f]{8})\n")
_LONGEST_HEADER = 80
_LONGEST = 1 << 30  # content that claims to be longer is damaged
_CHUNK = 1 << 20

Document = Mapping[str, Any]


class Block(NamedTuple):
    """Lines of one source, at a moment in milliseconds since the epoch. The last newline is not part of `lines`."""

    source: Document
    stream: str
    moment: int
    lines: bytes


class Damage(NamedTuple):
    """Bytes of a file that are no record."""

    begin: int
    end: int


class LogFile:
    """A log file opened for writing; made with its first record. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def add_source(self, document: Document) -> int:
        """Say who will print; returns the number by which `pack_block` knows it: where in the file it stands."""
        content = json.dumps(document, separators=(",", ":")).encode()
        return self.append(_record(_SOURCE, content))

    def append(self, records: bytes) -> int:
        """Write whole records; returns where. Raises `OSError`, and then no part of them is there."""
        with self._lock:
            if self._descriptor is None:
                # Not `parents=True` from the top: a home that was removed is not to come back.
                for folder in (self._path.parent.parent, self._path.parent):
                    folder.mkdir(exist_ok=True)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            written, view = 0, memoryview(records)
            try:
                while written < len(records):
                    written += os.write(self._descriptor, view[written:])
            except OSError:
                self._take_back(written)
                raise
            return os.lseek(self._descriptor, 0, os.SEEK_CUR) - len(records)

    def _take_back(self, written: int) -> None:
        assert self._descriptor is not None
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if written and os.fstat(self._descriptor).st_size == end:
            os.ftruncate(self._descriptor, end - written)

    def begin_anew(self) -> None:
        """Begin a new file, and keep the old one as the earlier part; sources have to be added again."""
        self.close()
        os.replace(self._path, earlier(self._path))

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def earlier(path: Path) -> Path:
    """The path of the earlier part of a log that began anew."""
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}{_EARLIER}{SUFFIX}")


def job_id(path: Path) -> str:
    """The id of the job whose log this is."""
    return path.name.removesuffix(OLD_SUFFIX).removesuffix(SUFFIX).removesuffix(_EARLIER)


def pack_block(source: int, stream: str, moment: int, lines: bytes) -> bytes:
    """A block as it stands in the file: some 35 bytes more than it has."""
    return _record(b"%b%x %x" % (_LETTERS[stream], source, moment), lines)


def _record(head: bytes, content: bytes) -> bytes:
    head = b"%b%b %x" % (_MARK, head, len(content))
    return b"%b %08x\n%b\n" % (head, crc32(content, crc32(head)), content)


class LogScan:
    """Reads a log from its beginning, and goes on where it was when more has come."""

    def __init__(self) -> None:
        self._at = 0
        self._sources: dict[int, Document] = {}

    def new(self, path: Path) -> Iterator[Block | Damage]:
        """The records since the last call; an incomplete one at the end waits, as it may be being written."""
        with path.open("rb") as file:
            while True:
                found = _record_at(file, self._at)
                if found is None:
                    begin, self._at = self._at, _next_record(file, self._at + 1) or self._at
                    if begin == self._at:
                        return
                    yield Damage(begin, self._at)
                    continue
                header, content, end = found
                begin, self._at = self._at, end
                if header[1]:
                    self._sources[begin] = json.loads(content)
                elif (source := self._sources.get(int(header[3], 16))) is not None:
                    yield Block(source, _STREAMS[header[2].decode()], int(header[4], 16), content)
                else:  # who printed it was lost
                    yield Damage(begin, end)

    def rest(self, path: Path) -> Damage | None:
        """The incomplete record at the end."""
        size = path.stat().st_size
        return Damage(self._at, size) if size > self._at else None


def _record_at(file: BinaryIO, at: int) -> tuple[re.Match[bytes], bytes, int] | None:
    """The header of a record, its content, and where it ends."""
    file.seek(at)
    line = file.readline(_LONGEST_HEADER)
    header = _HEADER.fullmatch(line)
    length = int(header[5], 16) if header else _LONGEST
    if header is None or length >= _LONGEST:
        return None
    content = file.read(length + 1)
    if len(content) <= length or content[-1:] != b"\n":
        return None
    content = content[:-1]
    if crc32(content, crc32(line[: header.end(5)])) != int(header[6], 16):
        return None
    return header, content, at + len(line) + length + 1


def _next_record(file: BinaryIO, at: int) -> int | None:
    """Where the next sound record begins."""
    while True:
        file.seek(at)
        chunk = file.read(_CHUNK)
        if not chunk:
            return None
        for found in re.finditer(re.escape(_MARK), chunk):
            if _record_at(file, at + found.start()):
                return at + found.start()
        at += len(chunk)


def damaged_lines(path: Path) -> list[Damage]:
    """The parts of a log, of the old kind or the new, that cannot be read; an unfinished record at the end counts."""
    if path.name.endswith(OLD_SUFFIX):
        return _damaged_documents(path)
    scan = LogScan()
    found = [block for block in scan.new(path) if isinstance(block, Damage)]
    rest = scan.rest(path)
    return [*found, rest] if rest else found


def is_unfinished(path: Path, part: Damage) -> bool:
    """Whether a part that cannot be read is the beginning of what its writer was killed at; or is writing.

    One that has a whole record's content was whole: it is shorter than it says because what it says was damaged.
    """
    with path.open("rb") as file:
        file.seek(part.begin)
        content = file.read(part.end - part.begin)
    line, newline, rest = content.partition(b"\n")
    if path.name.endswith(OLD_SUFFIX):
        return not newline and part.end == path.stat().st_size and read_document(line[:-1] + b"\n") is None
    if not newline:
        return part.end == path.stat().st_size
    header = _HEADER.fullmatch(line + newline)
    if header is None or len(rest) > int(header[5], 16):
        return False
    told = b"%b%x" % (line[: header.start(5)], max(len(rest) - 1, 0))
    return crc32(rest[:-1], crc32(told)) != int(header[6], 16)


def _damaged_documents(path: Path) -> list[Damage]:
    found, at = [], 0
    with path.open("rb") as lines:
        for line in lines:
            if read_document(line) is None:
                found.append(Damage(at, at + len(line)))
            at += len(line)
    return found


def read_document(line: bytes) -> Document | None:
    """A line of an old log, or None if it is damaged."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if line.endswith(b"\n") and _is_record(document) else None


def _is_record(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    data = document.get("data")
    return (
        all(isinstance(document.get(name), str) for name in ("datumId", "ts", "message"))
        and isinstance(data, list)
        and all(isinstance(file, dict) and isinstance(file.get("path"), str) and isinstance(file.get("hash"), str) for file in data)
    )
