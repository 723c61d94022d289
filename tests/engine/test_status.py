"""What is behind what."""

from __future__ import annotations

from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import PipelineRef, parse_branch
from local_runner.pipelines.status import Behind, PipelineStatus, pipeline_status, repo_status
from tests.support.lab import Lab

DATA = parse_branch("data@master")


def status(lab: Lab) -> dict[str, PipelineStatus]:
    with lab.runner.database.read() as session:
        return {one.pipeline.name: one for one in pipeline_status(session)}


def test_a_pipeline_that_has_done_everything_is_current(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    assert not status(lab)["first"].is_current
    lab.run_all()
    found = status(lab)["first"]
    assert (found.behind, found.unfinished, found.is_current) == ((), 0, True)


def test_commits_that_no_job_has_processed_yet_are_counted(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    lab.run_all()
    lab.put("data@master", {"/b": "1"})
    lab.put("data@master", {"/c": "1"})
    found = status(lab)["first"]
    assert (found.behind, found.unfinished) == ((Behind(DATA, 2, False),), 2)


def test_a_stopped_pipeline_falls_behind(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    lab.run_all()
    lab.runner.stop_pipeline(PipelineRef("default", "first"))
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    found = status(lab)["first"]
    assert (found.state, found.unfinished, found.is_current) == (PipelineState.PAUSED, 0, False)
    assert found.behind == (Behind(DATA, 1, False),)


def test_a_commit_that_a_failed_job_read_is_still_to_be_processed_and_the_job_says_why(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first", do=lambda datum: 1, datum_tries=1)
    lab.pipeline("second", "first:/*")
    lab.run_all()
    found = status(lab)
    assert found["first"].behind == (Behind(DATA, 1, False),)
    assert found["first"].last is not None
    assert "failed" in found["first"].last.reason
    assert found["second"].behind == ()  # there is nothing good to read
    assert not found["second"].is_current


def test_a_commit_that_is_still_being_written_is_said_to_be_open(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    lab.run_all()
    lab.runner.start_commit(DATA)
    assert status(lab)["first"].behind == (Behind(DATA, 1, True),)


def test_pipelines_come_after_those_they_read_from(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    for name, source in (("z", "data"), ("y", "z"), ("x", "y")):
        lab.pipeline(name, f"{source}:/*")
    assert list(status(lab)) == ["z", "y", "x"]


def test_repos_show_the_heads_of_their_branches(lab: Lab) -> None:
    head = lab.put("data@master", {"/a": "12345"})
    lab.repo("empty")
    with lab.runner.database.read() as session:
        data, empty = repo_status(session)
    assert (data.info.size_upper_bound, [h.commit for h in data.heads]) == (5, [head])
    assert (empty.info.repo.name, empty.heads) == ("empty", ())
