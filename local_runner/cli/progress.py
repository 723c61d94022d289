"""Shows how jobs progress: one line for each pipeline, changing in place on a terminal; plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from local_runner.model.datums import DatumState
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import JobRef
from local_runner.model.units import human_duration
from local_runner.pipelines.outcome import Outcome

_PLAIN_SECONDS = 5.0  # between two lines about one job where nothing can be redrawn
_BAR = 24  # cells


class RunProgress:
    """An observer of the engine. Use as a context manager; the display is gone when it ends.

    `has_failed` says whether a job failed, `failures` counts failed datums by pipeline.
    """

    def __init__(self, quiet: bool) -> None:
        self._jobs: dict[JobRef, JobInfo] = {}
        self._done: dict[JobRef, int] = {}
        self._told: dict[JobRef, float] = {}
        self._began: dict[JobRef, tuple[float, int]] = {}  # when a job was first seen at work, and how much of it was done by then
        self._quiet = quiet
        self._live: Any = None
        self.has_failed = False
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> RunProgress:
        if not self._quiet and sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb":
            from rich.console import Console  # 60 ms, for terminals only
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True, get_renderable=self._table)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take the display away."""
        if self._live is not None:
            self._live.stop()

    def expect(self, jobs: Iterable[JobInfo]) -> None:
        """Show these pipelines, too, while they wait for their turn."""
        self._jobs |= {info.job: info for info in jobs}

    def job_changed(self, info: JobInfo) -> None:
        self._jobs[info.job] = info
        self.has_failed |= info.state in (JobState.FAILURE, JobState.KILLED)
        if info.state is JobState.RUNNING:
            self._began.setdefault(info.job, (time.monotonic(), _done(info)))
        if self._live is None and not self._quiet:
            self._tell(info)

    def datum_ended(self, job: JobRef, outcome: Outcome) -> None:
        self._done[job] = self._done.get(job, 0) + 1
        if outcome.counted is DatumState.FAILED:
            self.failures[job.pipeline.name] += 1

    def _tell(self, info: JobInfo) -> None:
        now = time.monotonic()
        if not info.state.is_final and now - self._told.get(info.job, now if info.counters.total == 0 else 0.0) < _PLAIN_SECONDS:
            return
        self._told[info.job] = now
        done = self._so_far(info)
        text = f"{', '.join([info.state.word, f'{done} done', *_counts(info)])} of {info.counters.total} datums"
        print(f"{info.job.pipeline.name}: {', '.join(filter(None, (text, self._time_left(info, done))))}", file=sys.stderr, flush=True)

    def _so_far(self, info: JobInfo) -> int:
        """Datums that ended, also those that are not written yet."""
        _, before = self._began.get(info.job, (0.0, 0))
        return max(before + self._done.get(info.job, 0), _done(info))

    def _time_left(self, info: JobInfo, done: int) -> str:
        """The time left of a job by its pace so far, once it has one."""
        began, before = self._began.get(info.job, (0.0, 0))
        remaining, ended = info.counters.total - info.counters.skipped - done, done - before
        if info.state.is_final or ended < 3 or remaining <= 0:
            return ""
        return f"{human_duration((time.monotonic() - began) / ended * remaining).lower()} left"

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        # A copy: the engine's thread goes on while the display is drawn.
        latest = {info.job.pipeline: info for info in list(self._jobs.values())}
        for info in latest.values():
            counts, done = info.counters, self._so_far(info)
            ended = done + counts.skipped if counts.total else int(info.state is JobState.SUCCESS)
            style = "red" if counts.failed or info.state in (JobState.FAILURE, JobState.KILLED) else "green"
            bar = ProgressBar(max(counts.total, 1), ended, width=_BAR, complete_style=style, finished_style=style)
            of = f"{done + counts.skipped} of {counts.total}" if counts.total else ""
            state = "waiting" if info.state in (JobState.CREATED, JobState.STARTING) else info.state.word
            parts = [*([] if info.running else [state]), *_counts(info), self._time_left(info, done)]
            table.add_row(info.job.pipeline.name, bar, of, ", ".join(filter(None, parts)))
        return table


def _done(info: JobInfo) -> int:
    return info.counters.processed + info.counters.failed + info.counters.recovered


def _counts(info: JobInfo) -> list[str]:
    """The counts of running, reused and failed datums of a job, as text."""
    counts = {"running": len(info.running), "reused": info.counters.skipped, "failed": info.counters.failed}
    return [f"{count} {word}" for word, count in counts.items() if count]
