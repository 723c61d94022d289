"""What becomes of work whose ground is taken away: by force, in the middle of a graph, while it waits, or in the same transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from local_runner.errors import LocalRunnerError, Refused
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef, parse_branch, parse_commit, parse_repo
from local_runner.model.repos import Trigger
from local_runner.repos.check import check
from local_runner.runner import Runner
from tests.support.lab import Lab

A, B, P = (PipelineRef("default", name) for name in "abp")


@pytest.fixture(autouse=True)
def _sound(lab: Lab) -> Iterator[None]:
    """Whatever a test does, the store is sound afterwards, and no job is left."""
    yield
    lab.run_all()
    with lab.runner.database.read() as session:
        assert check(session) == []
        assert session.pipelines.unfinished_jobs() == []


@contextlib.contextmanager
def transaction(lab: Lab) -> Iterator[Runner]:
    with Runner.open(lab.runner.home, background=False, transactional=True) as runner:
        runner.start_transaction()
        yield runner
        runner.finish_transaction()


def diamond(lab: Lab) -> None:
    """`c` reads `a` and `b`, which read `data`."""
    lab.put("data@master", {"/1": "one"})
    for name in "ab":
        lab.pipeline(name, "data:/*")
    lab.pipeline("c", {"cross": [{"pfs": {"repo": name, "glob": "/*"}} for name in "ab"]})


def test_a_job_whose_input_is_deleted_while_it_waits_is_unrunnable_and_says_what_is_gone(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.put("other@master", {"/2": "two"})
    lab.pipeline("p", "data:/*")
    lab.pipeline("q", "other:/*")
    lab.runner.delete_repo(parse_repo("data"), force=True)
    assert (lab.state("p"), "default/data" in lab.job("p").reason) == (JobState.UNRUNNABLE, True)
    lab.run_all()
    assert lab.files("q@master") == {"/2": "two"}


def test_after_a_forced_delete_in_the_middle_of_a_diamond_the_other_side_works_on(lab: Lab) -> None:
    diamond(lab)
    lab.run_all()
    lab.runner.delete_pipeline(B, force=True)
    lab.put("data@master", {"/2": "two"})
    lab.run_all()
    assert lab.files("a@master") == {"/1": "one", "/2": "two"}
    assert (lab.state("a"), lab.state("c")) == (JobState.SUCCESS, JobState.UNRUNNABLE)
    assert "default/b" in lab.job("c").reason
    assert lab.files("c@master") == {"/1": "one"}


def test_a_pipeline_deleted_while_the_one_below_waits_takes_nobody_along(lab: Lab) -> None:
    diamond(lab)
    lab.run_all(until=lambda: len(lab.ran) >= 1)
    lab.runner.delete_pipeline(B, force=True)
    lab.run_all()
    assert (lab.state("a"), lab.state("c")) == (JobState.SUCCESS, JobState.UNRUNNABLE)


def test_a_pipeline_and_the_end_of_its_input_in_one_transaction(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    with transaction(lab) as runner:
        runner.create_pipeline({"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "input": _input("data")}, project="default")
        with pytest.raises(Refused, match="direct provenance"):
            runner.delete_repo(parse_repo("data"))
        runner.delete_repo(parse_repo("data"), force=True)
    lab.run_all()
    assert lab.state("p") is JobState.UNRUNNABLE


def _input(repo: str) -> dict[str, object]:
    return {"pfs": {"repo": repo, "glob": "/*"}}


@pytest.mark.parametrize("verb", ["drop", "squash", "delete the repo", "delete the branch", "finish again", "start again"])
def test_a_commit_that_is_undone_in_its_own_transaction_is_refused_or_gone_but_never_half(lab: Lab, verb: str) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.runner.create_branch(parse_branch("data@slow"), parse_commit("data@master"))
    lab.runner.create_branch(parse_branch("data@slow"), trigger=Trigger(branch="master", commits=1))
    lab.pipeline("p", "data:/*")
    lab.run_all()
    with transaction(lab) as runner:
        ref = runner.start_commit(parse_branch("data@master"))
        runner.finish_commit(parse_commit("data@master"))
        with contextlib.suppress(LocalRunnerError):
            match verb:
                case "drop":
                    runner.drop_commit_set(ref.id)
                case "squash":
                    runner.squash_commit_set(ref.id)
                case "delete the repo":
                    runner.delete_repo(parse_repo("data"), force=True)
                case "delete the branch":
                    runner.delete_branch(parse_branch("data@master"), force=True)
                case "finish again":
                    runner.finish_commit(parse_commit("data@master"))
                case "start again":
                    runner.start_commit(parse_branch("data@master"))
    lab.run_all()
    assert lab.files("data@master") == lab.files("p@master") == {"/1": "one"}


def test_closing_the_output_of_a_waiting_job_by_force_ends_the_job(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", "data:/*")
    lab.runner.finish_commit(parse_commit("p@master"), force=True)
    assert (lab.state("p"), lab.job("p").reason) == (JobState.KILLED, "output commit finished")
    lab.put("data@master", {"/2": "two"})
    lab.run_all()
    assert lab.files("p@master") == {"/1": "one", "/2": "two"}


def test_nobody_but_a_job_writes_to_its_open_output(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", "data:/*")
    for verb in (lambda: lab.put("p@master", {"/mine": "mine"}), lambda: lab.runner.clear_commit(parse_commit("p@master"))):
        with pytest.raises(Refused, match="is written by a job of p"):
            verb()
    lab.run_all()
    assert lab.files("p@master") == {"/1": "one"}


def move_it_back(lab: Lab) -> None:
    lab.runner.create_branch(parse_branch("p@master"), parse_commit("p@master^"))
    lab.runner.start_pipeline(P)  # as a branch that is moved stands on nothing


def delete_its_job(lab: Lab) -> None:
    lab.runner.delete_job(lab.job("p").job)


def write_to_it_while_it_is_stopped(lab: Lab) -> None:
    lab.runner.stop_pipeline(P)
    lab.put("p@master", {"/mine": "mine", "/1": None})
    lab.runner.start_pipeline(P)


@pytest.mark.parametrize("what", [move_it_back, delete_its_job, write_to_it_while_it_is_stopped])
def test_whatever_is_done_to_an_output_the_next_job_makes_what_one_from_scratch_makes(lab: Lab, what) -> None:  # type: ignore[no-untyped-def]
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", "data:/*")
    lab.run_all()
    lab.put("data@master", {"/2": "two", "/gone": "soon"})
    lab.run_all()
    what(lab)
    lab.put("data@master", {"/3": "three", "/gone": None})
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert lab.files("p@master") == {"/1": "one", "/2": "two", "/3": "three"}


def test_a_project_deleted_by_force_takes_its_pipelines_and_their_jobs_along(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.runner.create_project("lab")
    document = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["do"]},
        "input": {"pfs": {"repo": "data", "project": "default", "glob": "/*"}},
    }
    lab.runner.create_pipeline(document, project="lab")
    lab.pipeline("q", {"pfs": {"repo": "p", "project": "lab", "glob": "/*"}})
    lab.runner.delete_project("lab", force=True)
    assert [info.pipeline.name for info in lab.runner.list_pipeline()] == ["q"]
    assert [(info.job.pipeline.name, info.state) for info in lab.runner.list_job()] == [("q", JobState.UNRUNNABLE)]


def test_a_clock_whose_repo_is_deleted_stands_still_and_stops_nobody(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", {"cron": {"name": "tick", "spec": "@every 1h", "start": "2020-01-01T00:00:00Z", "overwrite": True}})
    lab.runner.stop_pipeline(P)
    lab.run_all()
    lab.runner.start_pipeline(P)
    lab.runner.delete_repo(parse_repo("p_tick"), force=True)
    lab.pipeline("q", "data:/*")
    lab.run_all()
    assert lab.files("q@master") == {"/1": "one"}


def test_a_pipeline_that_becomes_a_spout_keeps_no_commits_of_datums_open(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", "data:/*")
    lab.run_all()
    lab.runner.create_pipeline({"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "spout": {}}, project="default", update=True)
    lab.put("data@master", {"/2": "two"})
    for repo in lab.runner.list_repo(type=""):
        assert all(info.finished for info in lab.runner.list_commit(repo.repo))


def test_a_new_head_in_place_of_removed_ones_stands_on_what_is_there(lab: Lab) -> None:
    lab.repo("data")
    lab.repo("out")
    lab.runner.create_branch(parse_branch("out@master"), provenance=[parse_branch("data@master")])
    first = lab.head("data@master")
    lab.runner.finish_commit(parse_commit("out@master"))
    lab.runner.drop_commit_set(first.id)
    assert lab.runner.inspect_commit(parse_commit("out@master")).direct_provenance == (lab.head("data@master"),)


def test_a_spout_that_was_stopped_and_started_leaves_no_commit_open(lab: Lab) -> None:
    lab.runner.create_pipeline({"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "spout": {}}, project="default")
    lab.runner.stop_pipeline(P)
    lab.runner.start_pipeline(P)
    assert all(info.finished for info in lab.runner.list_commit(parse_repo("p")))


def test_a_set_with_a_commit_on_another_branch_of_an_output_repo_is_refused_in_words(lab: Lab) -> None:
    lab.put("data@master", {"/1": "one"})
    lab.pipeline("p", "data:/*")
    lab.run_all()
    with transaction(lab) as runner:
        runner.start_commit(parse_branch("data@master"))
        with pytest.raises(Refused, match="has one in this repo already"):
            runner.start_commit(parse_branch("p@aside"))
        runner.finish_commit(parse_commit("data@master"))
