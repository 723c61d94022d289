"""A search behind the names of scikit-learn's GridSearchCV, so that code written for `fit`, `best_params_`, `cv_results_` runs on it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from local_runner.errors import Invalid, WorkFailed
from local_runner.model.refs import parse_file
from local_runner.project.search_space import read_document
from local_runner.search.points import name_of
from local_runner.search.results import Results
from local_runner.search.study import Study, changed
from local_runner.search.trials import DONE, Trial


class PipelineSearchCV:
    """Searches by the pipelines of a study, where GridSearchCV would by an estimator.

    `param_grid` ({"C": [1, 10]}, or a list of such) counts in place of the study's space, `cv` in place of its number of folds. `data` is
    where `fit` puts the rows it is given, as CSV with the target last: `repo@branch:/rows.csv`. Raises `Invalid` for what does not fit.
    """

    def __init__(
        self,
        study: Study,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]] | None = None,
        *,
        cv: int = 0,
        n_jobs: int = 0,
        data: str = "",
    ) -> None:
        self.study = study
        self.param_grid, self.cv, self.n_jobs, self.data = param_grid, cv, n_jobs, data

    def fit(self, X: Iterable[Iterable[Any]] | None = None, y: Iterable[Any] | None = None, **options: Any) -> PipelineSearchCV:
        """Put the rows, if there are any, and search; options are those of `Study.run`. Raises `WorkFailed` if all points failed."""
        study = self._study()
        if X is not None:
            self._put(study, X, y)
        self.results_: Results = study.run(**{"jobs": max(self.n_jobs, 0), **options})
        self._take(study, self.results_)
        return self

    def _study(self) -> Study:
        settings = changed(self.study.settings, kfolds=self.cv, sampler="grid" if self.param_grid is not None else "")
        if self.param_grid is not None:
            grids = [self.param_grid] if isinstance(self.param_grid, Mapping) else list(self.param_grid)
            settings = dataclasses.replace(settings, space=read_document(grids))
        return self.study if settings == self.study.settings else Study(self.study.runner, settings, self.study.project)

    def _put(self, study: Study, X: Iterable[Iterable[Any]], y: Iterable[Any] | None) -> None:
        if not self.data:
            hint = 'data="rows@master:/rows.csv", or fit() without rows: the pipelines have theirs'
            raise Invalid("it is not said where rows are to be put", hint=hint)
        rows = [list(row) for row in X] if y is None else [[*row, target] for row, target in zip(X, y, strict=True)]
        content = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
        file = parse_file(self.data, study.runner.current_project)
        study.runner.create_repo(file.commit.repo, update=True)
        with study.runner.modify_file(file.commit) as change:
            change.put(file.path, content)

    def _take(self, study: Study, found: Results) -> None:
        trials = [trial for trial in found.trials if trial.scores or trial.failure]
        if study.space.is_finite:
            places = {name_of(point): place for place, point in enumerate(study.space.grid())}
            trials.sort(key=lambda trial: places.get(trial.name, len(places)))
        else:
            trials.sort(key=lambda trial: trial.order)
        if not found.done:
            reason = found.failed[0].failure.reason if found.failed and found.failed[0].failure else "none was tried"
            raise WorkFailed(f"no point has a score: {reason.strip()}", hint="`study.results()` says why each failed")
        best = {trial.name for trial in found.winners}
        self.n_splits_ = max(len(found.folds), 1)
        self.best_index_ = next(place for place, trial in enumerate(trials) if trial.name in best)
        self.best_params_: dict[str, Any] = dict(trials[self.best_index_].point)
        self.best_score_ = trials[self.best_index_].score
        self.cv_results_ = _columns(found, trials, self.n_splits_)

    def _repr_html_(self) -> str:
        return self.results_._repr_html_() if hasattr(self, "results_") else self.study._repr_html_()


def _columns(found: Results, trials: Sequence[Trial], folds: int) -> dict[str, Any]:
    """The arrays of `cv_results_`, in scikit-learn's names; what failed is NaN and ranks last."""
    columns: dict[str, Any] = {"params": [dict(trial.point) for trial in trials]}
    for name in found.names:
        values = [trial.point.get(name) for trial in trials]
        columns[f"param_{name}"] = np.ma.array(values, mask=[value is None for value in values], dtype=object)
    for fold in range(folds):
        of_fold = [trial.scores[fold].value if trial.state == DONE and fold < len(trial.scores) else math.nan for trial in trials]
        columns[f"split{fold}_test_score"] = np.array(of_fold)
    scores = [trial.score for trial in trials]
    columns["mean_test_score"] = np.array(scores)
    columns["std_test_score"] = np.array([trial.spread if trial.state == DONE else math.nan for trial in trials])
    columns["rank_test_score"] = np.array([_rank(score, scores, found.settings.maximize) for score in scores], dtype=np.int32)
    columns["mean_fit_time"] = np.array([found.effort(trial).seconds / max(found.effort(trial).datums, 1) for trial in trials])
    return columns


def _rank(score: float, scores: Sequence[float], maximize: bool) -> int:
    """One more than there are better ones."""
    if math.isnan(score):
        return 1 + sum(not math.isnan(other) for other in scores)
    return 1 + sum(other > score if maximize else other < score for other in scores)
