"""Searches over the real store and engine: results are kept, told again, never computed twice, and failures are results."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from local_runner.errors import Invalid, NotFound, Refused, WorkFailed
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import RepoRef
from local_runner.search.loop import Unseen, run_study
from local_runner.search.points import name_of
from local_runner.search.trials import DONE, FAILED, WAITING
from tests.search.conftest import Bench, scored


def square(point: dict[str, Any]) -> float:
    return -float((point["x"] - 6) ** 2)


def commits(bench: Bench, repo: str) -> int:
    """How many there are; the first one is empty, as a pipeline reads the repo."""
    return sum(1 for _ in bench.lab.runner.list_commit(RepoRef("default", repo)))


def test_a_grid_is_tried_whole_in_one_commit_and_its_best_is_found(bench: Bench) -> None:
    bench.project(more='sampler = "grid"')
    found = bench.search(square)
    assert [trial.point for trial in found.winners] == [{"x": 6}]
    assert len(found.done) == 10
    assert commits(bench, "points") == 1 + 1


def test_what_is_known_is_answered_from_the_store_whoever_asked_for_it(bench: Bench) -> None:
    bench.search(square, 5)
    assert len(bench.ran) == 5
    bench.project(more='sampler = "grid"')
    found = bench.search(square)
    assert len(bench.ran) == 5
    assert len(found.done) == 10


def test_a_point_is_a_file_named_by_its_content(bench: Bench) -> None:
    bench.search(square, 3)
    files = bench.lab.files("points@master")
    assert len(files) == 3
    assert all(path == f"/{name_of(json.loads(text))}.json" for path, text in files.items())


def test_nothing_is_left_to_do_when_so_many_points_are_known(bench: Bench) -> None:
    bench.search(square, 4)
    before = commits(bench, "points")
    assert bench.ran
    bench.search(square, 4)
    assert not bench.ran
    assert commits(bench, "points") == before


def test_a_finite_space_ends_when_all_of_it_is_tried(bench: Bench) -> None:
    found = bench.search(square, 50)
    assert len(found.done) == 10


def test_trials_that_fail_are_results_and_the_others_go_on(bench: Bench) -> None:
    def score(point: dict[str, Any]) -> float:
        if point["x"] in (2, 6):
            raise ValueError(f"no model with {point['x']} layers")
        return square(point)

    bench.project(more='sampler = "grid"')
    found = bench.search(score)
    assert {trial.point["x"] for trial in found.failed} == {2, 6}
    assert len(found.done) == 8
    words = {trial.failure.words for trial in found.failed if trial.failure}
    assert words == {("no model with 2 layers",), ("no model with 6 layers",)}
    # They are taken out of the repo of points, so that nothing runs them again, and stay known.
    assert len(bench.lab.files("points@master")) == 8
    assert bench.ran
    bench.search(score)
    assert not bench.ran


def test_what_failed_is_tried_again_when_that_is_asked_for(bench: Bench) -> None:
    def broken(point: dict[str, Any]) -> float:
        raise ValueError("a package is missing")

    with_all_failed = bench.search(broken, 3)
    assert len(with_all_failed.failed) == 3
    study = bench.study()
    study.retry([trial.name for trial in study.trials()])
    found = bench.search(square, 3, study=study)
    assert len(found.done) == 3
    assert not found.failed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "#value: nan is no score"),
        ("good", "#value: 'good' is no number"),
        (None, "the jobs succeeded, but score has no score for it at /*.json"),
    ],
)
def test_a_score_that_is_none_fails_its_point_and_names_file_and_field(bench: Bench, value: Any, said: str) -> None:
    found = bench.search(lambda point: value if point["x"] == 3 else 1.0, 10)
    assert [trial.point["x"] for trial in found.failed] == [3]
    failure = found.failed[0].failure
    assert failure is not None
    assert said in failure.reason
    assert len(found.done) == 9


def test_a_score_for_a_point_that_was_never_asked_for_is_named(bench: Bench) -> None:
    bench.search(square, 3)
    stranger = name_of({"x": 99})

    def do(datum: Any) -> None:
        (datum.out / f"{stranger}.json").write_text('{"value": 1}')

    bench.lab.does("score", do)
    bench.lab.pipeline("score", "points:/", update=True, reprocess=True)
    bench.lab.run_all()
    found = bench.study().results()
    assert found.problems == (f"score:/{stranger}.json: no point {stranger} was ever asked for",)


def test_a_pipeline_that_does_not_depend_on_the_points_is_refused_before_anything_is_asked(bench: Bench) -> None:
    bench.lab.put("other@master", {"/a": "1"})
    bench.spec("score", {"pfs": {"repo": "other", "glob": "/*"}})
    with pytest.raises(Invalid, match=r"local_runner.toml: search.s.score: the pipeline score does not depend on the points in points"):
        bench.search(square)
    assert bench.study().trials() == []


def test_a_score_that_no_pipeline_writes_is_refused(bench: Bench) -> None:
    (bench.root / "local_runner.toml").write_text(
        '[search.s]\npoints = "points"\nscore = "scores:/*.json#value"\npipelines = ["*.json"]\nspace = { x = [1] }\n'
    )
    with pytest.raises(Invalid, match=r"search.s.score: there is no pipeline scores"):
        bench.search(square)


def test_a_point_whose_file_has_another_name_is_named(bench: Bench) -> None:
    bench.lab.put("points@master", {"/0123456789abcdef.json": '{"x": 1}'})
    with pytest.raises(Invalid, match=r"points:/0123456789abcdef.json: the file is not named by its content"):
        bench.study()


def test_after_a_break_the_search_goes_on_where_it_was(bench: Bench) -> None:
    class Breaks(Unseen):
        """Ends the search when the third point is told, as Ctrl-C does."""

        count = 0

        def told(self, trial: Any) -> None:
            self.count += 1
            if self.count == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.search(square, 8, batch=1, study=bench.study(sampler="tpe"), watcher=Breaks())
    known = {trial.name for trial in bench.study().trials()}
    assert len(known) >= 3
    bench.ran.clear()
    found = bench.search(square, 8, study=bench.study(sampler="tpe"))
    assert len(found.done) == 8
    assert known <= {trial.name for trial in found.trials}
    assert len(bench.ran) <= 8 - 3


def test_ask_and_tell_by_hand(bench: Bench) -> None:
    study = bench.study()
    study.prepare()
    [trial] = study.ask()
    assert study.ledger.trial(trial.name).state == WAITING
    assert study.tell(trial, 0.5).score == 0.5
    [other] = study.ask()
    assert other.name != trial.name
    told = study.tell(other, failed="no room")
    assert told.state == FAILED
    # Another study over the same home knows it.
    assert {t.name: t.state for t in bench.study().trials()} == {trial.name: DONE, other.name: FAILED}
    with pytest.raises(NotFound, match="was ever asked for"):
        study.tell("0123456789abcdef", 1.0)
    with pytest.raises(Invalid, match="nan is no score"):
        study.tell(trial, float("nan"))


def test_a_study_can_be_told_what_pipelines_found(bench: Bench) -> None:
    bench.search(square, 1)
    study = bench.study()
    [trial] = study.ask()
    bench.lab.run_all()
    assert study.tell(trial).score == square(dict(trial.point))


def test_a_job_that_was_stopped_ends_the_search_with_its_reason(bench: Bench) -> None:
    def stop(point: dict[str, Any]) -> float:
        runner = bench.lab.runner
        job = next(iter(runner.list_job()))
        runner.stop_job(job.job, "not now")
        return square(point)

    with pytest.raises(WorkFailed, match="score: killed: not now"):
        bench.search(stop, 1)
    assert len(bench.search(square, 1).done) == 1


def test_a_pipeline_that_is_stopped_is_said_to_be(bench: Bench) -> None:
    bench.search(square, 1)
    bench.lab.runner.stop_pipeline(bench.lab.job("score").job.pipeline)
    with pytest.raises(Refused, match="pipeline score is stopped"):
        bench.search(square, 3)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_more_points_than_workers_are_never_out_with_a_sampler_that_adapts(bench: Bench, sampler: str) -> None:
    most = []

    class Counts(Unseen):
        def points_out(self, count: int) -> None:
            most.append(count)

    bench.search(square, 6, study=bench.study(sampler=sampler), watcher=Counts())
    assert max(most) == {"random": 6, "tpe": 2}[sampler]


def test_what_a_point_prints_is_seen_while_it_runs(bench: Bench) -> None:
    heard = threading.Event()
    lines = []

    class Listens(Unseen):
        def said(self, name: str, line: str) -> None:
            lines.append((name, line))
            heard.set()

    def do(datum: ScriptedDatum) -> int:
        datum.say("epoch 1: loss 0.5")
        [file] = datum.input("points").rglob("*.json")
        (datum.out / file.name).write_text('{"value": 1}')
        return int(not heard.wait(20))

    study = bench.study()
    bench.lab.does("score", do)
    run_study(study, 1, executor=bench.lab.executor, watcher=Listens())
    [trial] = study.results().done
    assert lines == [(trial.name, "epoch 1: loss 0.5")]


def test_a_worker_has_one_thread_for_its_sums_unless_the_spec_says_otherwise(bench: Bench) -> None:
    bench.search(square, 1)
    assert {worker.env["OMP_NUM_THREADS"] for worker in bench.lab.executor.workers} == {"1"}
    document = json.loads((bench.root / "score.json").read_text())
    document["transform"]["env"] = {"OMP_NUM_THREADS": "2"}
    (bench.root / "score.json").write_text(json.dumps(document))
    bench.search(square, 2)
    assert bench.lab.executor.workers[-1].env["OMP_NUM_THREADS"] == "2"
    assert bench.lab.executor.workers[-1].env["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_no_point_is_asked_for_twice_and_a_finite_space_is_asked_for_whole(bench: Bench, sampler: str, seed: int) -> None:
    bench.project(space="x = { low = 0, high = 3 }\ny = ['a', 'b']\nz = { choices = [1, 2], when = { y = 'a' } }")
    study = bench.study(sampler=sampler, seed=seed)
    study.prepare()
    asked = [trial.name for _ in range(8) for trial in study.ask(2)]
    assert len(asked) == len(set(asked)) == 4 * 2 + 4
    # Somebody else, too, finds nothing left to ask for.
    assert bench.study(sampler="random", seed=seed + 1).ask() == []


def test_points_that_failed_under_another_engine_are_results_and_those_beside_them_are_scored(bench: Bench) -> None:
    """An engine in the background does not go on after a failed datum, as on a cluster: its job fails, with all that was in it."""

    def score(point: dict[str, Any]) -> float:
        if point["x"] % 2:
            raise ValueError("odd")
        return square(point)

    bench.search(square, 1)
    study = bench.study(sampler="grid")
    study.ask(20)
    bench.lab.does("score", scored(score))
    bench.lab.run_all()
    assert bench.lab.job("score").state.word == "failure"
    found = bench.search(score, 10)
    assert len(found.done) + len(found.failed) == 10
    assert {trial.point["x"] for trial in found.failed} <= {1, 3, 5, 7, 9}
    assert {trial.point["x"] for trial in found.done} >= {0, 2, 4, 6, 8}


def test_tell_waits_for_the_pipelines_and_says_why_a_point_failed(bench: Bench) -> None:
    def score(point: dict[str, Any]) -> float:
        raise ValueError("no room")

    bench.search(square, 1)
    study = bench.study()
    [trial] = study.ask()
    bench.lab.does("score", scored(score))
    bench.lab.run_all()
    told = study.tell(trial)
    assert told.failure is not None
    assert told.failure.words == ("no room",)


def test_folds_are_data_and_the_same_points_on_others_reuse_nothing_that_differs(bench: Bench) -> None:
    (bench.root / "score.json").unlink()
    bench.spec("cut", {"pfs": {"repo": "folds", "glob": "/*.json"}})
    by_folder = {"glob": "/(*)/*", "join_on": "$1"}
    bench.spec("score", {"join": [{"pfs": {"repo": "points", **by_folder}}, {"pfs": {"repo": "cut", **by_folder}}]})
    text = """grid = "g.json"
