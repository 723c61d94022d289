"""How a search goes on, for people: the best so far, how many trials are done and run, what they print, and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from local_runner.cli.progress import RunProgress
from local_runner.model.jobs import JobInfo
from local_runner.model.space import show_value, shown
from local_runner.model.units import human_duration
from local_runner.search.trials import DONE, FAILED, Trial, ranked

_PLAIN_SECONDS = 2.0  # between two lines about points that are not the best
_BEST = 3  # points that a terminal shows


class SearchProgress(RunProgress):
    """The display of a run with the best points, and what those that run printed last.

    Where nothing can be redrawn, a line for each new best and now and then, and each line that a point prints.
    """

    def __init__(self, quiet: bool, maximize: bool) -> None:
        super().__init__(quiet)
        self._maximize = maximize
        self._wanted = self._out = 0
        self._known: list[Trial] = []
        self._best: Trial | None = None
        self._since = time.monotonic()
        self._told_at = 0.0
        self._new = 0
        self._lines: dict[str, str] = {}  # of points that run: what they printed last

    def planned(self, wanted: int, known: Sequence[Trial]) -> None:
        self._wanted = max(wanted, len(known))
        for trial in known:
            self._note(trial)
        done = [trial for trial in known if trial.state in (DONE, FAILED)]
        if done:
            self._say(f"{len(done)} points are known already")

    def points_out(self, count: int) -> None:
        self._out = count

    def told(self, trial: Trial) -> None:
        self._new += 1
        self._out -= 1
        self._lines.pop(trial.name, None)
        is_best = self._note(trial)
        now = time.monotonic()
        if trial.state == FAILED and trial.failure:
            self._say(f"{trial.name} failed: {_first_line(trial.failure.reason)} ({shown(trial.point)})")
        elif is_best or now - self._told_at > _PLAIN_SECONDS:
            self._told_at = now
            self._say(self.sentence())

    def said(self, name: str, line: str) -> None:
        self._lines[name] = line
        if self._live is None:
            self._say(f"{name}: {line}")

    def job_changed(self, info: JobInfo) -> None:
        """On a terminal only: there are many jobs, and what they come to is said point by point."""
        if self._live is not None:
            super().job_changed(info)

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        # Copies: the engine's thread goes on while the display is drawn.
        best = ranked([trial for trial in list(self._known) if trial.state == DONE], self._maximize)[:_BEST]
        rows = [*((show_value(trial.score), shown(trial.point)) for trial in best), *list(self._lines.items())]
        points = Table.grid(padding=(0, 2))
        for row in rows:
            points.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in row))
        return Group(Text(self.sentence()), points, super()._table())

    def _note(self, trial: Trial) -> bool:
        """Whether it is the best so far."""
        self._known.append(trial)
        if trial.state != DONE:
            return False
        if self._best is None or (trial.score > self._best.score if self._maximize else trial.score < self._best.score):
            self._best = trial
            return True
        return False

    def sentence(self) -> str:
        """All of it in one line."""
        done = sum(trial.state == DONE for trial in self._known)
        failed = sum(trial.state == FAILED for trial in self._known)
        parts = [f"{done} of {self._wanted} points done", *([f"{failed} failed"] if failed else []), f"{self._out} running"]
        if self._best is not None:
            parts.append(f"best {show_value(self._best.score)} ({shown(self._best.point)})")
        left = self._wanted - done - failed
        if self._new and left > 0:
            seconds = (time.monotonic() - self._since) / self._new * left
            parts.append(f"{human_duration(seconds).lower()} left")
        return ", ".join(parts)

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        elif not self._quiet:
            print(text, file=sys.stderr, flush=True)


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "it gave no reason")
