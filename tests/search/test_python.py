"""Searches from Python: `Runner.search`, and code that is written for scikit-learn's GridSearchCV."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from local_runner.errors import Invalid, NotFound, WorkFailed
from local_runner.search.adapter import PipelineSearchCV
from tests.search.conftest import Bench, scored


def test_a_runner_gives_a_study_that_runs_and_has_results(bench: Bench) -> None:
    bench.lab.does("score", scored(lambda point: float(point["x"])))
    study = bench.lab.runner.search("s", project=bench.root, sampler="grid")
    results = study.run(executor=bench.lab.executor, jobs=2)
    assert [trial.point for trial in results.winners] == [{"x": 9}]
    assert "<table>" in study._repr_html_()
    assert {remark.kind for remark in study.check()} >= {"rows", "looks"}
    with pytest.raises(NotFound, match="has no search 't'"):
        bench.lab.runner.search("t", project=bench.root)


def test_results_are_a_data_frame_where_pandas_is(bench: Bench) -> None:
    pytest.importorskip("pandas", reason="needs the extra `stages`")
    frame = bench.search(lambda point: float(point["x"]), 4).frame()
    assert list(frame.columns)[:4] == ["rank", "point", "x", "value"]
    assert len(frame) == 4


def test_code_for_gridsearchcv_finds_what_it_would_find(bench: Bench) -> None:
    """The same points, scores, ranks and choice as scikit-learn's own search, on a function of the parameters."""
    model_selection = pytest.importorskip("sklearn.model_selection", reason="needs the extra `stages`")
    from sklearn.base import BaseEstimator

    class Fixed(BaseEstimator):  # type: ignore[misc]
        def __init__(self, x: int = 0, kind: str = "a") -> None:
            self.x, self.kind = x, kind

        def fit(self, X: Any, y: Any) -> Fixed:
            return self

        def score(self, X: Any, y: Any) -> float:
            return value({"x": self.x, "kind": self.kind})

    def value(point: dict[str, Any]) -> float:
        return float(-((point["x"] - 2) ** 2)) if point["kind"] == "a" else -1.0

    grid = [{"x": [1, 2, 3], "kind": ["a"]}, {"x": [3], "kind": ["b"]}]
    rows, targets = np.zeros((6, 1)), np.array([0, 1] * 3)
    theirs = model_selection.GridSearchCV(Fixed(), grid, cv=2, refit=False).fit(rows, targets)
    bench.lab.does("score", scored(value))
    ours = PipelineSearchCV(bench.study(), grid).fit(executor=bench.lab.executor)
    assert ours.best_params_ == theirs.cv_results_["params"][int(np.argmin(theirs.cv_results_["rank_test_score"]))]
    by_point = {json.dumps(p, sort_keys=True): n for n, p in enumerate(theirs.cv_results_["params"])}
    for place, point in enumerate(ours.cv_results_["params"]):
        other = by_point[json.dumps(point, sort_keys=True)]
        for column in ("mean_test_score", "std_test_score", "rank_test_score"):
            assert ours.cv_results_[column][place] == theirs.cv_results_[column][other], column
    assert ours.best_score_ == 0.0
    assert ours.n_splits_ == 1


def test_rows_are_put_where_it_is_said(bench: Bench) -> None:
    bench.lab.does("score", scored(lambda point: 1.0))
    search = PipelineSearchCV(bench.study(), {"x": [1]}, data="rows@master:/rows.csv").fit([[1, 2]], [3], executor=bench.lab.executor)
    assert bench.lab.files("rows@master") == {"/rows.csv": "1,2,3\n"}
    assert search.best_params_ == {"x": 1}
    with pytest.raises(Invalid, match="not said where rows are to be put"):
        PipelineSearchCV(bench.study(), {"x": [1]}).fit([[1]], [2], executor=bench.lab.executor)


def test_if_all_points_fail_fit_says_why(bench: Bench) -> None:
    def broken(point: dict[str, Any]) -> float:
        raise ValueError("no")

    bench.lab.does("score", scored(broken))
    with pytest.raises(WorkFailed, match="no point has a score: "):
        PipelineSearchCV(bench.study(), {"x": [1, 2]}).fit(executor=bench.lab.executor)
