"""The results of a search as a table: the best first, with scores, folds, times, and why points failed. Also as CSV, JSON and HTML."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_runner.errors import Unavailable
from local_runner.model.datums import DatumInfo
from local_runner.model.refs import PipelineRef
from local_runner.model.space import show_value
from local_runner.project.search import SearchSettings
from local_runner.search.points import named_in
from local_runner.search.route import find_route
from local_runner.search.trials import DONE, FAILED, Trial, ranked, winners

if TYPE_CHECKING:
    from local_runner.runner import Runner
    from local_runner.search.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Effort:
    """What a point cost: the seconds that each of its datums ran, when its first job began, and the job that ran its last datum."""

    times: tuple[float, ...] = ()
    began: float = math.inf
    job: str = ""

    @property
    def seconds(self) -> float:
        return sum(self.times)

    @property
    def datums(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Results:
    """Trials, the best first. `efforts` are by the names of points, `problems` what is wrong with files of scores."""

    settings: SearchSettings
    trials: tuple[Trial, ...]
    efforts: Mapping[str, Effort] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def done(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == DONE]

    @property
    def failed(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state == FAILED]

    @property
    def winners(self) -> list[Trial]:
        """All with the best score, exactly."""
        return winners(self.trials, self.settings.maximize)

    @property
    def in_order(self) -> list[Trial]:
        """As they were tried, the first one first."""
        return sorted(self.trials, key=lambda trial: (self.effort(trial).began, trial.order))

    @property
    def names(self) -> list[str]:
        """Of all parameters, those of the space in its order first."""
        known = self.settings.space.names if self.settings.space else list(self.settings.parameters)
        return list(dict.fromkeys([*known, *(name for trial in self.trials for name in trial.point)]))

    @property
    def folds(self) -> list[str]:
        return sorted({score.fold for trial in self.trials for score in trial.scores if score.fold})

    def effort(self, trial: Trial) -> Effort:
        return self.efforts.get(trial.name, Effort())

    def columns(self) -> list[str]:
        field = self.settings.score.field
        return ["rank", "point", *self.names, field, *(["spread"] if self.folds else []), "seconds", "state"]

    def records(self) -> list[dict[str, Any]]:
        """A row for each trial: rank (equal for equal scores), point, parameters, score, spread and folds, seconds, state, reason."""
        found, rank, last = [], 0, math.nan
        for place, trial in enumerate(self.trials, 1):
            if trial.state == DONE and trial.score != last:
                rank, last = place, trial.score
            row: dict[str, Any] = {"rank": rank if trial.state == DONE else None, "point": trial.name}
            row |= {name: trial.point.get(name) for name in self.names}
            row[self.settings.score.field] = trial.score if trial.state == DONE else None
            if self.folds:
                row["spread"] = trial.spread if trial.state == DONE else None
                by_fold = {score.fold: score.value for score in trial.scores}
                row |= {f"fold {fold}": by_fold.get(fold) for fold in self.folds}
            effort = self.effort(trial)
            row |= {"seconds": round(effort.seconds, 6) if effort.datums else None, "state": trial.state}
            row["reason"] = trial.failure.reason if trial.failure else ""
            found.append(row)
        return found

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text: numbers with few digits."""
        columns = self.columns()
        return columns, [[_cell(column, row[column]) for column in columns] for row in self.records()]

    def csv(self) -> str:
        """All columns, with every fold, numbers in full."""
        rows = self.records()
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else self.columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def json(self) -> str:
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"

    def document(self) -> dict[str, Any]:
        """The trials as they are, for programs."""
        return {
            "search": self.settings.name,
            "score": str(self.settings.score),
            "direction": "maximize" if self.settings.maximize else "minimize",
            "folds": self.settings.folder,
            "problems": list(self.problems),
            "trials": [_document(trial, self.effort(trial)) for trial in self.trials],
        }

    def frame(self) -> Any:
        """A pandas DataFrame of the records. Raises `Unavailable` without pandas."""
        try:
            import pandas
        except ImportError:
            raise Unavailable("a DataFrame needs pandas", hint="pip install pandas; `records()` is the same as a list") from None
        return pandas.DataFrame.from_records(self.records())

    def _repr_html_(self) -> str:
        """A table for notebooks, with the picture of how the best was found if matplotlib is there."""
        header, rows = self.table()
        best = {trial.name for trial in self.winners}
        lines = ["<table>", f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in header)}</tr>"]
        for row in rows:
            cells = "".join(f"<td>{'<b>' * (row[1] in best)}{html.escape(cell)}{'</b>' * (row[1] in best)}</td>" for cell in row)
            lines.append(f"<tr>{cells}</tr>")
        lines.append("</table>")
        return "\n".join([*lines, *self._picture()])

    def _picture(self) -> Iterator[str]:
        if not self.done:
            return
        from local_runner.search.draw import svg_of

        try:
            yield svg_of(self, "history")
        except Unavailable as error:
            yield f"<p>{html.escape(error.message)}: {html.escape(error.hint)}</p>"

    def __repr__(self) -> str:
        header, rows = self.table()
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [header, *rows])


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "-"
    if column in ("seconds", "spread") and isinstance(value, float):
        return f"{value:.3g}" if column == "seconds" else f"{value:.4f}"
    return show_value(value)


