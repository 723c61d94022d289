"""A datum that fails: its tries, its recovery, its end, and that of its job (reference pps 2.6, 3)."""

import os
import signal
import time
from typing import Any

import pytest

from local_runner.engine.staging import Staged, stage
from local_runner.executors.base import RunResult
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef
from tests.engine.one_job import run_once
from tests.support.lab import Lab, copy


class Tries:
    """Fails as often as it is told; notes the commands it saw and what lay in `out` then."""

    def __init__(self, failures: int, recover: bool = False) -> None:
        self.failures, self.recover = failures, recover
        self.seen: list[tuple[str, list[str]]] = []

    def __call__(self, datum: ScriptedDatum) -> int:
        command = datum.request.cmd[0]
        self.seen.append((command, sorted(os.listdir(datum.out))))
        if command == "mend":
            return int(not self.recover)
        (datum.out / "written").write_text("x")
        self.failures -= 1
        return int(self.failures >= 0)


def test_a_datum_has_three_tries_each_with_an_empty_out(lab: Lab) -> None:
    tries = Tries(failures=2)
    run_once(lab, tries)
    assert lab.state("p") is JobState.SUCCESS
    assert tries.seen == [("do", [])] * 3
    assert lab.counts("p") == {"total": 1, "processed": 1}


def test_a_negative_number_of_tries_is_four(lab: Lab) -> None:
    tries = Tries(failures=9)
    run_once(lab, tries, datum_tries=-1)
    assert len(tries.seen) == 4


@pytest.mark.parametrize(
    ("code", "accepted", "state"),
    [
        (-signal.SIGKILL, [-1], JobState.SUCCESS),
        (-signal.SIGKILL, [9, 137, -9], JobState.FAILURE),
        (-signal.SIGPIPE, [], JobState.SUCCESS),
        (1, [-1], JobState.FAILURE),
    ],
)
def test_death_by_a_signal_is_the_code_minus_one_and_a_broken_pipe_no_failure(
    lab: Lab, code: int, accepted: list[int], state: JobState
) -> None:
    run_once(lab, lambda _: code, transform={"accept_return_code": accepted}, datum_tries=1)
    assert lab.state("p") is state


def test_a_datum_that_was_killed_says_by_which_signal(lab: Lab) -> None:
    run_once(lab, lambda _: -signal.SIGSEGV, datum_tries=1)
    assert [info.reason for info in lab.runner.list_datum(lab.job("p").job)] == ["signal: segmentation fault"]


def test_a_datum_that_never_succeeds_fails_its_job_and_leaves_no_output(lab: Lab) -> None:
    tries = Tries(failures=9)
    run_once(lab, tries, datum_tries=2)
    assert len(tries.seen) == 2
    datum = next(iter(lab.runner.list_datum(lab.job("p").job)))
    assert lab.job("p").reason == f"datum {datum.datum.id} failed"
    assert (datum.state, datum.reason) == ("failed", "exit status 1")
    assert lab.files("p@master") == {}


def test_the_other_datums_of_a_failing_job_still_run(lab: Lab) -> None:
    run_once(lab, lambda d: int((d.input("data") / "b").exists()), {"/a": "1", "/b": "1", "/c": "1"}, datum_tries=1)
    assert lab.ran == ["p:/a", "p:/b", "p:/c"]
    assert lab.counts("p") == {"total": 3, "processed": 2, "failed": 1}


def test_a_recovered_datum_fails_nothing_writes_nothing_and_runs_next_time(lab: Lab) -> None:
    tries = Tries(failures=9, recover=True)
    run_once(lab, tries, transform={"err_cmd": ["mend"]})
    assert tries.seen == [("do", []), ("mend", ["written"])] * 3
    assert lab.state("p") is JobState.SUCCESS
    assert lab.counts("p") == {"total": 1, "recovered": 1}
    assert lab.files("p@master") == {}
    lab.put("data@master", {"/b": "1"})
    assert lab.plan("p") == {"/a": "run", "/b": "run"}


