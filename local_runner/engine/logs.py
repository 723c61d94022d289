"""What user code printed: one file of JSON lines for each job of a pipeline, kept for ever (reference pps 4.12)."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.model.units import rfc3339

KEPT_LINES = 20  # of a failing datum, for the error people see


class JobLog:
    """Appends lines of one job; safe for several threads. The file appears with its first line."""

    def __init__(self, folder: Path, job: JobRef) -> None:
        self._path = log_path(folder, job)
        self._job = job
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def user(self, worker: str, datum: Datum, stream: str, message: str) -> None:
        """A line that user code printed to "stdout" or "stderr"."""
        self._write(worker, datum, {"message": message, "user": True, "stream": stream})

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
            os.write(self._descriptor, line)

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class LastLines:
    """The last lines of an attempt, for its error; passes every line on to a log."""

    def __init__(self, log: JobLog, worker: str, datum: Datum) -> None:
        self._log, self._worker, self._datum = log, worker, datum
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def __call__(self, stream: str, line: str) -> None:
        self.lines.append(line)
        self._log.user(self._worker, self._datum, stream, line)


def log_path(folder: Path, job: JobRef) -> Path:
    """The file of a job."""
    return _pipeline_folder(folder, job.pipeline) / f"{job.id}.jsonl"


def _pipeline_folder(folder: Path, pipeline: PipelineRef) -> Path:
    return folder / pipeline.project / pipeline.name


def read_logs(
    folder: Path,
    pipeline: PipelineRef | None,
    jobs: Sequence[JobRef],
    *,
    datum: str = "",
    inputs: Sequence[str] = (),
    since: float | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Lines of these jobs; or of a pipeline, or of all, in the order they were written. `inputs` are paths or hashes (hex or base64)."""
    if jobs:
        paths = [log_path(folder, job) for job in jobs]
    else:
        root = _pipeline_folder(folder, pipeline) if pipeline else folder
        paths = sorted(root.rglob("*.jsonl"), key=lambda path: path.stat().st_mtime) if root.is_dir() else []
    earliest = rfc3339(since) if since is not None else ""
    for path in paths:
        if not path.exists():
            continue
        with path.open() as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # being written
                document = json.loads(line)
                if (datum and document["datumId"] != datum) or document["ts"] < earliest:
                    continue
                if all(any(_is_named(item, wanted) for item in document["data"]) for wanted in inputs):
                    yield document


def _is_named(item: Mapping[str, str], wanted: str) -> bool:
    return wanted in (item["path"], item["hash"], base64.b64decode(item["hash"]).hex())


def last_lines(folder: Path, job: JobRef, datum: str) -> list[str]:
    """The last lines that user code printed for a datum."""
    found = read_logs(folder, None, [job], datum=datum)
    return list(deque((str(document["message"]) for document in found if document.get("user")), maxlen=KEPT_LINES))
