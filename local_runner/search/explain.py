"""Everything about one point, as lines: its scores, its datums with what they read, wrote and printed, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_runner.model.datums import DatumInfo
from local_runner.model.refs import CommitQuery, FileQuery, JobRef, PipelineRef, RepoRef
from local_runner.model.space import shown
from local_runner.search.points import named_in, path_of
from local_runner.search.results import datums_of
from local_runner.search.trials import DONE, Trial

if TYPE_CHECKING:
    from local_runner.search.study import Study

_LINES = 5  # of what a datum printed


def explain_point(study: Study, trial: Trial) -> Iterator[str]:
    """Lines for people."""
    settings = study.settings
    yield f"point {trial.name} of search {settings.name}: {shown(trial.point)}"
    if settings.points:
        yield f"asked as {settings.points}:{path_of(settings.folder, trial.name)}"
    yield f"state: {trial.state}"
    if trial.state == DONE:
        spread = f", spread {trial.spread:.4g} over {len(trial.scores)} folds" if len(trial.scores) > 1 else ""
        yield f"score: {trial.score:.6g}{spread}"
    for score in trial.scores:
        yield f"  {f'fold {score.fold}: ' if score.fold else ''}{score.value:.6g} in {settings.score.repo}:{score.file}"
    if trial.failure:
        yield f"failed: {trial.failure.reason.strip()}"
        if trial.failure.datum:
            yield f"  in datum {trial.failure.datum} of {trial.failure.pipeline}@{trial.failure.job}"
        yield from (f"  | {line}" for line in trial.failure.words)
    for pipeline, datums in datums_of(study.runner, settings):
        for datum in datums:
            if trial.name in {named_in(read.path) for read in datum.datum.inputs}:
                yield from _of_datum(study, pipeline, datum)
    if trial.scores and settings.points:
        yield f"where it comes from: why {settings.score.repo}@master:{trial.scores[0].file}"


def _of_datum(study: Study, pipeline: PipelineRef, datum: DatumInfo) -> Iterator[str]:
    reads = ", ".join(f"{read.source.name}:{read.path}" for read in datum.datum.inputs)
    seconds = f", {datum.stats.process_time:.2f} s" if datum.stats else ""
    yield f"datum {datum.datum.id} of {pipeline.name}@{datum.job}: {datum.state}{seconds}, reads {reads}"
    output = FileQuery(CommitQuery(RepoRef(pipeline.project, pipeline.name), "master"))
    wrote = [file for file in study.runner.walk_file(output) if file.datum == datum.datum.id and not file.is_folder]
    yield from (f"  wrote {pipeline.name}:{file.path}, {file.size} bytes" for file in wrote)
    for line in study.runner.last_lines(JobRef(pipeline, datum.job), datum.datum.id)[-_LINES:]:
        yield f"  | {line}"
