"""Reads what user code printed, as log records like a cluster's (reference pps 4.12)."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from local_runner.model.refs import JobRef, PipelineRef
from local_runner.model.units import rfc3339
from local_runner.storage.job_log import KEPT_LINES, log_path, pipeline_logs
from local_runner.storage.log_files import OLD_SUFFIX, SUFFIX, Block, Damage, LogScan, earlier, job_id, read_document

Record = Mapping[str, Any]
Wanted = Callable[[Record], bool]
Skipped = Callable[[Path, int], None]  # bytes of a file that cannot be read


class _Piece(NamedTuple):
    """Lines printed together, which share all fields of their records but the text."""

    record: dict[str, Any]
    lines: list[str]


def log_filter(*, datum: str = "", inputs: Sequence[str] = (), since: float | None = None, attempt: int = 0) -> Wanted:
    """Says of a record whether it is of this datum (the beginning of its id is enough), of one with all these inputs (paths, or
    hashes in hex or base64), not older than `since` (seconds since the epoch), and of this attempt; whatever its message."""
    earliest = rfc3339(since) if since is not None else ""

    def wanted(record: Record) -> bool:
        return (
            record["datumId"].startswith(datum)
            and record["ts"] >= earliest
            and attempt in (0, record.get("attempt", 1))
            and all(any(_is_named(item, name) for item in record["data"]) for name in inputs)
        )

    return wanted


def _is_named(item: Mapping[str, str], wanted: str) -> bool:
    return wanted in (item["path"], item["hash"], base64.b64decode(item["hash"]).hex())


class LogReader:
    """Reads the records of these jobs; or of a pipeline, or of all, job after job in the order they were last written to."""

    def __init__(
        self,
        folder: Path,
        pipeline: PipelineRef | None,
        jobs: Sequence[JobRef],
        wanted: Wanted,
        skipped: Skipped = lambda path, size: None,
    ) -> None:
        """`wanted` must not go by the message. `skipped` is told what cannot be read, and passed over."""
        self._folder = pipeline_logs(folder, pipeline) if pipeline else folder
        news = [log_path(folder, job) for job in jobs]
        self._chosen = [
            path for new, job in zip(news, jobs, strict=True) for path in (new.with_name(f"{job.id}{OLD_SUFFIX}"), earlier(new), new)
        ]
        self._wanted = wanted
        self._skipped = skipped
        self._scans: dict[int, tuple[Path, LogScan | _OldScan]] = {}  # by inode: a log that begins anew is renamed

    def new(self) -> Iterator[Record]:
        """The records since the last call; at the first call, all."""
        for piece in self.pieces():
            for line in piece.lines:
                yield {**piece.record, "message": line}

    def pieces(self) -> Iterator[_Piece]:
        """The records as `new` gives them, but lines printed together in one piece."""
        for path in self._chosen or _by_age(self._folder):
            try:
                for found in self._scan(path).new(path):
                    if isinstance(found, Damage):
                        self._skipped(path, found.end - found.begin)
                        continue
                    record = _record(path, found) if isinstance(found, Block) else dict(found)
                    if self._wanted(record):
                        text = found.lines.decode(errors="replace").split("\n") if isinstance(found, Block) else [str(found["message"])]
                        yield _Piece(record, text)
            except FileNotFoundError:  # not written to yet, or removed meanwhile
                continue

    def _scan(self, path: Path) -> LogScan | _OldScan:
        number = path.stat().st_ino
        before, scan = self._scans.get(number, (path, None))
        # One that was an earlier part is removed for the next: then its number may be that of a new log.
        if scan is None or path not in (before, earlier(before)):
            scan = _OldScan() if path.name.endswith(OLD_SUFFIX) else LogScan()
        self._scans[number] = path, scan
        return scan


class _OldScan:
    """Reads a log of the old kind, a JSON document a line, as `LogScan` does a new one."""

    def __init__(self) -> None:
        self._at = 0

    def new(self, path: Path) -> Iterator[Record | Damage]:
        with path.open("rb") as lines:
            lines.seek(self._at)
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # being written
                begin, self._at = self._at, self._at + len(line)
                yield read_document(line) or Damage(begin, self._at)


def _by_age(folder: Path) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        if path.name.endswith((SUFFIX, OLD_SUFFIX)):
            try:
                found.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:
                continue
    return [path for _, path in sorted(found)]


def _record(path: Path, block: Block) -> dict[str, Any]:
    source = block.source
    record = {
        "severity": "info",
        "ts": rfc3339(block.moment / 1000),
        "workerId": source["worker"],
        "projectName": path.parent.parent.name,
        "pipelineName": path.parent.name,
        "jobId": job_id(path),
        "datumId": source["datum"],
        "data": [{"path": name, "hash": digest} for name, digest in source["data"]],
        "message": "",
    }
    return record if block.stream == "worker" else {**record, "user": True, "stream": block.stream, "attempt": source["attempt"]}


def last_lines(folder: Path, job: JobRef, datum: str) -> list[str]:
    """The last lines that user code printed for a datum, in its last attempt."""
    last: deque[str] = deque(maxlen=KEPT_LINES)
    attempt: object = None
    for record, lines in LogReader(folder, None, [job], lambda record: record["datumId"] == datum and "user" in record).pieces():
        if record.get("attempt") != attempt:
            attempt = record.get("attempt")
            last.clear()
        last.extend(lines[-KEPT_LINES:])
    return list(last)
