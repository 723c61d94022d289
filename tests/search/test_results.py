"""What is shown of a search: tables, CSV, JSON, pictures, and the remarks on what puts a winner in doubt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from local_runner.errors import Invalid
from local_runner.model.space import Point
from local_runner.project.search import ScorePath, SearchSettings
from local_runner.project.search_space import read_document
from local_runner.search.again import compute_again
from local_runner.search.checks import check_results, shared_rows
from local_runner.search.draw import KINDS, draw
from local_runner.search.importance import importance
from local_runner.search.points import name_of
from local_runner.search.results import Effort, Results
from local_runner.search.trials import DONE, FAILED, Failure, Score, Trial, ranked
from tests.search.conftest import Bench


def results(scores: Sequence[tuple[Point, Sequence[float] | str]], space: Any = None, *, maximize: bool = True) -> Results:
    """Results of points with the scores of their folds, or why they failed."""
    trials = []
    for order, (point, found) in enumerate(scores):
        if isinstance(found, str):
            trials.append(Trial(name_of(point), point, FAILED, (), Failure(found), order))
        else:
            folds = tuple(Score(str(fold) if len(found) > 1 else "", value, "/f") for fold, value in enumerate(found))
            trials.append(Trial(name_of(point), point, DONE, folds, None, order))
    settings = SearchSettings("s", Path("p.toml"), ScorePath("r", "/*", "accuracy"), "points", (), maximize, space)
    efforts = {trial.name: Effort((0.5, 1.0)) for trial in trials}
    return Results(settings, tuple(ranked(trials, maximize)), efforts)


def remarks(found: Results) -> dict[str, str]:
    return {remark.kind: remark.sentence for remark in check_results(found)}


CROSSED = [(kernel, c, gamma) for kernel in ("rbf", "linear") for c in (1, 10) for gamma in (1, 10)]
GRID = [({"kernel": k, "C": c, "gamma": gamma}, [0.9 if k == "linear" else 0.5 + c * gamma / 1000]) for k, c, gamma in CROSSED]


def test_the_best_is_first_failed_ones_last_and_equal_scores_share_a_rank() -> None:
    found = results([({"x": 1}, [0.5]), ({"x": 2}, "no room"), ({"x": 3}, [0.7]), ({"x": 4}, [0.7])])
    assert [(row["rank"], row["x"]) for row in found.records()] == [(1, 3), (1, 4), (3, 1), (None, 2)]
    lowest = results([({"x": 1}, [0.5]), ({"x": 3}, [0.7])], maximize=False)
    assert [trial.point["x"] for trial in lowest.trials] == [1, 3]


def test_csv_and_json_have_every_fold_in_full() -> None:
    found = results([({"x": 1, "k": "a"}, [0.1, 1 / 3]), ({"x": 2, "k": "b"}, 'a, "b"\nc')])
    [best, failed] = csv.DictReader(io.StringIO(found.csv()))
    assert float(best["fold 1"]) == 1 / 3
    assert failed["reason"] == 'a, "b"\nc'
    document = json.loads(found.json())
    assert [score["value"] for score in document["trials"][0]["scores"]] == [0.1, 1 / 3]


def test_means_and_spreads_are_those_of_scikit_learn() -> None:
    [trial] = results([({"x": 1}, [0.25, 0.5, 0.75])]).trials
    assert trial.score == 0.5
    assert trial.spread == pytest.approx(0.2041, abs=1e-4)
    assert trial.error == pytest.approx(0.25 / 3**0.5)


def test_all_winners_are_named_exactly() -> None:
    assert remarks(results([({"x": 1}, [0.5]), ({"x": 2}, [0.5]), ({"x": 3}, [0.4999999])]))["ties"] == "2 points tie at 0.5: x=1; x=2"
    assert "ties" not in remarks(results([({"x": 1}, [0.5]), ({"x": 2}, [0.4999999])]))


def test_a_parameter_without_effect_is_named_with_where_that_is_so() -> None:
    said = [remark.sentence for remark in check_results(results(GRID)) if remark.kind == "no effect"]
    assert said == [
        "C has no effect under kernel=linear: all 2 groups of points that differ in C only score the same",
        "gamma has no effect under kernel=linear: all 2 groups of points that differ in gamma only score the same",
    ]
    flat = results([({"x": x, "y": y}, [float(x)]) for x in (1, 2) for y in (1, 2)])
    assert remarks(flat)["no effect"] == "y has no effect: all 2 groups of points that differ in y only score the same"


def test_a_winner_at_an_edge_of_its_space_is_named() -> None:
    space = read_document([{"C": {"low": 0.001, "high": 1000.0, "log": True}}])
    assert remarks(results([({"C": 990}, [0.9]), ({"C": 1}, [0.5])], space))["edge"].startswith("the best C is the largest there is (990)")
    assert "edge" not in remarks(results([({"C": 500}, [0.9]), ({"C": 1}, [0.5])], space))
    assert "edge" not in remarks(results([({"C": 1}, [0.9]), ({"C": 2}, [0.9]), ({"C": 3}, [0.9])]))


def test_points_that_the_folds_cannot_tell_from_the_best_are_named() -> None:
    near = results([({"x": 1}, [0.8, 0.9, 1.0]), ({"x": 2}, [0.8, 0.9, 0.95]), ({"x": 3}, [0.1, 0.1, 0.1])])
    assert remarks(near)["lead"].startswith("1 other points lie within one standard error (0.0577) of the best")
    assert "the best leads by" in remarks(results([({"x": 1}, [0.8, 0.9, 1.0]), ({"x": 3}, [0.1, 0.1, 0.1])]))["lead"]


def test_rows_in_training_and_test_are_found_by_content_in_the_commits_the_scores_stand_on(bench: Bench) -> None:
    bench.project(more='train = "data:/train.csv"\ntest = "data:/test.csv"')
    bench.spec("score", {"cross": [{"pfs": {"repo": "points", "glob": "/*.json"}}, {"pfs": {"repo": "data", "glob": "/"}}]})
    bench.lab.put("data@master", {"/train.csv": "a,b\n1,2\n3,4\n", "/test.csv": "a,b\n3,4\n5,6\n"})
    bench.search(lambda point: float(point["x"]), 2)
    bench.lab.put("data@master", {"/train.csv": "7,8\n"})  # what was not scored yet does not count
    study = bench.study()
    [remark] = shared_rows(bench.lab.runner, study.ledger)
    assert remark.sentence == "1 of 2 test rows are in the training rows as well, so scores are too good; for example data:/test.csv: 3,4"


def test_a_point_that_gives_other_bytes_the_next_time_is_named(bench: Bench) -> None:
    calls: list[float] = []

    def by_chance(point: dict[str, Any]) -> float:
        calls.append(point["x"])
        return len(calls) if point["x"] == 9 else point["x"] / 100

    bench.project(more='sampler = "grid"')
    found = bench.search(by_chance)
    ledger = bench.study().ledger
    remarks = list(compute_again(bench.lab.runner, ledger, found, bench.lab.executor, 2))
    assert len(calls) == 12
    name = name_of({"x": 9})
    assert remarks[0].sentence == f"the same point gave other bytes in /{name}.json ({name}, x=9): a seed is not fixed"
    assert remarks[1].sentence == "1 datums of the best points gave the same bytes when they were computed again"
    assert len(bench.study().results().done) == 10


def test_importance_is_the_share_of_the_variance_that_a_parameter_explains() -> None:
    found = results([({"x": x, "y": y}, [10.0 * x + y]) for x in (0, 1) for y in (0, 1)])
    assert dict(importance(found)) == {"x": pytest.approx(100 / 101), "y": pytest.approx(1 / 101)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_picture_is_drawn_with_a_table_beside_it(tmp_path: Path, kind: str) -> None:
    found = results([(point, [score[0], score[0] + 0.01]) for point, score in GRID])
    table = draw(found, kind, tmp_path / f"{kind}.svg")
    assert "<svg" in (tmp_path / f"{kind}.svg").read_text()
    assert len(table.read_text().splitlines()) > 1
    draw(found, kind, tmp_path / f"{kind}.png")
    assert (tmp_path / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"neither .svg nor .png"):
        draw(results(GRID), "history", tmp_path / "a.jpg")
    with pytest.raises(Invalid, match="no point has a score yet"):
        draw(results([({"x": 1}, "no")]), "history", tmp_path / "a.svg")
    with pytest.raises(Invalid, match="two parameters"):
        draw(results([({"x": 1}, [0.5])]), "heat", tmp_path / "a.svg")


def test_in_notebooks_results_are_a_table_with_the_winners_marked() -> None:
    shown = results([({"x": 1}, [0.5]), ({"x": "<b>"}, [0.25])])._repr_html_()
    assert "<td><b>0.5</b></td>" in shown
    assert "&lt;b&gt;" in shown
