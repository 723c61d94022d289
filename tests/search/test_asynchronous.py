"""A slow point blocks nobody: each result is told when its datum ends, and the next point is asked for at once."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import pytest

from local_runner.errors import Invalid, WorkFailed
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import RepoRef
from local_runner.search.loop import Unseen, run_study
from local_runner.search.trials import Trial
from tests.search.conftest import Bench


class Slow:
    """A score of which the first point waits until `after` others have been told; then nothing waits any more."""

    def __init__(self, after: int) -> None:
        self.gate = threading.Event()
        self.after = after
        self.asked: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, point: dict[str, Any]) -> float:
        with self._lock:
            self.asked.append(point["x"])
            is_first = len(self.asked) == 1
        if is_first:
            assert self.gate.wait(20)
        return float(point["x"])

    def watcher(self) -> Told:
        return Told(self)


class Told(Unseen):
    """Opens the gate when enough points were told."""

    def __init__(self, slow: Slow) -> None:
        self._slow = slow
        self.trials: list[Trial] = []

    def told(self, trial: Trial) -> None:
        self.trials.append(trial)
        if len(self.trials) >= self._slow.after:
            self._slow.gate.set()


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """With as many jobs in progress as the search may want."""
    bench.spec("score", {"pfs": {"repo": "points", "glob": "/*.json"}}, parallelism_spec={"constant": 10}, datum_tries=1)
    bench.project(more='sampler = "tpe"')
    return bench


def test_a_slow_point_blocks_nobody(bench: Bench) -> None:
    slow = Slow(after=5)
    told = slow.watcher()
    found = bench.search(slow, 8, watcher=told)
    assert len(found.done) == 8
    assert [trial.point["x"] for trial in told.trials[:5]].count(slow.asked[0]) == 0
    assert sorted(slow.asked) == sorted(trial.point["x"] for trial in told.trials)  # each once
    assert {info.state for info in bench.lab.jobs("score")} == {JobState.SUCCESS}


def test_each_result_is_told_to_the_sampler_before_the_next_point_is_asked_for(bench: Bench) -> None:
    slow = Slow(after=5)
    study = bench.study()
    known: list[int] = []
    choose = study.choose

    def look(count: int) -> dict[str, Any]:
        known.append(len(study._told))
        return choose(count)

    study.choose = look  # type: ignore[method-assign]
    bench.search(slow, 6, study=study, watcher=slow.watcher())
    assert known[:6] == [0, 0, 1, 2, 3, 4]


def test_a_point_that_several_datums_score_is_told_when_all_have_ended(bench: Bench) -> None:
    bench.lab.put("parts@master", {"/1": "1", "/2": "2"})
    cross = [{"pfs": {"repo": "points", "glob": "/*.json"}}, {"pfs": {"repo": "parts", "glob": "/*"}}]
    bench.spec("score", {"cross": cross}, parallelism_spec={"constant": 10})
    project = bench.root / "local_runner.toml"
    project.write_text(project.read_text().replace("score:/*.json", "score:/*/*.json"))
    study, told = bench.study(), Told(Slow(after=99))

    def do(datum: ScriptedDatum) -> None:
        [file], [part] = datum.input("points").rglob("*.json"), [path for path in datum.input("parts").rglob("*") if path.is_file()]
        value = json.loads(file.read_text())["x"] + 100 * (part.name == "2")
        (datum.out / part.name).mkdir()
        (datum.out / part.name / file.name).write_text(json.dumps({"value": value}))

    bench.lab.does("score", do)
    run_study(study, 4, executor=bench.lab.executor, jobs=2, watcher=told)
    assert {trial.name: trial.score for trial in told.trials} == {trial.name: trial.score for trial in study.results().done}


def test_in_batches_more_is_asked_for_when_all_are_told(bench: Bench) -> None:
    most: list[int] = []

    class Counts(Unseen):
        def points_out(self, count: int) -> None:
            most.append(count)

    bench.search(lambda point: point["x"], 8, batch=4, watcher=Counts())
    assert {4} <= set(most)
    assert sum(1 for _ in bench.lab.runner.list_commit(RepoRef("default", "points"))) == 1 + 2


def test_a_point_that_fails_beside_a_slow_one_is_left_out_of_what_is_asked_for_next(bench: Bench) -> None:
    slow = Slow(after=6)

    def score(point: dict[str, Any]) -> float:
        value = slow(point)
        if point["x"] == slow.asked[1]:
            raise ValueError("too deep")
        return value

    told = slow.watcher()
    found = bench.search(score, 8, watcher=told)
    assert [trial.failure.words for trial in found.failed if trial.failure] == [("too deep",)]
    assert len(found.done) == 7
    assert len(bench.lab.files("points@master")) == 7
    assert slow.asked.count(slow.asked[1]) == 1


def test_what_was_told_early_is_in_the_store_in_the_end_also_if_its_job_was_stopped(bench: Bench) -> None:
    slow = Slow(after=10**6)

    class Stops(Told):
        def told(self, trial: Trial) -> None:
            super().told(trial)
            if len(self.trials) == 2:
                running = [info for info in bench.lab.jobs("score") if info.state is JobState.RUNNING]
                bench.lab.runner.stop_job(running[-2].job, "not now")  # of the first quick point: the oldest is the slow one's
                slow.gate.set()

    found = bench.search(slow, 6, watcher=Stops(slow))
    assert JobState.KILLED in {info.state for info in bench.lab.jobs("score")}
    assert len(found.done) == 6
    assert {trial.scores[0].file for trial in found.done} == set(bench.lab.files("score@master"))


def test_each_worker_has_a_device_of_its_own_and_there_are_as_many_workers_as_devices(bench: Bench) -> None:
    bench.project(more='sampler = "tpe"\ndevices = { CUDA_VISIBLE_DEVICES = ["3", "5"] }')
    together = threading.Barrier(2)

    def score(point: dict[str, Any]) -> float:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(10)
        return float(point["x"])

    bench.search(score, 4, jobs=0)
    assert sorted(worker.env["CUDA_VISIBLE_DEVICES"] for worker in bench.lab.executor.workers) == ["3", "5"]
    with pytest.raises(Invalid, match=r"local_runner.toml: search.s.devices: there are 2, but 3 datums are to run at once"):
        bench.search(score, 6, jobs=3)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('["0"]', "expected variables with lists of values"),
        ("{ DEVICE = [] }", "expected variables with lists of values"),
        ("{ DEVICE = [1] }", "DEVICE: expected a variable with a list of texts"),
        ('{ A = ["0"], B = ["0", "1"] }', "A, B are for different numbers of workers"),
    ],
)
def test_devices_that_are_none_are_refused_with_their_field(bench: Bench, written: str, said: str) -> None:
    bench.project(more=f"devices = {written}")
    with pytest.raises(Invalid, match=f"search.s.devices: {said}"):
        bench.study()


def test_a_result_that_was_told_early_and_never_committed_is_none(bench: Bench) -> None:
    slow = Slow(after=10**6)

    class Stops(Told):
        def told(self, trial: Trial) -> None:
            super().told(trial)
            if not slow.gate.is_set():
                bench.lab.runner.stop_job(bench.lab.jobs("score")[0].job, "not now")
                slow.gate.set()

    with pytest.raises(WorkFailed, match="score: killed: not now"):
        bench.search(slow, 2, watcher=Stops(slow))
    assert len(bench.study().results().done) == 1
    found = bench.search(slow, 2)
    assert {trial.scores[0].file for trial in found.done} == set(bench.lab.files("score@master"))
    assert len(found.done) == 2
