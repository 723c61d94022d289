"""Commands that stay: spouts and services (reference pps 4.8)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_runner.engine import services as spouts
from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.errors import Refused
from local_runner.executors.base import Executor, RunResult
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import PipelineRef, parse_commit, parse_file
from local_runner.runner import Runner
from tests.support.lab import Lab, copy

SPOUT = PipelineRef("default", "spout")
PATIENCE = 20.0


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


@contextlib.contextmanager
def background(lab: Lab, executor: Executor | None = None) -> Iterator[threading.Thread]:
    """An engine that lets services run, in a thread; it is told to stop at the end."""
    with engine_of(lab.runner, EngineConfig(executor or lab.executor, 2, services=True)) as engine:
        thread = threading.Thread(target=engine.work)
        thread.start()
        try:
            yield thread
        finally:
            engine.stop()
            thread.join()


class Stays:
    """A command that goes on until it is killed, or ends as it is told; `alive` counts those that are up."""

    def __init__(self, *ends: int) -> None:
        self.ends = list(ends)
        self.started: list[ScriptedDatum] = []
        self.alive = 0

    def __call__(self, datum: ScriptedDatum) -> int | RunResult:
        self.started.append(datum)
        if self.ends:
            return self.ends.pop(0)
        self.alive += 1
        datum.cancelled.wait(PATIENCE)
        self.alive -= 1
        return RunResult(-9, 0.0)


def stays(lab: Lab, *ends: int) -> Stays:
    lab.executor.stay = command = Stays(*ends)
    return command


def make_spout(lab: Lab, update: bool = False) -> None:
    document = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["do"]}, "spout": {}}
    lab.runner.create_pipeline(document, project="default", update=update)


# -- spouts ------------------------------------------------------------------------------------------------------------


def test_a_spout_runs_while_its_pipeline_does_with_nothing_but_its_workers_environment(lab: Lab) -> None:
    command = stays(lab)
    make_spout(lab)
    with background(lab) as engine:
        wait_for(lambda: command.alive)
        lab.runner.stop_pipeline(SPOUT)
        wait_for(lambda: not command.alive)
        wait_for(lambda: not engine.is_alive())  # it stays for spouts that run, and no others
    (datum,) = command.started
    assert (dict(datum.request.env), dict(datum.tree.links)) == ({}, {})
    assert datum.env["PPS_PIPELINE_NAME"] == "spout"
    assert lab.jobs("spout") == []


def test_a_spout_with_pipelines_below_may_be_updated(lab: Lab) -> None:
    make_spout(lab)
    lab.pipeline("below", "spout:/*", copy)
    lab.run_all()
    make_spout(lab, update=True)
    lab.run_all()
    assert lab.runner.inspect_pipeline(SPOUT).version == 2
    assert lab.state("below") is JobState.SUCCESS


def test_an_update_starts_a_spout_anew_and_a_delete_ends_it(lab: Lab) -> None:
    command = stays(lab)
    make_spout(lab)
    with background(lab):
        wait_for(lambda: command.alive)
        make_spout(lab, update=True)
        wait_for(lambda: len(command.started) == 2 and command.alive == 1)
        lab.runner.delete_pipeline(SPOUT)
        wait_for(lambda: not command.alive)


def test_a_spout_that_fails_is_started_again_after_ever_longer_pauses(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spouts, "FIRST_PAUSE", 0.01)
    command = stays(lab, 1, 3)
    make_spout(lab)
    with background(lab):
        wait_for(lambda: command.alive)
    assert len(command.started) == 3
    said = [str(line["message"]) for line in lab.runner.logs(SPOUT)]
    assert [text.partition(";")[0] for text in said] == [f"local_runner: the command ended: exit status {code}" for code in (1, 3)]


def test_a_spout_that_ended_well_is_not_started_again_by_the_next_engine_but_after_a_stop_and_start(lab: Lab) -> None:
    command = stays(lab, 0, 0)
    make_spout(lab)
    with background(lab) as engine:
        wait_for(lambda: not engine.is_alive())
    assert not lab.runner.has_work()
    info = lab.runner.inspect_pipeline(SPOUT)
    assert (info.state, info.reason) == (PipelineState.RUNNING, "the command of the spout ended well")
    lab.runner.stop_pipeline(SPOUT)
    lab.runner.start_pipeline(SPOUT)
    with background(lab) as engine:
        wait_for(lambda: not engine.is_alive())
    assert len(command.started) == 2


def test_an_engine_in_the_foreground_leaves_spouts_to_one_in_the_background(lab: Lab) -> None:
    command = stays(lab)
    make_spout(lab)
    lab.run_all()
    assert command.started == []
    assert lab.runner.has_work()
    assert not lab.runner.has_work(services=False)


def test_an_engine_that_only_keeps_a_spout_gives_way_to_one_that_asks(lab: Lab) -> None:
    command = stays(lab)
    make_spout(lab)
    entered = threading.Event()

    def serve() -> None:
        config = EngineConfig(lab.executor, services=True)
        with Runner.open(lab.runner.home, background=False) as runner, engine_of(runner, config) as engine:
            entered.set()
            engine.work()

    server = threading.Thread(target=serve)
    server.start()
    assert entered.wait(PATIENCE)
    wait_for(lambda: command.alive)
    with engine_of(lab.runner, EngineConfig(lab.executor), waiting=lambda holder: None):
        assert command.alive == 0
    server.join()


def test_only_the_worker_of_a_spout_may_write_to_its_output(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    make_spout(lab)
    lab.repo("other")
    lab.run_all()
    with pytest.raises(Refused, match="cannot start a commit on an output branch"):
        lab.put("spout@master", {"/a": "1"})
    former = lab.runner.inspect_pipeline(SPOUT).spec_commit
    make_spout(lab, update=True)
    present = lab.runner.inspect_pipeline(SPOUT).spec_commit
    for name, commit, accepted in (("spout", former, False), ("other", present, False), ("spout", present, True)):
        monkeypatch.setenv("PPS_PIPELINE_NAME", name)
        monkeypatch.setenv("PPS_SPEC_COMMIT", commit)
        with Runner.open(lab.runner.home, background=False) as runner:
            expected = contextlib.nullcontext() if accepted else pytest.raises(Refused, match="output branch")
            with expected, runner.modify_file(parse_commit("spout@master")) as change:
                change.put("/a", b"1")
    assert lab.files("spout@master") == {"/a": "1"}


def test_what_a_spout_writes_from_its_worker_goes_downstream(home: Path) -> None:
    executor: Executor = SandboxExecutor()
    if executor.why_not():
        executor = ProcessExecutor()
    lab = Lab(home)
    script = "for n in 1 2; do echo $n | pachctl put file spout@master:/$n || exit 1; done; sleep 60"
    spout = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["sh", "-c", script]}, "spout": {}}
    lab.runner.create_pipeline(spout, project="default")
    lab.pipeline(
        "copy", {"pfs": {"repo": "spout", "name": "in", "glob": "/*"}}, transform={"cmd": ["sh"], "stdin": ["cp /pfs/in/* /pfs/out"]}
    )
    with background(lab, executor):
        wait_for(lambda: lab.counts("copy") == {"total": 2, "processed": 1, "skipped": 1} and lab.state("copy") is JobState.SUCCESS)
    assert lab.files("copy@master") == {"/1": "1\n", "/2": "2\n"}
    lab.close()


def spout_with_service(lab: Lab) -> None:
    """It has an input, which a spout may have only then, and a pipeline below it."""
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("spout", "data:/", spout={"service": {"internal_port": 8000}})
    lab.pipeline("below", "spout:/*")


def test_a_spout_with_a_service_has_no_jobs_and_closes_the_commits_its_input_opens_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    spout_with_service(lab)
    created = lab.runner.inspect_commit(parse_commit("spout@master"))
    assert (created.description, created.finished is None) == ("close spout commit", False)
    lab.put("data@master", {"/a": "2"})
    lab.run_all()
    assert lab.jobs("spout") == []
    assert lab.runner.inspect_commit(parse_commit("spout@master")).finished is None
    assert lab.state("below") is JobState.STARTING
    assert not lab.runner.has_work(services=False)  # it waits for the spout, which nobody can hurry
    # What its worker puts there goes into the open commit.
    monkeypatch.setenv("PPS_PIPELINE_NAME", "spout")
    monkeypatch.setenv("PPS_SPEC_COMMIT", lab.runner.inspect_pipeline(SPOUT).spec_commit)
    with Runner.open(lab.runner.home, background=False) as worker:
        with worker.modify_file(parse_commit("spout@master")) as change:
            change.put("/seen", b"2")
        worker.finish_commit(parse_commit("spout@master"))
        with worker.modify_file(parse_commit("spout@master")) as change:  # closed, so this is a commit of its own
            change.put("/more", b"3")
    lab.run_all()
    assert lab.files("below@master") == {"/more": "3", "/seen": "2"}
    assert [info.state for info in lab.jobs("below")] == [JobState.SUCCESS] * 3


def test_a_spout_with_a_service_runs_without_seeing_its_input(lab: Lab) -> None:
    command = stays(lab)
    spout_with_service(lab)
    with background(lab):
        wait_for(lambda: command.alive)
        lab.put("data@master", {"/a": "2"})
        lab.runner.stop_pipeline(SPOUT)
        wait_for(lambda: not command.alive)
    (datum,) = command.started
    assert dict(datum.request.env) == {}


@pytest.mark.parametrize("name", ["spout", "site"])
def test_anybody_may_finish_an_open_output_commit_of_a_spout_or_service_but_of_no_other_pipeline(lab: Lab, name: str) -> None:
    spout_with_service(lab)
    lab.put("data@master", {"/a": "2"})
    lab.pipeline("site", "data:/", service={})
    lab.runner.finish_commit(parse_commit(f"{name}@master"))
    with pytest.raises(Refused, match="cannot finish a pipeline output"):
        lab.runner.finish_commit(parse_commit("below@master"))


# -- services ----------------------------------------------------------------------------------------------------------


def test_a_service_runs_over_its_one_datum_until_a_newer_job_takes_its_place(lab: Lab) -> None:
    command = stays(lab)
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("site", "data:/", service={"internal_port": 8000})
    with background(lab):
        wait_for(lambda: command.alive)
        (first,) = lab.jobs("site")
        assert (first.state, first.started) == (JobState.RUNNING, None)
        assert (command.started[0].input("data") / "a").read_text() == "1"
        lab.put("data@master", {"/a": "2"})
        wait_for(lambda: len(command.started) == 2 and command.alive == 1)
        assert (command.started[1].input("data") / "a").read_text() == "2"
        newest, oldest = lab.jobs("site")
        assert (newest.state, oldest.state) == (JobState.RUNNING, JobState.SUCCESS)
        assert oldest.started == oldest.finished
        lab.runner.stop_job(newest.job)
        wait_for(lambda: not command.alive)
    assert lab.state("site") is JobState.KILLED
    assert lab.files("site@master") == {}
    assert lab.runner.fsck() == []


def test_a_service_goes_on_with_the_next_engine(lab: Lab) -> None:
    command = stays(lab)
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("site", "data:/", service={})
    for number in (1, 2):
        with background(lab):
            wait_for(lambda: command.alive)
        assert command.alive == 0
        assert len(command.started) == number
        assert lab.state("site") is JobState.RUNNING


@pytest.mark.parametrize("files", [{}, {"/a": "1", "/b": "2"}])
def test_a_service_needs_exactly_one_datum(lab: Lab, files: dict[str, str]) -> None:
    lab.put("data@master", {**files})
    lab.pipeline("site", "data:/*", service={})
    with background(lab) as engine:
        wait_for(lambda: not engine.is_alive())
    assert lab.state("site") is JobState.FAILURE
    assert lab.job("site").reason == f"services must have a single datum, and the input makes {len(files)}"


def test_a_service_below_a_pipeline_starts_when_that_is_done(lab: Lab) -> None:
    command = stays(lab)
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy", do=copy)
    lab.pipeline("site", "copy:/", service={})
    with background(lab):
        wait_for(lambda: command.alive)
        assert (command.started[0].input("copy") / "a").read_text() == "1"
    assert b"".join(lab.runner.get_file(parse_file("copy@master:/a"))) == b"1"


@pytest.mark.skipif(bool(SandboxExecutor().why_not()), reason=SandboxExecutor().why_not())
def test_a_spout_whose_program_is_not_there_says_so_in_its_log_and_as_the_reason_of_the_pipeline(lab: Lab) -> None:
    document = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["/bin/app"], "image": "nobody/knows:1"}, "spout": {}}
    lab.runner.create_pipeline(document, project="default")
    with background(lab, SandboxExecutor()):
        wait_for(lambda: lab.runner.inspect_pipeline(SPOUT).reason)
    info = lab.runner.inspect_pipeline(SPOUT)
    printed = [str(line["message"]) for line in lab.runner.logs(SPOUT) if line.get("user")]
    for said in (info.reason, printed[0]):
        assert "the command ended: exec: /bin/app: no such file or directory; image nobody/knows:1 is not here" in said
    assert info.state is PipelineState.RUNNING, "as on a cluster"


def test_a_spout_that_writes_as_those_of_1x_did_says_that_nothing_of_it_is_kept(lab: Lab) -> None:
    stays(lab, 0)
    document = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["sh"], "stdin": ["tar c /x > /pfs/out"]}, "spout": {}}
    lab.runner.create_pipeline(document, project="default")
    with background(lab) as engine:
        wait_for(lambda: not engine.is_alive())
    reason = lab.runner.inspect_pipeline(SPOUT).reason
    assert reason.startswith("the command of the spout ended well; what it writes to /pfs/out is not kept")
    assert not lab.runner.has_work()
