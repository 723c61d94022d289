"""How work goes on, for people: a line a pipeline that changes in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from local_runner.engine.datum_run import Outcome
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import JobRef
from local_runner.model.units import human_duration

_PLAIN_SECONDS = 5.0  # between two lines about one job where nothing can be redrawn


class Progress:
    """An observer of the engine. Use as a context manager; the display is gone when it ends."""

    def __init__(self, quiet: bool) -> None:
        self._jobs: dict[JobRef, JobInfo] = {}
        self._done: dict[JobRef, int] = {}
        self._told: dict[JobRef, float] = {}
        self._quiet = quiet
        self._live: Any = None

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console  # 60 ms, for terminals only
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True, get_renderable=self._table)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def job_changed(self, info: JobInfo) -> None:
        self._jobs[info.job] = info
        if self._live is None and not self._quiet:
            self._tell(info)

    def datum_ended(self, job: JobRef, outcome: Outcome) -> None:
        self._done[job] = self._done.get(job, 0) + 1

    def _tell(self, info: JobInfo) -> None:
        now = time.monotonic()
        if not info.state.is_final and now - self._told.get(info.job, now if info.counters.total == 0 else 0.0) < _PLAIN_SECONDS:
            return
        self._told[info.job] = now
        print(f"{info.job.pipeline.name}: {self._summary(info)}", file=sys.stderr, flush=True)

    def _summary(self, info: JobInfo) -> str:
        counts = info.counters
        done = max(self._done.get(info.job, 0), counts.processed + counts.failed + counts.recovered)
        parts = [info.state.word, f"{done} done", f"{len(info.running)} running" if info.running else "", f"{counts.skipped} reused"]
        parts.append(f"{counts.failed} failed" if counts.failed else "")
        left = self._time_left(info, done)
        text = f"{', '.join(part for part in parts if part)} of {counts.total} datums"
        return f"{text}, {left} left" if left else text

    def _time_left(self, info: JobInfo, done: int) -> str:
        """By the pace so far, once there is one."""
        remaining = info.counters.total - info.counters.skipped - done
        if info.state.is_final or info.started is None or done < 3 or remaining <= 0:
            return ""
        return human_duration((time.time() - info.started) / done * remaining).lower()

    def _table(self) -> Any:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        # A copy: the engine's thread goes on while the display is drawn.
        latest = {info.job.pipeline: info for info in list(self._jobs.values())}
        for info in latest.values():
            table.add_row(info.job.pipeline.name, self._summary(info))
        return table
