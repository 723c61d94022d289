"""Writes what user code prints to one file for each job (reference pps 4.12); log_reader.py reads it."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections import deque
from pathlib import Path

from local_runner.errors import Invalid
from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.model.retention import Keep
from local_runner.model.units import human_size
from local_runner.storage.clock import Clock, wall_clock
from local_runner.storage.log_files import SUFFIX, LogFile, pack_block
from local_runner.storage.retention import read_keep

KEPT_LINES = 20  # of a failing datum, for the error people see
_LONGEST = 4096  # bytes of a line in memory

# What is printed is written at once, but not more often than this for each datum; until then it waits for more. The words around a
# block are some 40 bytes, so one that only a change between the streams ends has to have several times that.
_PAUSE = 0.25
_BLOCK, _SHORT = 64 * 1024, 160


class JobLog:
    """Takes what the datums of one job print; safe for several threads. The file appears with the first line."""

    def __init__(self, folder: Path, job: JobRef, most: int | None = None, *, rolls: bool = False, clock: Clock = wall_clock) -> None:
        """`most` is how many bytes of what each datum prints are kept; as the home of the folder says, if it is None.

        One that `rolls`, of a command that stays, keeps the newest, once or twice as many. `clock` says when a line was printed.
        """
        self.rolls = rolls
        self.clock = clock
        self.lock = threading.RLock()
        self.most = _most(folder.parent) if most is None else most
        self._file = LogFile(log_path(folder, job))
        self._latest: dict[str, LogLines] = {}  # by worker
        self._waiting: set[LogLines] = set()
        self._timer: threading.Timer | None = None

    def begin(self, worker: str, datum: Datum) -> LogLines:
        """Begin the lines of an attempt; the attempts of a datum are those of one worker in a row."""
        with self.lock:
            before = self._latest.get(worker)
            if before is None or before.datum.id != datum.id:
                before = None
            lines = LogLines(self, self._file, worker, datum, before.attempt + 1 if before else 1, before.printed if before else 0)
            self._latest[worker] = lines
            return lines

    def worker(self, worker: str, datum: Datum, message: str) -> None:
        """Write a message of the worker about a datum."""
        with self.lock:
            lines = self._latest.get(worker)
            if lines is None or lines.datum.id != datum.id:
                lines = LogLines(self, self._file, worker, datum, 0)
            lines.remark(message)

    def close(self) -> None:
        """Write the lines that wait and close the file; later lines open it again."""
        with self.lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._write_waiting()
            self._file.close()

    def write_later(self, lines: LogLines) -> None:
        """Write waiting lines after a pause. To be called with the lock held."""
        self._waiting.add(lines)
        if self._timer is None:
            self._timer = threading.Timer(_PAUSE, self._write_waiting)
            self._timer.daemon = True
            self._timer.start()

    def _write_waiting(self) -> None:
        with self.lock:
            waiting, self._waiting, self._timer = self._waiting, set(), None
            for lines in waiting:
                try:
                    lines.write()
                except OSError:  # who prints or ends next in this datum tries again, and says what is wrong
                    continue


class LogLines:
    """Writes what an attempt prints into a log, block by block, and keeps its last lines for error messages."""

    def __init__(self, log: JobLog, file: LogFile, worker: str, datum: Datum, attempt: int, printed: int = 0) -> None:
        """`printed` are the bytes of the attempts before."""
        self.datum, self.attempt, self.printed = datum, attempt, printed
        self._log, self._file, self._worker = log, file, worker
        self._source: int | None = None
        self._last: deque[bytes] = deque(maxlen=KEPT_LINES)
        self._held: dict[str, list[bytes]] = {}  # by stream, in order of their first
        self._held_bytes = 0
        self._since = 0.0  # when the first of them came
        self._ready = bytearray()  # blocks, packed
        self._written = 0.0
        self._cut = [0, 0]  # lines and bytes that are not kept

    @property
    def last(self) -> tuple[str, ...]:
        """The last lines, without their newlines."""
        return tuple(line.decode(errors="replace") for line in self._last)

    def __call__(self, stream: str, block: bytes) -> None:
        """Take lines that user code printed to "stdout" or "stderr"."""
        with self._log.lock:
            self._last.extend(line[:_LONGEST] for line in block.rsplit(b"\n", KEPT_LINES)[-KEPT_LINES:])
            room = self._log.most - self.printed
            self.printed += len(block) + 1
            if self.printed > self._log.most and self._log.rolls:
                self._roll(len(block) + 1)
            if self.printed <= self._log.most:
                self._hold(stream, block)
            else:
                self._cut_off(stream, block, room)

    def remark(self, message: str) -> None:
        """Write a message of the worker."""
        with self._log.lock:
            self._pack()
            self._add("worker", message.encode(errors="backslashreplace"), self._log.clock())
            self.write()

    def close(self) -> None:
        """Write the lines that wait, and how much was cut. A process that stays may print more afterwards."""
        with self._log.lock:
            if any(self._cut):
                lines, size = self._cut
                self._cut = [0, 0]
                self._hold("stderr", f"local_runner: {lines} lines, {human_size(size)}, were not kept; the last are:".encode())
                self._hold("stdout", b"\n".join(self._last))
            if self._held or self._ready:
                self.write()

    def write(self) -> None:
        """Write the lines that wait. To be called with the lock held. Raises `OSError`; then they still wait."""
        self._pack()
        self._file.append(bytes(self._ready))
        self._ready.clear()
        self._written = time.monotonic()

    def _roll(self, printed: int) -> None:
        if self._held or self._ready:
            self.write()
        self._file.begin_anew()
        self._source, self.printed = None, printed

    def _hold(self, stream: str, block: bytes) -> None:
        if self._held and stream not in self._held and self._held_bytes >= _SHORT:
            self._pack()
        if not self._held:
            self._since = self._log.clock()
        self._held.setdefault(stream, []).append(block)
        self._held_bytes += len(block) + 1
        if len(self._held) > 1 and self._held_bytes >= 2 * _SHORT:
            self._pack()
        if self._held_bytes + len(self._ready) >= _BLOCK or time.monotonic() >= self._written + _PAUSE:
            self.write()
        else:
            self._log.write_later(self)

    def _pack(self) -> None:
        held, self._held, self._held_bytes = self._held, {}, 0
        for stream, blocks in held.items():
            self._add(stream, b"\n".join(blocks), self._since)

    def _add(self, stream: str, lines: bytes, moment: float) -> None:
        if self._source is None:
            files = [(file.path, base64.b64encode(file.hash).decode()) for file in self.datum.inputs]
            document = {"worker": self._worker, "datum": self.datum.id, "attempt": self.attempt, "data": files}
            self._source = self._file.add_source(document)
        self._ready += pack_block(self._source, stream, round(moment * 1000), lines)

    def _cut_off(self, stream: str, block: bytes, room: int) -> None:
        """Keep of a block what there is room for, in whole lines."""
        kept, newline, _ = block[: max(room, 0)].rpartition(b"\n")
        if newline:
            self._hold(stream, kept)
        if not any(self._cut):
            most = human_size(self._log.most)
            self._hold("stderr", f"local_runner: the log of this datum has {most}; of what follows only the last lines are kept".encode())
        self._cut[0] += block.count(b"\n") + 1 - (kept.count(b"\n") + 1 if newline else 0)
        self._cut[1] += len(block) + 1 - (len(kept) + 1 if newline else 0)


def _most(home: Path) -> int:
    with contextlib.suppress(Invalid):  # a run says what is wrong with it; here it would end a job
        return read_keep(home).log_size
    return Keep().log_size


def log_path(folder: Path, job: JobRef) -> Path:
    """The file of a job."""
    return pipeline_logs(folder, job.pipeline) / f"{job.id}{SUFFIX}"


def pipeline_logs(folder: Path, pipeline: PipelineRef) -> Path:
    """The folder of a pipeline."""
    return folder / pipeline.project / pipeline.name