def test_a_datum_recovered_once_that_then_succeeds_is_processed_and_runs_next_time(lab: Lab) -> None:
    run_once(lab, Tries(failures=1, recover=True), transform={"err_cmd": ["mend"]})
    assert lab.counts("p") == {"total": 1, "processed": 1}
    assert lab.files("p@master") == {"/written": "x"}
    lab.put("data@master", {"/a": "1"})
    assert lab.plan("p") == {"/a": "run"}


def test_accepted_codes_are_success(lab: Lab) -> None:
    run_once(lab, lambda datum: 7, transform={"accept_return_code": [7]})
    assert lab.state("p") is JobState.SUCCESS


def test_a_timed_out_datum_is_never_recovered(lab: Lab) -> None:
    commands: list[str] = []

    def slow(datum: ScriptedDatum) -> RunResult:
        commands.append(datum.request.cmd[0])
        assert datum.request.timeout == 5
        return RunResult(-9, 5.0, timed_out=True)

    run_once(lab, slow, transform={"err_cmd": ["mend"]}, datum_timeout="5s", datum_tries=2)
    assert commands == ["do", "do"]
    assert lab.state("p") is JobState.FAILURE
    assert next(iter(lab.runner.list_datum(lab.job("p").job))).reason == "timed out after 5.0s"


def test_a_job_over_its_time_is_killed(lab: Lab) -> None:
    run_once(lab, lambda datum: datum.cancelled.wait(30) and 0, job_timeout="0.2s")
    assert lab.state("p") is JobState.KILLED
    assert lab.job("p").reason == " jobtimed out"


def test_a_stopped_job_ends_what_runs_at_once(lab: Lab) -> None:
    def stop_me(datum: ScriptedDatum) -> int:
        lab.runner.stop_job(lab.job("p").job)
        return int(datum.cancelled.wait(30))

    began = time.monotonic()
    run_once(lab, stop_me)
    assert time.monotonic() - began < 10
    assert lab.state("p") is JobState.KILLED
    assert lab.job("p").reason == "job stopped"
    lab.does("p", copy)
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert lab.files("p@master") == {"/a": "1", "/b": "1"}


def test_a_job_that_is_stopped_while_a_datum_is_laid_out_never_starts_its_command(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_meanwhile(*parts: Any, **more: Any) -> Staged:
        staged = stage(*parts, **more)
        lab.runner.stop_job(lab.job("p").job)
        time.sleep(0.3)  # the engine hears of it at once
        return staged

    monkeypatch.setattr("local_runner.engine.attempt.stage", stop_meanwhile)
    run_once(lab, copy)
    assert lab.ran == []
    assert lab.state("p") is JobState.KILLED


def test_an_update_kills_the_jobs_of_the_version_before(lab: Lab) -> None:
    def update_me(datum: ScriptedDatum) -> int:
        lab.pipeline("p", do=copy, update=True)
        return int(datum.cancelled.wait(30))

    run_once(lab, update_me)
    assert [job.state for job in lab.jobs("p")] == [JobState.SUCCESS, JobState.KILLED]
    assert "killed because pipeline was updated" in lab.jobs("p")[1].reason
    assert lab.files("p@master") == {"/a": "1"}


def test_a_restarted_datum_is_a_failed_attempt(lab: Lab) -> None:
    attempts: list[int] = []

    def hang_once(datum: ScriptedDatum) -> int:
        attempts.append(1)
        if len(attempts) > 1:
            return 0
        for _ in range(200):
            if lab.job("p").running:
                break
            time.sleep(0.02)
        (running,) = lab.job("p").running
        assert running.paths == ("/a",)
        lab.runner.restart_datum(lab.job("p").job, ["/a", *running.hashes])
        return int(datum.cancelled.wait(30))

    run_once(lab, hang_once)
    assert len(attempts) == 2
    assert lab.state("p") is JobState.SUCCESS


def test_a_pipeline_without_a_command_fails_as_a_whole(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", transform={"cmd": []})
    lab.run_all()
    assert lab.runner.inspect_pipeline(PipelineRef("default", "p")).state.value == "PIPELINE_FAILURE"