folds = { repo = "folds", k = 3 }
score = "score:/*/*/*.json#value"
points = "points"
pipelines = ["*t.json", "score.json"]"""
    (bench.root / "local_runner.toml").write_text(f"[search.s]\n{text}\n")
    (bench.root / "g.json").write_text('{"x": [1, 2]}')

    def cut(datum: Any) -> None:
        [file] = datum.input("folds").glob("*.json")
        for number in range(json.loads(file.read_text())["k"]):
            (datum.out / file.stem).mkdir(exist_ok=True)
            (datum.out / file.stem / str(number)).write_text(str(number))

    def score(datum: Any) -> None:
        [point], [fold] = datum.input("points").rglob("*.json"), (p for p in datum.input("cut").rglob("*") if p.is_file())
        folder = datum.out / fold.parent.name / point.stem
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{fold.name}.json").write_text(json.dumps({"value": json.loads(point.read_text())["x"] + 0.1 * int(fold.name)}))

    def run(kfolds: int) -> list[tuple[float, ...]]:
        bench.lab.does("cut", cut)
        bench.lab.does("score", score)
        study = bench.study(kfolds=kfolds)
        run_study(study, executor=bench.lab.executor, jobs=2)
        return [tuple(score.value for score in trial.scores) for trial in study.results().trials]

    assert run(3) == [(2.0, 2.1, 2.2), (1.0, 1.1, 1.2)]
    assert len([name for name in bench.ran if name.startswith("score")]) == 6
    assert [len(scores) for scores in run(2)] == [2, 2]
    assert len([name for name in bench.ran if name.startswith("score")]) == 4
    assert run(3) == [(2.0, 2.1, 2.2), (1.0, 1.1, 1.2)]
    assert not bench.ran
