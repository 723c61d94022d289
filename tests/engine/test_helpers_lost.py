"""Helpers are cheap to lose: a worker that dies through no fault of a datum costs no try, and a full disk only time."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from local_runner.engine.batching.client import NextDatumServers
from local_runner.errors import Unavailable, WorkerLost
from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine
from tests.support.lab import Lab, copy

MANY = {f"/{number}": str(number) for number in range(8)}


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.put("data@master", MANY)
    return lab


def fails_at(path: str, error: Exception, times: int) -> Callable[[ScriptedDatum], None]:
    """Copies; but at one datum its worker ends with an error, so often."""
    left = iter(range(times))

    def do(datum: ScriptedDatum) -> None:
        if (datum.input("data") / path[1:]).exists() and next(left, None) is not None:
            raise error
        copy(datum)

    return do


def test_a_worker_that_is_lost_costs_no_try_and_only_its_datum_runs_again(lab: Lab) -> None:
    lab.pipeline("p", do=fails_at("/3", WorkerLost("it was killed"), 2), datum_tries=1)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert Counter(lab.ran) == {**{f"p:{path}": 1 for path in MANY}, "p:/3": 3}
    assert lab.files("p@master") == MANY


def test_a_datum_that_takes_every_worker_along_fails_and_the_others_do_not(lab: Lab) -> None:
    lab.pipeline("p", do=fails_at("/3", WorkerLost("it was killed"), 100), datum_tries=1)
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert {path: state for path, state in lab.datums("p").items() if state != "success"} == {"/3": "failed"}
    failed = next(info for info in lab.runner.list_datum(lab.job("p").job) if info.state == "failed")
    assert failed.reason == "its worker was lost 3 times: it was killed"
    assert Counter(lab.ran)["p:/3"] == 3


def test_workers_that_are_lost_before_they_have_a_datum_fail_the_job_in_the_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    open_worker: list[object] = []

    def lost(request: object) -> None:
        open_worker.append(request)
        raise WorkerLost("no memory")

    monkeypatch.setattr(lab.executor, "worker", lost)
    lab.pipeline("p", parallelism_spec={"constant": 1})
    lab.run_all()
    assert (lab.state("p"), lab.job("p").reason) == (JobState.FAILURE, "no memory")
    assert len(open_worker) == 3


def test_a_worker_that_cannot_work_fails_the_job_and_what_was_done_is_kept(lab: Lab) -> None:
    lab.jobs_at_once = 1
    lab.pipeline("p", do=fails_at("/3", Unavailable("no such image"), 1))
    lab.run_all()
    assert (lab.state("p"), lab.job("p").reason) == (JobState.FAILURE, "no such image")
    done = lab.ran[:]
    lab.runner.rerun_pipeline(lab.job("p").job.pipeline)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert sorted(done + lab.ran) == sorted([*(f"p:{path}" for path in MANY), "p:/3"])


def test_a_disk_that_was_full_for_a_while_costs_a_while(lab: Lab) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lab.pipeline("p", do=fails_at("/3", full, 1), datum_tries=1)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert Counter(lab.ran) == {**{f"p:{path}": 1 for path in MANY}, "p:/3": 2}


def test_a_disk_that_stays_full_fails_the_job_in_words(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.engine.job_run._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("local_runner.engine.job_run._LONGEST_PAUSE", 0.1)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    lab.pipeline("p", do=fails_at("/3", full, 100))
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert "is full" in lab.job("p").reason


# -- real helpers, really killed ---------------------------------------------------------------------------------------


@pytest.fixture(params=["process", "sandbox"])
def executor(request: pytest.FixtureRequest) -> Executor:
    found: Executor = ProcessExecutor() if request.param == "process" else SandboxExecutor()
    if found.why_not():
        pytest.skip(found.why_not())
    return found


def children(word: bytes) -> list[int]:
    """Processes started by this one in whose command a word stands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and word in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def killing(word: bytes, killed: list[int]) -> threading.Thread:
    """Kills one such child, a while after it came to be."""

    def kill() -> None:
        deadline = time.monotonic() + 30
        while not children(word) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5)
        killed.append(children(word)[0])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.parametrize(("helper", "batching"), [(b"launcher", False), (b"launcher", True), (b"batching.server", True)])
def test_the_kill_of_a_helper_is_not_seen_in_the_result(home: Path, executor: Executor, helper: bytes, batching: bool) -> None:
    machine, few = Machine(home, executor), dict(list(MANY.items())[:4])
    machine.put("data@master", few)
    loop = "while pachctl next datum; do sleep 0.6; cp /pfs/in/* /pfs/out/; done" if batching else "sleep 0.6; cp /pfs/in/* /pfs/out/"
    machine.script("p", loop, transform={"datum_batching": batching}, datum_tries=1)
    killed: list[int] = []
    killer = killing(helper, killed)
    machine.run_all()
    killer.join()
    assert killed
    assert machine.state("p") is JobState.SUCCESS, [machine.job("p").reason, machine.reasons("p"), machine.printed("p")]
    assert machine.files("p@master") == few
    assert set(machine.datums("p").values()) == {"success"}


def test_a_next_datum_server_that_died_is_followed_by_another() -> None:
    next_datum_servers = NextDatumServers()
    try:
        next_datum_servers.open().close()
        first = children(b"batching.server")
        os.kill(first[0], signal.SIGKILL)
        while children(b"batching.server"):
            time.sleep(0.01)
        next_datum_servers.open().close()
        assert len(children(b"batching.server")) == 1
        assert children(b"batching.server") != first
    finally:
        next_datum_servers.close()