def _document(trial: Trial, effort: Effort) -> dict[str, Any]:
    document: dict[str, Any] = {"point": trial.name, "parameters": dict(trial.point), "state": trial.state}
    if trial.state == DONE:
        document |= {"score": trial.score, "spread": trial.spread}
    if trial.scores:
        document["scores"] = [{"fold": score.fold, "value": score.value, "file": score.file} for score in trial.scores]
    if trial.failure:
        failure = trial.failure
        document["failure"] = {"reason": failure.reason, "words": list(failure.words)}
        document["failure"] |= {key: value for key in ("pipeline", "job", "datum") if (value := getattr(failure, key))}
    return document | {"seconds": effort.seconds, "datums": effort.datums, **({"job": effort.job} if effort.job else {})}


def read_results(runner: Runner, ledger: Ledger, trials: Sequence[Trial]) -> Results:
    """The results of some trials of a ledger, with what each point cost."""
    settings = ledger.settings
    efforts = read_efforts(runner, settings, trials) if trials else {}  # before the first run there are no pipelines
    return Results(settings, tuple(ranked(trials, settings.maximize)), efforts, tuple(ledger.problems()))


def read_efforts(runner: Runner, settings: SearchSettings, trials: Sequence[Trial]) -> dict[str, Effort]:
    """What each point cost, from the datums that its pipelines ran."""
    efforts: dict[str, Effort] = {}
    for pipeline, info in datums_of(runner, settings):
        times = _began_of(runner, pipeline)
        for datum in info:
            for name in _names_of(datum):
                effort = efforts.get(name, Effort())
                seconds = datum.stats.process_time if datum.stats else 0.0
                began = min(effort.began, times.get(datum.job, math.inf))
                efforts[name] = Effort((*effort.times, seconds), began, datum.job)
    for trial in trials:
        if trial.failure and trial.failure.job and trial.name not in efforts:
            efforts[trial.name] = Effort((), _time_of(runner, settings, trial.failure.job), trial.failure.job)
    return efforts


def datums_of(runner: Runner, settings: SearchSettings) -> Iterator[tuple[PipelineRef, Iterator[DatumInfo]]]:
    """The pipelines of a search, each with the datums of its newest job that ended well."""
    for info in find_route(runner, settings):
        for job in runner.list_job(pipeline=info.pipeline, history=-1):
            if job.state.is_final and job.counters.total:
                yield info.pipeline, runner.list_datum(job.job)
                break


def _names_of(datum: DatumInfo) -> set[str]:
    """The points a datum is about, by the paths it read."""
    return {named_in(read.path) for read in datum.datum.inputs} - {""}


def _began_of(runner: Runner, pipeline: PipelineRef) -> dict[str, float]:
    return {info.job.id: info.created for info in runner.list_job(pipeline=pipeline, history=-1)}


def _time_of(runner: Runner, settings: SearchSettings, job: str) -> float:
    for info in runner.inspect_job_set(job).jobs:
        return info.created
    return math.inf
