"""Cases 109 to 116 of reference pps 6.5: which change makes which job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_branch, parse_commit
from tests.contracts.bench import soon
from tests.reference.datums import pfs
from tests.reference.graph import FAILURE, KILLED, SUCCESS, UNRUNNABLE, commits, fails_on, set_of, states
from tests.support.lab import Lab, copy

STARTING, RUNNING = JobState.STARTING, JobState.RUNNING


def until_cancelled(datum: ScriptedDatum) -> int:
    """A copy; of files that say "slow", it takes until it is killed."""
    copy(datum)
    if any(path.read_text() == "slow" for path in datum.out.iterdir()):
        datum.cancelled.wait(30)
    return 0


def test_case_109_a_pipeline_on_an_empty_repo_has_a_job_of_nothing(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("p")
    lab.run_all()
    assert (states(lab, "p"), lab.counts("p"), commits(lab, "p")) == ([SUCCESS], {}, 1)


def test_case_110_a_pipeline_on_ten_commits_makes_one(lab: Lab) -> None:
    for n in range(10):
        lab.put("data@master", {f"/{n}": "x"})
    lab.pipeline("p")
    lab.run_all()
    assert (commits(lab, "p"), lab.counts("p")) == (1, {"total": 10, "processed": 10})


def test_case_111_a_chain_has_one_set_of_jobs_for_one_change(lab: Lab) -> None:
    lab.repo("data")
    for name, source in (("one", "data"), ("two", "one"), ("three", "two"), ("four", "three")):
        lab.pipeline(name, f"{source}:/*")
    change = lab.put("data@master", {"/a": "1"})
    lab.run_all()
    assert set_of(lab, change.id) == dict.fromkeys(("one", "two", "three", "four"), SUCCESS)
    # Output, meta and spec of each pipeline, and the input.
    assert len(lab.runner.inspect_commit_set(change.id, wait=True).commits) == 13
    assert lab.files("four@master") == {"/a": "1"}


def test_case_112_two_ways_to_a_pipeline_are_one_job(lab: Lab) -> None:
    lab.repo("a")
    lab.pipeline("b", "a:/*")
    lab.pipeline("c", {"cross": [pfs("/", "a"), pfs("/", "b")]})
    for n in range(2):
        change = lab.put("a@master", {f"/{n}": "x"})
    lab.run_all()
    assert (commits(lab, "b"), commits(lab, "c")) == (3, 3)
    assert len(lab.runner.inspect_commit_set(change.id, wait=True).commits) == 7


@pytest.fixture
def chain(lab: Lab) -> Lab:
    """Pipelines zero, one, two and three on each other; one fails on file1."""
    lab.repo("data")
    for name, source in (("zero", "data"), ("one", "zero"), ("two", "one"), ("three", "two")):
        lab.pipeline(name, f"{source}:/*", fails_on("file1") if name == "one" else None)
    return lab


def test_case_113_what_is_below_a_failure_cannot_run(chain: Lab) -> None:
    sets = [chain.put("data@master", {f"/file{n}": "x"}).id for n in range(2)]
    chain.run_all()
    assert set_of(chain, sets[0]) == dict.fromkeys(("zero", "one", "two", "three"), SUCCESS)
    assert set_of(chain, sets[1]) == {"zero": SUCCESS, "one": FAILURE, "two": UNRUNNABLE, "three": UNRUNNABLE}


def test_case_113a_an_unrunnable_job_names_the_input_that_failed(chain: Lab) -> None:
    chain.put("data@master", {"/file1": "x"})
    chain.run_all()
    said = [chain.job(name).reason for name in ("two", "three")]
    assert said == [f"unrunnable because the following upstream pipelines failed: {name}" for name in ("one", "two")]


def test_case_114_a_job_waits_in_starting_for_its_open_input(p: Lab) -> None:
    opened = p.runner.start_commit(parse_branch("data@master"))
    p.run_all()
    assert (p.job("p").job.id, p.state("p")) == (opened.id, STARTING)
    p.runner.finish_commit(parse_commit("data@master"))
    p.run_all()
    assert p.state("p") is SUCCESS


def test_case_115_a_stopped_job_leaves_the_others_alone(p: Lab) -> None:
    for name in "bcd":
        p.put("data@master", {f"/{name}": "1"})
    p.runner.stop_job(p.jobs("p")[1].job)
    p.run_all()
    assert states(p, "p") == [SUCCESS, KILLED, SUCCESS, SUCCESS]
    assert p.files("p@master") == dict.fromkeys(["/a", "/b", "/c", "/d"], "1")


def test_case_116_an_update_kills_the_jobs_under_way(p: Lab) -> None:
    p.does("p", until_cancelled)
    for name in "bc":
        p.put("data@master", {f"/{name}": "slow"})
    with ThreadPoolExecutor() as pool:
        working = pool.submit(p.run_all)
        assert soon(lambda: RUNNING in states(p, "p"), 20)
        p.pipeline("p", do=copy, update=True)
        working.result(20)
    assert states(p, "p") == [SUCCESS, KILLED, KILLED, SUCCESS]
    assert p.files("p@master") == {"/a": "1", "/b": "slow", "/c": "slow"}
