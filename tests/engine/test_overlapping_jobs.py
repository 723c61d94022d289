"""Jobs of one pipeline overlap: a younger one works on what is new to it, and its last step waits for the older one's."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.engine.job_run import JobRun
from local_runner.errors import LocalRunnerError
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import CommitRef, RepoRef, parse_commit
from local_runner.repos.check import check
from local_runner.repos.transaction import Transaction
from tests.support.lab import Lab, copy, label

Files = dict[str, "str | bytes | None"]


class Slow:
    """User code that copies, of which what reads "slow" waits until somebody opens the gate; what reads "bad" fails."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.ended: list[str] = []

    def __call__(self, datum: ScriptedDatum) -> int:
        texts = [path.read_text() for path in datum.input("data").rglob("*") if path.is_file()]
        if any("slow" in text for text in texts):
            assert self.gate.wait(20)
        copy(datum)
        self.ended += texts
        return int(any("bad" in text for text in texts))

    def waits_until(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        """For `run_all(until=…)`: opens the gate as soon as that holds, and lets the engine go on to the end of its work."""

        def look() -> bool:
            if condition():
                self.gate.set()
            return False

        return look


def oldest_first(lab: Lab) -> list[JobInfo]:
    return lab.jobs("p")[::-1]


def made(lab: Lab, job: JobInfo) -> dict[str, str]:
    """The files of a job's output commit."""
    return lab.files(f"p@{job.job.id}")


@pytest.fixture
def slow() -> Slow:
    return Slow()


def several(lab: Lab, do: Callable[[ScriptedDatum], Any], *changes: Files, at_once: int = 3, **fields: Any) -> None:
    """A pipeline, and a job for each of these changes."""
    for number, change in enumerate(changes):
        lab.put("data@master", change)
        if number == 0:
            lab.pipeline("p", "data:/*", do, parallelism_spec={"constant": at_once}, datum_tries=1, **fields)


def test_a_younger_job_runs_what_is_new_to_it_while_a_slow_datum_of_the_older_one_runs(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow"}, {"/b": "quick"}, {"/c": "quick too"})
    lab.run_all(until=slow.waits_until(lambda: len(slow.ended) == 2))
    assert slow.ended == ["quick", "quick too", "slow"]
    jobs = oldest_first(lab)
    assert [job.state for job in jobs] == [JobState.SUCCESS] * 3
    assert [(job.counters.processed, job.counters.skipped) for job in jobs] == [(1, 0), (1, 1), (1, 2)]
    assert [sorted(made(lab, job)) for job in jobs] == [["/a"], ["/a", "/b"], ["/a", "/b", "/c"]]
    ends = [job.finished or 0.0 for job in jobs]
    assert ends == sorted(ends)


def test_a_datum_that_an_older_running_job_also_has_runs_once(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow", "/b": "1"}, {"/c": "2"}, {"/a": None})
    lab.run_all(until=slow.waits_until(lambda: "2" in slow.ended))
    assert lab.ran == ["p:/a", "p:/b", "p:/c"]


def test_a_changed_datum_waits_for_the_older_job_and_then_replaces_what_that_wrote(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow", "/b": "1"}, {"/b": "2", "/c": "3"})
    lab.run_all(until=slow.waits_until(lambda: "3" in slow.ended))
    assert slow.ended == ["1", "3", "slow", "2"]
    assert [made(lab, job) for job in oldest_first(lab)] == [{"/a": "slow", "/b": "1"}, {"/a": "slow", "/b": "2", "/c": "3"}]


@pytest.mark.parametrize("at_once", [1, 2])
def test_as_many_jobs_are_in_progress_as_the_parallelism_says(lab: Lab, slow: Slow, at_once: int) -> None:
    lab.jobs_at_once = 4
    several(lab, slow, *({f"/{number}": f"slow {number}"} for number in range(4)), at_once=at_once)
    most: list[int] = []

    def look() -> bool:
        most.append(sum(job.state is JobState.RUNNING for job in lab.jobs("p")))
        if max(most) == at_once:
            slow.gate.set()
        return False

    lab.run_all(until=look)
    assert max(most) == at_once
    assert lab.state("p") is JobState.SUCCESS


def test_the_parallelism_bounds_the_workers_of_all_jobs_together(lab: Lab) -> None:
    lab.jobs_at_once = 8
    running, most = [0], [0]
    lock = threading.Lock()

    def do(datum: ScriptedDatum) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    several(lab, do, *({f"/{number}{letter}": "x" for letter in "abcd"} for number in range(4)), at_once=2, datum_set_spec={"number": 1})
    lab.run_all()
    assert most[0] == 2


def test_a_younger_job_begins_when_the_older_ones_have_no_datum_waiting(lab: Lab, slow: Slow) -> None:
    lab.jobs_at_once = 1
    several(lab, slow, {f"/{number}": "1" for number in range(5)}, {"/new": "2"}, datum_set_spec={"number": 1})
    lab.run_all()
    assert slow.ended == ["1"] * 5 + ["2"]


def test_after_an_older_job_failed_the_younger_goes_on_from_an_older_one_and_runs_no_datum_twice(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "1"})
    lab.run_all()
    for change in ({"/b": "slow bad", "/c": "2"}, {"/b": None, "/d": "3"}):
        lab.put("data@master", change)
    lab.run_all(until=slow.waits_until(lambda: "3" in slow.ended))
    assert [job.state for job in oldest_first(lab)] == [JobState.SUCCESS, JobState.FAILURE, JobState.SUCCESS]
    assert lab.ran == ["p:/b", "p:/c", "p:/d"]
    assert lab.files("p@master") == {"/a": "1", "/c": "2", "/d": "3"}
    assert lab.counts("p") == {"total": 3, "processed": 2, "skipped": 1}


def test_what_a_failed_older_job_took_away_is_skipped_by_the_younger_that_has_it_again(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "1"})
    lab.run_all()
    for change in ({"/a": None, "/b": "slow bad"}, {"/a": "1", "/b": None, "/c": "2"}):
        lab.put("data@master", change)
    lab.run_all(until=slow.waits_until(lambda: {"1", "2"} <= set(slow.ended[1:])))
    assert lab.datums("p") == {"/a": "skipped", "/c": "success"}
    assert lab.counts("p") == {"total": 2, "processed": 1, "skipped": 1}
    assert lab.files("p@master") == {"/a": "1", "/c": "2"}


def test_a_younger_job_whose_datum_fails_ends_after_the_older_one(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow"}, {"/b": "bad"}, {"/b": "good"})
    lab.run_all(until=slow.waits_until(lambda: "bad" in slow.ended))
    older, failed, youngest = oldest_first(lab)
    assert (older.state, failed.state, youngest.state) == (JobState.SUCCESS, JobState.FAILURE, JobState.SUCCESS)
    assert (failed.finished or 0) >= (older.finished or 1)
    assert lab.datums("p", failed.job) == {"/a": "skipped", "/b": "failed"}
    assert made(lab, youngest) == {"/a": "slow", "/b": "good"}


@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_one_of_three_overlapping_jobs_may_be_stopped(lab: Lab, slow: Slow, stopped: int) -> None:
    several(lab, slow, {"/a": "slow"}, {"/b": "2"}, {"/c": "3"})

    def look() -> bool:
        if len(slow.ended) >= 2 and not slow.gate.is_set():
            lab.runner.stop_job(oldest_first(lab)[stopped].job)
            slow.gate.set()
        return False

    lab.run_all(until=look)
    jobs = oldest_first(lab)
    assert [job.state for job in jobs] == [JobState.KILLED if number == stopped else JobState.SUCCESS for number in range(3)]
    lab.put("data@master", {"/d": "4"})
    lab.run_all()
    assert lab.files("p@master") == {"/a": "slow", "/b": "2", "/c": "3", "/d": "4"}
    assert lab.counts("p")["total"] == 4
    with lab.runner.database.read() as session:
        assert check(session) == []


def test_what_a_stopped_job_had_done_beside_an_older_one_is_not_done_again(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow"}, {"/b": "2"}, {"/c": "3"})

    def look() -> bool:
        stopped = oldest_first(lab)[1].job
        if not slow.gate.is_set() and lab.datums("p", stopped) == {"/b": "success"}:
            lab.runner.stop_job(stopped)
            slow.gate.set()
        return False

    lab.run_all(until=look)
    assert lab.ran == ["p:/a", "p:/b", "p:/c"]
    assert lab.files("p@master") == {"/a": "slow", "/b": "2", "/c": "3"}


def test_an_engine_takes_up_two_half_done_jobs_and_runs_no_finished_datum_again(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow", "/b": "1"}, {"/c": "2"}, datum_set_spec={"number": 1})

    def both_wrote() -> bool:
        return [len(lab.datums("p", job.job)) for job in oldest_first(lab)] == [1, 1]

    stop_when(lab, slow, both_wrote)
    assert [job.state for job in lab.jobs("p")] == [JobState.RUNNING] * 2
    slow.gate.set()
    lab.run_all()
    assert lab.ran == ["p:/a"]
    assert [made(lab, job) for job in oldest_first(lab)] == [{"/a": "slow", "/b": "1"}, {"/a": "slow", "/b": "1", "/c": "2"}]
    assert lab.counts("p") == {"total": 3, "processed": 1, "skipped": 2}


def stop_when(lab: Lab, slow: Slow, condition: Callable[[], bool]) -> None:
    """Stop the engine as soon as that holds; user code that waits is let go afterwards."""

    def look() -> bool:
        found = condition()
        if found:
            threading.Timer(0.05, slow.gate.set).start()
        return found

    lab.run_all(until=look)
    slow.gate.clear()


def test_a_fault_when_the_older_job_is_over_fails_the_younger_and_nothing_else(
    lab: Lab, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no such tree")

    with monkeypatch.context() as patch:
        patch.setattr(JobRun, "settle", fail)
        several(lab, slow, {"/a": "slow"}, {"/b": "2"})
        lab.run_all(until=slow.waits_until(lambda: "2" in slow.ended))
    older, younger = oldest_first(lab)
    assert (older.state, younger.state) == (JobState.SUCCESS, JobState.FAILURE)
    assert "no such tree" in younger.reason
    lab.put("data@master", {"/c": "3"})
    lab.run_all()
    assert lab.files("p@master") == {"/a": "slow", "/b": "2", "/c": "3"}
    with lab.runner.database.read() as session:
        assert check(session) == []


def test_no_engine_waits_for_a_job_that_cannot_even_be_ended(lab: Lab, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pipeline is left aside. What a younger job has made is kept, and counts once the pipeline is started again."""
    several(lab, slow, {"/a": "slow"}, {"/b": "2"})
    advance, older = JobRun.advance, oldest_first(lab)[0].job

    def fail(*_: object) -> None:
        raise KeyError("no such tree")

    def go(run: JobRun, txn: Transaction) -> object:
        return fail() if run.info.job == older else advance(run, txn)

    with monkeypatch.context() as patch:
        patch.setattr(JobRun, "advance", go)
        patch.setattr("local_runner.engine.guard.fail_job", fail)
        patch.setattr("local_runner.engine.guard.fail_unreadable_job", fail)
        lab.run_all(until=slow.waits_until(lambda: "2" in slow.ended))
    assert [job.state for job in oldest_first(lab)] == [JobState.RUNNING] * 2
    lab.runner.start_pipeline(older.pipeline)
    lab.run_all()
    assert lab.ran == []
    assert [job.state for job in oldest_first(lab)] == [JobState.SUCCESS] * 2
    assert lab.files("p@master") == {"/a": "slow", "/b": "2"}


def test_nobody_reads_what_a_younger_job_has_made_before_it_stands_on_the_older_one(lab: Lab, slow: Slow) -> None:
    several(lab, slow, {"/a": "slow"}, {"/b": "2"})
    seen: list[str] = []

    def look() -> bool:
        younger = lab.jobs("p")[0]
        if not slow.gate.is_set() and lab.datums("p", younger.job) == {"/b": "success"}:
            with pytest.raises(LocalRunnerError, match="unfinished"):
                made(lab, younger)
            seen.append("refused")
            slow.gate.set()
        return False

    lab.run_all(until=look)
    assert seen == ["refused"]


# -- any interleaving ---------------------------------------------------------------------------------------------------

PATHS = st.sampled_from(["/a", "/b", "/c", "/d/x", "/d/y"])
CHANGES = st.lists(st.dictionaries(PATHS, st.sampled_from(["1", "2", "bad", None]), min_size=1, max_size=3), min_size=2, max_size=6)


def jumbled(seed: int) -> Callable[[ScriptedDatum], int]:
    """User code that takes a while, chosen by chance, and fails on "bad"."""
    chance = random.Random(seed)

    def do(datum: ScriptedDatum) -> int:
        time.sleep(chance.choice((0.0, 0.0, 0.002, 0.01)))
        copy(datum)
        return int(any("bad" in path.read_text() for path in datum.out.rglob("*") if path.is_file()))

    return do


def left(lab: Lab) -> list[tuple[object, ...]]:
    """All that jobs left, from the oldest to the newest, without ids of jobs and times."""
    jobs = oldest_first(lab)
    numbers = {job.job.id: number for number, job in enumerate(jobs)}
    found: list[tuple[object, ...]] = []
    for job in jobs:
        commit = CommitRef(RepoRef("default", "p", "user"), job.job.id)
        query = str(commit)
        is_good = job.state is JobState.SUCCESS
        listed = {label(info.datum): (info.state, numbers.get(info.job)) for info in lab.runner.list_datum(job.job)}
        good = (lab.files(query), lab.tags(query), listed, job.counters) if is_good else ()
        found.append((job.state, job.reason, job.counters.total, lab.runner.inspect_commit(parse_commit(query)).error, *good))
    return found


@settings(max_examples=15)
@given(first=st.integers(0, 2), changes=CHANGES, at_once=st.integers(2, 4), seed=st.integers(0, 1000), stops=st.booleans())
def test_any_interleaving_leaves_what_one_after_another_leaves(
    first: int, changes: list[Files], at_once: int, seed: int, stops: bool
) -> None:
    with TemporaryDirectory() as folder, contextlib.ExitStack() as labs:
        overlapping, serial = (labs.enter_context(contextlib.closing(Lab(Path(folder) / name, 3))) for name in ("many", "one"))
        for lab, parallelism in ((overlapping, at_once), (serial, 1)):
            lab.put("data@master", {"/a": "1"})
            lab.pipeline("p", "data:/*", jumbled(seed), parallelism_spec={"constant": parallelism}, datum_tries=1)
            for change in changes[:first]:
                lab.put("data@master", change)
            lab.run_all()
            for change in changes[first:]:
                lab.put("data@master", change)
            if stops and lab is overlapping:
                beats = itertools.count()
                lab.run_all(until=lambda beats=beats: next(beats) > 4 + seed % 20)  # type: ignore[misc]
            lab.run_all()
        assert left(overlapping) == left(serial)
        with overlapping.runner.database.read() as session:
            assert check(session) == []
