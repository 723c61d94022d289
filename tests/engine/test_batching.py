"""User code that stays up and asks for one datum after the other (reference pps 2.8)."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local_runner.engine.batching.client import NextDatumServers, next_datum
from local_runner.errors import Refused
from local_runner.executors.base import WorkerRequest
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine
from tests.support.lab import Lab, copy

FOUR: "dict[str, str | bytes | None]" = {f"/{n}": str(n) for n in range(4)}


class Program:
    """A user's program: for each datum calls `do` with its path; what it returns is the error it reports, None ends the program.

    Unless it `leaves_nothing` it copies its input.
    """

    def __init__(self, do: Callable[[str], str | None] = lambda path: "", *, leaves_nothing: bool = False) -> None:
        self.do = do
        self.leaves_nothing = leaves_nothing
        self.starts = 0
        self.seen: list[str] = []

    def __call__(self, process: ScriptedDatum) -> int:
        self.starts += 1
        assert "PACH_DATUM_ID" not in process.env
        error = ""
        while True:
            try:
                env = dict(pair.split("=", 1) for pair in next_datum(int(process.env["PPS_WORKER_GRPC_PORT"]), error))
            except Refused:
                return 0
            path = env["data"].removeprefix("/pfs/data")
            self.seen.append(path)
            content = (process.worker.pfs / "data" / path[1:]).read_bytes()
            if not self.leaves_nothing:
                (process.worker.pfs / "out" / path[1:]).write_bytes(content)
            answer = self.do(path)
            if answer is None:
                return 0
            error = answer


def run(lab: Lab, program: Program, files: "dict[str, str | bytes | None]" = FOUR, **fields: object) -> None:
    """All files as datums of one set."""
    lab.executor.stay = program
    lab.put("data@master", files)
    lab.pipeline("batch", transform={"datum_batching": True}, datum_set_spec={"number": len(files)}, **fields)  # type: ignore[arg-type]
    lab.run_all()


def test_one_process_serves_a_whole_set(lab: Lab) -> None:
    program = Program()
    run(lab, program)
    assert program.starts == 1
    assert sorted(program.seen) == sorted(FOUR)
    assert lab.files("batch@master") == FOUR


def test_the_default_sets_are_quarters_of_all_datums_of_the_job_not_of_those_that_are_new(lab: Lab) -> None:
    program = Program()
    lab.executor.stay = program
    lab.put("data@master", {f"/{number}": str(number) for number in range(6)})
    lab.pipeline("batch", transform={"datum_batching": True})
    lab.run_all()
    assert program.starts == 6
    lab.put("data@master", {"/6": "6", "/7": "7"})
    lab.run_all()
    assert program.starts == 6 + 1


def test_an_error_starts_a_new_process_and_repeats_that_datum_alone(lab: Lab) -> None:
    failed: list[str] = []

    def fail_once(path: str) -> str:
        if path == "/2" and not failed:
            failed.append(path)
            return "no good"
        return ""

    program = Program(fail_once)
    run(lab, program)
    assert program.starts == 2
    assert sorted(program.seen) == sorted([*FOUR, "/2"])
    assert lab.files("batch@master") == FOUR


def test_an_error_that_stays_fails_the_datum_with_its_words(lab: Lab) -> None:
    run(lab, Program(lambda path: "no good" if path == "/1" else ""), datum_tries=2)
    assert lab.state("batch") is JobState.FAILURE
    failed = [info for info in lab.runner.list_datum(lab.job("batch").job) if info.state == "failed"]
    assert [info.reason for info in failed] == ["no good"]
    assert lab.counts("batch") == {"total": 4, "processed": 3, "failed": 1}


def test_a_process_that_ends_by_itself_is_a_failed_attempt(lab: Lab) -> None:
    run(lab, Program(lambda path: None if path == "/3" else ""), datum_tries=1)
    failed = [info for info in lab.runner.list_datum(lab.job("batch").job) if info.state == "failed"]
    assert [info.reason for info in failed] == ["user code exited prematurely"]


# Some are too large to be sent ahead.
MANY: "dict[str, str | bytes | None]" = {f"/{n:02}": str(n) * (60_000 if n % 7 == 3 else 1) for n in range(30)}


def test_datums_that_leave_nothing_are_given_one_after_the_other(lab: Lab) -> None:
    program = Program(leaves_nothing=True)
    run(lab, program, MANY)
    assert program.starts == 1
    assert sorted(program.seen) == sorted(MANY)
    assert lab.counts("batch") == {"total": 30, "processed": 30}
    times = [info.stats.process_time for info in lab.runner.list_datum(lab.job("batch").job) if info.stats]
    assert len(times) == 30
    assert all(0 < time < 5 for time in times)


@pytest.mark.parametrize("ends", ["no good", None])
def test_after_datums_that_left_nothing_the_right_one_has_failed(lab: Lab, ends: str | None) -> None:
    program = Program(lambda path: ends if path == "/17" else "", leaves_nothing=True)
    run(lab, program, MANY, datum_tries=2)
    assert {path: program.seen.count(path) for path in MANY} == {path: 2 if path == "/17" else 1 for path in MANY}
    failed = [info for info in lab.runner.list_datum(lab.job("batch").job) if info.state == "failed"]
    assert [(info.datum.inputs[0].path, info.reason) for info in failed] == [("/17", ends or "user code exited prematurely")]
    assert lab.counts("batch") == {"total": 30, "processed": 29, "failed": 1}


def test_time_runs_for_each_datum_also_after_some_that_left_nothing(lab: Lab) -> None:
    def sleep_long(path: str) -> str:
        if path == "/17":
            time.sleep(4)
        return ""

    run(lab, Program(sleep_long, leaves_nothing=True), MANY, datum_tries=1, datum_timeout="2s")
    failed = [info for info in lab.runner.list_datum(lab.job("batch").job) if info.state == "failed"]
    assert [(info.datum.inputs[0].path, info.reason) for info in failed] == [("/17", "timed out after 2.0s")]


def test_next_datum_outside_batching_is_refused(tmp_path: Path) -> None:
    request = WorkerRequest("worker", tmp_path / "pfs", tmp_path, env={})
    request.pfs.mkdir()
    next_datum_servers = NextDatumServers()
    client = next_datum_servers.open()
    try:
        with ScriptedExecutor(lambda datum: 0).worker(request) as worker:
            client.attach(worker)
            client.listen()
            client.pause()
            with pytest.raises(Refused, match="datum batching not enabled"):
                next_datum(client.port)
    finally:
        client.close()
        next_datum_servers.close()


def test_user_code_in_a_sandbox_cannot_lead_whoever_lays_out_its_datums_to_a_folder_of_the_host(home: Path) -> None:
    executor = SandboxExecutor()
    if executor.why_not():
        pytest.skip(executor.why_not())
    target = home.parent / "target"
    target.mkdir()
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "1", "/b": "2"})
    trick = ("pachctl next datum", "cd /pfs/.scratch", "set=$(ls)", "mv $set moved", f"ln -s {target} $set", "pachctl next datum")
    machine.script("p", *trick, transform={"datum_batching": True}, datum_set_spec={"number": 2}, datum_tries=1)
    machine.run_all()
    assert machine.state("p") is JobState.FAILURE
    assert "cannot be laid out" in machine.job("p").reason
    assert list(target.iterdir()) == []
    machine.close()


def test_a_process_that_got_ready_for_a_job_that_was_stopped_serves_no_other(lab: Lab) -> None:
    served: list[tuple[str, int]] = []
    gate = threading.Event()
    program = Program()

    def serve(process: ScriptedDatum) -> int:
        program.seen.clear()
        end = program(process)
        served.append((process.env["PACH_JOB_ID"], len(program.seen)))
        return end

    def wait(datum: ScriptedDatum) -> None:
        gate.wait(20)
        copy(datum)

    lab.executor.stay = serve
    lab.put("raw@master", {"/a": "1"})
    lab.pipeline("data", "raw:/*", wait)
    lab.pipeline("batch", transform={"datum_batching": True})
    lab.put("raw@master", {"/b": "2"})

    def stop_the_first() -> bool:
        if program.starts and not gate.is_set():
            lab.runner.stop_job(lab.jobs("batch")[-1].job)
            gate.set()
        return False

    lab.run_all(until=stop_the_first)
    last, first = lab.jobs("batch")
    assert (last.state, first.state) == (JobState.SUCCESS, JobState.KILLED)
    assert {job for job, datums in served if datums} == {last.job.id}
