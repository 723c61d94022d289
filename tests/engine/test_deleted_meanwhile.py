"""What is deleted while an engine works on it is let go: nothing hangs, nothing is left over, and what remains is done."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef, parse_commit, parse_repo
from local_runner.pipelines.pipelines import PipelineRequest, create_pipeline, delete_pipeline
from local_runner.repos.check import check
from local_runner.repos.transaction import Transaction
from local_runner.runner import Runner
from tests.support.lab import Lab, copy

PATIENCE = 30.0
P = PipelineRef("default", "p")


@contextlib.contextmanager
def engine_at_work(lab: Lab) -> Iterator[None]:
    """An engine in a thread, with a connection of its own, until it has nothing left to do; an exception of it is raised at the end."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with Runner.open(lab.runner.home, background=False) as runner, engine_of(runner, EngineConfig(lab.executor, 2)) as engine:
                engine.work(linger=0.5)  # as one in the background does: what comes next is its work, too
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the engine hangs"
    assert failed == []


class Stays:
    """User code that begins, and goes on until it is let go; then it copies."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, datum: ScriptedDatum) -> None:
        self.began.set()
        while not self.go.is_set() and not datum.cancelled.is_set():
            self.go.wait(0.01)
        copy(datum)


def delete_everything(lab: Lab) -> None:
    lab.runner.delete_all()


def delete_its_project(lab: Lab) -> None:
    lab.runner.delete_project("default", force=True)


def delete_the_pipeline(lab: Lab) -> None:
    lab.runner.delete_pipeline(PipelineRef("default", "up"), force=True)


def delete_its_input(lab: Lab) -> None:
    lab.runner.delete_repo(parse_repo("data"), force=True)


def close_its_output(lab: Lab) -> None:
    lab.runner.finish_commit(parse_commit("up@master"), force=True)


def drop_its_commits(lab: Lab) -> None:
    lab.runner.drop_commit(parse_commit("up@master"), recursive=True)


VERBS = [delete_everything, delete_its_project, delete_the_pipeline, delete_its_input, close_its_output, drop_its_commits]


@pytest.mark.parametrize("verb", VERBS)
def test_the_engine_lets_go_of_what_is_deleted_under_its_hands(lab: Lab, verb: Callable[[Lab], None]) -> None:
    stays = Stays()
    lab.put("other@master", {"/1": "one"})
    lab.pipeline("beside", "other:/*")
    lab.run_all()
    lab.pipeline("up", "other:/*")
    lab.run_all()
    lab.put("data@master", {"/1": "one", "/2": "two", "/3": "three"})
    lab.pipeline("up", "data:/*", stays, update=True)
    lab.pipeline("down", "up:/*")
    with engine_at_work(lab):
        assert stays.began.wait(PATIENCE)
        verb(lab)
        stays.go.set()
    with lab.runner.database.read() as session:
        assert check(session) == []
        assert session.pipelines.unfinished_jobs() == []
    left = [info.pipeline.name for info in lab.runner.list_pipeline()]
    if "beside" in left:
        lab.put("other@master", {"/2": "two"})
        lab.run_all()
        assert (lab.state("beside"), lab.files("beside@master")) == (JobState.SUCCESS, {"/1": "one", "/2": "two"})


def test_a_pipeline_that_is_created_anew_at_once_runs_with_what_it_says_now(lab: Lab) -> None:
    """Its first version has the number of the one before."""
    stays = Stays()
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", "data:/*", stays, transform={"image": "old:1"})
    with engine_at_work(lab):
        assert stays.began.wait(PATIENCE)
        document = json.loads(lab.runner.inspect_pipeline(P).user_spec)
        document["transform"]["image"] = "new:1"

        def anew(txn: Transaction) -> None:  # both at once, so that no engine sees one of them alone
            delete_pipeline(txn, P)
            create_pipeline(txn, PipelineRequest(document, "default"))

        lab.runner.change(anew)
        stays.go.set()
    assert lab.state("p") is JobState.SUCCESS
    assert lab.executor.workers[-1].image == "new:1"
