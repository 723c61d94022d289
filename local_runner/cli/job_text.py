"""The words for a job in tables: its state and its progress."""

from __future__ import annotations

from local_runner.cli.app import App
from local_runner.cli.output import GREEN, RED, YELLOW
from local_runner.model.jobs import JobInfo, JobState


def progress(info: JobInfo) -> str:
    """The PROGRESS of a job: "1 + 2 / 3" is one processed and two skipped of three."""
    counters = info.counters
    recovered = f" + {counters.recovered}" if counters.recovered else ""
    return f"{counters.processed} + {counters.skipped}{recovered} / {counters.total}"


def paint_state(app: App, state: str) -> str:
    """The state of a job, given by its name in the proto, as a coloured word; "-" before it begins."""
    if state in ("", JobState.CREATED.value):
        return "-"
    known = JobState(state)
    colour = GREEN if known is JobState.SUCCESS else RED if known.is_final else YELLOW
    return app.out.paint(known.word, colour)
