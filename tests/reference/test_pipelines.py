"""Cases 117 to 122 and 132 to 138 of reference pps 6.5: what pipelines go through."""

from __future__ import annotations

import pytest

from local_runner.errors import AlreadyExists, LocalRunnerError, RepoNotFound
from local_runner.model.pipelines import PipelineState
from tests.reference.graph import FAILURE, SUCCESS, commits, fails_on, set_of, states, the
from tests.support.lab import Lab, copy


def test_case_117_a_stopped_pipeline_makes_up_for_all_it_missed_in_one_job(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("p")
    lab.run_all()
    lab.runner.stop_pipeline(the("p"))
    for name in "ab":
        lab.put("data@master", {f"/{name}": "1"})
    lab.run_all()
    assert commits(lab, "p") == 1
    lab.runner.start_pipeline(the("p"))
    lab.run_all()
    assert (commits(lab, "p"), lab.files("p@master")) == (2, {"/a": "1", "/b": "1"})


def test_case_118_an_update_of_a_stopped_pipeline_leaves_it_stopped(p: Lab) -> None:
    p.runner.stop_pipeline(the("p"))
    p.pipeline("p", update=True)
    p.put("data@master", {"/b": "1"})
    p.run_all()
    assert commits(p, "p") == 1
    found = p.runner.inspect_pipeline(the("p"))
    assert (found.stopped, found.state, found.version) == (True, PipelineState.PAUSED, 2)
    p.runner.start_pipeline(the("p"))
    p.run_all()
    assert (states(p, "p"), p.counts("p")) == ([SUCCESS, SUCCESS], {"total": 2, "processed": 1, "skipped": 1})


def test_case_119_an_update_mends_a_pipeline_whose_job_failed(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", do=fails_on("a"))
    lab.run_all()
    lab.pipeline("p", do=copy, update=True)
    lab.run_all()
    assert states(lab, "p") == [SUCCESS, FAILURE]
    assert lab.files("p@master") == {"/a": "1"}


def test_case_120_a_pipeline_others_stand_on_is_deleted_by_force_only(p: Lab) -> None:
    p.pipeline("next", "p:/*")
    p.run_all()
    with pytest.raises(LocalRunnerError):
        p.runner.delete_pipeline(the("p"))
    assert p.jobs("p")
    p.runner.delete_pipeline(the("p"), force=True)
    assert [info.pipeline.name for info in p.runner.list_pipeline()] == ["next"]
    assert {info.job.pipeline.name for info in p.runner.list_job(history=-1)} == {"next"}


def test_case_121_a_pipeline_made_again_begins_from_nothing(p: Lab) -> None:
    p.runner.delete_pipeline(the("p"))
    p.pipeline("p")
    p.run_all()
    assert (states(p, "p"), p.counts("p")) == ([SUCCESS], {"total": 1, "processed": 1})


def test_case_122_a_kept_output_is_a_plain_repo_that_takes_the_name(p: Lab) -> None:
    p.runner.delete_pipeline(the("p"), keep_repo=True)
    assert p.files("p@master") == {"/a": "1"}
    assert [str(info.repo) for info in p.runner.list_repo(type="")] == ["default/data", "default/p"]
    with pytest.raises(LocalRunnerError, match='pipeline "p" cannot be created because a repo with the same name already exists'):
        p.pipeline("p")


def test_case_133_a_pipeline_cannot_read_itself(lab: Lab) -> None:
    with pytest.raises(RepoNotFound, match="repo default/p not found"):
        lab.pipeline("p", "p:/*")
    lab.repo("data")
    lab.pipeline("p")
    with pytest.raises(LocalRunnerError, match="cannot be in the provenance of its own branch"):
        lab.pipeline("p", "p:/*", update=True)


def test_case_134_a_pipeline_is_created_once(p: Lab) -> None:
    with pytest.raises(AlreadyExists, match='pipeline "default/p" already exists'):
        p.pipeline("p")


def test_case_132_a_pipeline_may_lose_its_input_and_get_it_back(p: Lab) -> None:
    document = {"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}}
    p.runner.create_pipeline(document, project="default", update=True)
    p.run_all()
    p.pipeline("p", update=True)
    p.run_all()
    assert len(p.jobs("p")) == 3
    assert (p.state("p"), p.files("p@master")) == (SUCCESS, {"/a": "1"})


def test_case_136_the_jobs_of_earlier_versions_are_history(p: Lab) -> None:
    p.runner.rerun_pipeline(the("p"))
    p.run_all()
    (job,) = p.runner.list_job(pipeline=the("p"))
    assert job.pipeline_version == 2
    assert p.counts("p") == {"total": 1, "skipped": 1}
    assert len(p.jobs("p")) == 2


def test_case_137_a_failed_pipeline_does_not_stand_in_the_way_of_its_input(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("broken", transform={"cmd": []})
    lab.pipeline("p")
    lab.run_all()
    assert lab.runner.inspect_pipeline(the("broken")).state is PipelineState.FAILURE
    change = lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert set_of(lab, change.id)["p"] is SUCCESS
    assert lab.files("p@master") == {"/a": "1", "/b": "1"}


def test_case_138_after_delete_all_nothing_is_left_and_all_can_be_made_again(p: Lab) -> None:
    spout = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["do"]}, "spout": {}}
    p.runner.create_pipeline(spout, project="default")
    p.pipeline("service", service={"internal_port": 8000})
    p.runner.delete_all()
    left = (p.runner.list_pipeline(), p.runner.list_repo(type=""), list(p.runner.list_job(history=-1)), list(p.runner.list_commit_set()))
    assert left == ([], [], [], [])
    assert [info.name for info in p.runner.list_project()] == ["default"]
    p.put("data@master", {"/a": "2"})
    p.pipeline("p")
    p.run_all()
    assert p.files("p@master") == {"/a": "2"}
