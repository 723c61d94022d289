"""Workers of a former version of a pipeline: they are waited for, and what they say last goes to nobody else."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_repo
from local_runner.runner import Runner
from tests.support.lab import Lab, copy


def test_an_engine_ends_after_the_workers_of_versions_that_are_gone(lab: Lab, home: Path) -> None:
    ended: list[bool] = []

    def slow(datum: ScriptedDatum) -> None:
        lab.pipeline("p", do=copy, update=True)  # version 2, while a datum of version 1 is under way
        time.sleep(0.5)  # a command that takes a while to die
        ended.append(True)

    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", do=slow)
    lab.run_all()
    assert ended == [True]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("default-p-")]
    assert lab.state("p") is JobState.SUCCESS
    # What has the number of the engine's wakeup by now hears nothing.
    other = Runner.open(home.parent / "other", background=False)
    other.create_repo(parse_repo("r"))
    assert (home.parent / "other" / "records.sqlite-wal").read_bytes()[:1] != b"!"
    other.close()


def test_the_restart_of_a_datum_that_has_just_ended_does_nothing_to_the_next(lab: Lab) -> None:
    """A restart that comes late, at any moment, neither stops the engine nor fails another datum."""
    lab.put("data@master", {f"/{number}": "1" for number in range(30)})
    lab.pipeline("p", datum_tries=1, parallelism_spec={"constant": 1})
    stopping = threading.Event()
    first = threading.Event()

    def do(datum: ScriptedDatum) -> None:
        if not first.is_set():
            first.set()
            time.sleep(0.6)  # until it is said what runs
        copy(datum)

    lab.does("p", do)

    def restart_what_ran_first() -> None:
        first.wait()
        while not lab.job("p").running:
            time.sleep(0.01)
        ran = lab.job("p").running[0].datum
        while not stopping.is_set() and not lab.state("p").is_final:
            with lab.runner.database.write() as session:
                session.pipelines.ask(lab.job("p").job, [ran])
            time.sleep(0.002)
        lab.runner.database.close_thread()

    asking = threading.Thread(target=restart_what_ran_first)
    asking.start()
    lab.run_all()
    stopping.set()
    asking.join()
    failed = [path for path, state in lab.datums("p").items() if state == "failed"]
    assert len(failed) <= 1  # the one that was restarted, which had one try
    assert len(lab.datums("p")) == 30


@pytest.mark.parametrize("moment", ["before", "within"])
def test_a_restart_hits_the_attempt_it_was_meant_for(lab: Lab, moment: str) -> None:
    from local_runner.engine.datum_run import DatumRunner

    class Worker:
        cancelled = 0

        def cancel(self) -> None:
            self.cancelled += 1

    worker = Worker()
    runner = DatumRunner(lab.runner.database, worker, "w", Path("/nowhere"))  # type: ignore[arg-type]
    runner._control.begin("this" if moment == "within" else "another")
    runner.restart("this")
    assert worker.cancelled == (moment == "within")
