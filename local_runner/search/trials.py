"""Trials: a point, what became of it, and the order in which trials are better than others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local_runner.model.space import Point

DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(frozen=True, slots=True)
class Score:
    """A number that was found for a point, and in which file; `fold` is "" without folds."""

    fold: str
    value: float
    file: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a point has no score, with the last words of its program; `pipeline`, `job` and `datum` are "" if no datum failed."""

    reason: str
    words: tuple[str, ...] = ()
    pipeline: str = ""
    job: str = ""
    datum: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """A point with its state: `done` (scored on every fold), `failed` or `waiting`.

    `asked` is when it was put, in seconds since the epoch, and `order` its place by that.
    """

    name: str
    point: Point
    state: str
    scores: tuple[Score, ...] = ()
    failure: Failure | None = None
    order: int = 0

    @property
    def score(self) -> float:
        """The mean over folds; NaN if there is none."""
        return statistics.fmean(score.value for score in self.scores) if self.state == DONE and self.scores else math.nan

    @property
    def spread(self) -> float:
        """The standard deviation over folds as scikit-learn reports it (that of all folds there are); 0 without folds."""
        return statistics.pstdev(score.value for score in self.scores) if len(self.scores) > 1 else 0.0

    @property
    def error(self) -> float:
        """The standard error of the mean over folds, by the sample's deviation; 0 without folds."""
        return statistics.stdev(score.value for score in self.scores) / math.sqrt(len(self.scores)) if len(self.scores) > 1 else 0.0


def ranked(trials: Iterable[Trial], maximize: bool) -> list[Trial]:
    """The best first; equal ones by their order; then those that failed, and those that wait."""
    places = {DONE: 0, FAILED: 1, WAITING: 2}

    def place(trial: Trial) -> tuple[int, float, int, str]:
        score = 0.0 if trial.state != DONE else -trial.score if maximize else trial.score
        return places[trial.state], score, trial.order, trial.name

    return sorted(trials, key=place)


def winners(trials: Sequence[Trial], maximize: bool) -> list[Trial]:
    """All trials with the best score, exactly."""
    done = ranked((trial for trial in trials if trial.state == DONE), maximize)
    return [trial for trial in done if trial.score == done[0].score]
