"""What user code printed: one file of JSON lines for each job of a pipeline, kept for ever (reference pps 4.12)."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.model.units import rfc3339
from local_runner.storage.atomic import write_all

KEPT_LINES = 20  # of a failing datum, for the error people see


class JobLog:
    """Appends lines of one job; safe for several threads. The file appears with its first line."""

    def __init__(self, folder: Path, job: JobRef) -> None:
        self._path = log_path(folder, job)
        self._job = job
        self._lock = threading.Lock()
        self._descriptor: int | None = None

        self._latest: dict[str, tuple[str, int]] = {}  # worker -> the datum it works on, and how often it began with it

    def begin(self, worker: str, datum: Datum) -> int:
        """The number of the attempt a worker begins, from 1: one that fails is followed by the next of the same worker."""
        before, count = self._latest.get(worker, ("", 0))
        self._latest[worker] = datum.id, count + 1 if before == datum.id else 1
        return self._latest[worker][1]

    def user(self, worker: str, datum: Datum, stream: str, message: str, attempt: int = 1) -> None:
        """A line that user code printed to "stdout" or "stderr"."""
        self._write(worker, datum, {"message": message, "user": True, "stream": stream, "attempt": attempt})

    def worker(self, worker: str, datum: Datum, message: str) -> None:
        """What the worker has to say about a datum."""
        self._write(worker, datum, {"message": message})

    def _write(self, worker: str, datum: Datum, fields: Mapping[str, Any]) -> None:
        document = {
            "severity": "info",
            "ts": rfc3339(time.time()),
            "workerId": worker,
            "projectName": self._job.pipeline.project,
            "pipelineName": self._job.pipeline.name,
            "jobId": self._job.id,
            "datumId": datum.id,
            "data": [{"path": file.path, "hash": base64.b64encode(file.hash).decode()} for file in datum.inputs],
            **fields,
        }
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._descriptor is None:
                # Not `parents=True` from the top: a home that was removed is not to come back.
                for folder in (self._path.parent.parent, self._path.parent):
                    folder.mkdir(exist_ok=True)
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            write_all(self._descriptor, line, self._path)

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class LastLines:
    """The last lines of an attempt, for its error; passes every line on to a log."""

    def __init__(self, log: JobLog, worker: str, datum: Datum) -> None:
        self._log, self._worker, self._datum = log, worker, datum
        self._attempt = log.begin(worker, datum)
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def __call__(self, stream: str, block: bytes) -> None:
        for line in block.decode(errors="replace").split("\n"):
            self.lines.append(line)
            self._log.user(self._worker, self._datum, stream, line, self._attempt)


def log_path(folder: Path, job: JobRef) -> Path:
    """The file of a job."""
    return _pipeline_folder(folder, job.pipeline) / f"{job.id}.jsonl"


def _pipeline_folder(folder: Path, pipeline: PipelineRef) -> Path:
    return folder / pipeline.project / pipeline.name


Wanted = Callable[[Mapping[str, Any]], bool]


def log_filter(*, datum: str = "", inputs: Sequence[str] = (), since: float | None = None, attempt: int = 0) -> Wanted:
    """Says of a record whether it is of this datum (the beginning of its id is enough), of one with all these inputs (paths, or
    hashes in hex or base64), not older than `since` (seconds since the epoch), and of this attempt."""
    earliest = rfc3339(since) if since is not None else ""

    def wanted(record: Mapping[str, Any]) -> bool:
        return (
            record["datumId"].startswith(datum)
            and record["ts"] >= earliest
            and attempt in (0, record.get("attempt", 1))
            and all(any(_is_named(item, name) for item in record["data"]) for name in inputs)
        )

    return wanted


class LogReader:
    """Reads the records of these jobs; or of a pipeline, or of all, job after job in the order they were last written to."""

    def __init__(self, folder: Path, pipeline: PipelineRef | None, jobs: Sequence[JobRef], wanted: Wanted) -> None:
        self._folder = _pipeline_folder(folder, pipeline) if pipeline else folder
        self._chosen = [log_path(folder, job) for job in jobs]
        self._wanted = wanted
        self._offsets: dict[Path, int] = {}

    def new(self) -> Iterator[Mapping[str, Any]]:
        """The records since the last call; all there are in the first."""
        for path in self._chosen or sorted(self._folder.rglob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
            if not path.exists():
                continue
            with path.open("rb") as lines:
                lines.seek(self._offsets.get(path, 0))
                for line in lines:
                    if not line.endswith(b"\n"):
                        break  # being written
                    self._offsets[path] = self._offsets.get(path, 0) + len(line)
                    record = json.loads(line)
                    if self._wanted(record):
                        yield record


def _is_named(item: Mapping[str, str], wanted: str) -> bool:
    return wanted in (item["path"], item["hash"], base64.b64decode(item["hash"]).hex())


def last_lines(folder: Path, job: JobRef, datum: str) -> list[str]:
    """The last lines that user code printed for a datum, in its last attempt."""
    found = LogReader(folder, None, [job], lambda record: record["datumId"] == datum and "user" in record).new()
    last: deque[Mapping[str, Any]] = deque(found, maxlen=KEPT_LINES)
    return [str(record["message"]) for record in last if record.get("attempt") == last[-1].get("attempt")]
