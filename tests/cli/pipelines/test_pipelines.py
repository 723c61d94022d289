"""Pipelines by command: listed, shown, stopped, started, run again and deleted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.pipelines.conftest import SPEC


def test_pipelines_are_listed_with_their_input_and_state(lab, job):
    header, row = lab.ok("list pipeline").lines
    assert header == "PROJECT NAME VERSION INPUT CREATED STATE / LAST JOB ALERTS DESCRIPTION"
    assert row.startswith("default p 1 default/data:/* ")
    assert row.endswith("running / failure * copies")
    assert lab.ok("list pipeline --state paused --raw").documents == []
    assert lab("list pipeline nope").status == 4


def test_a_pipeline_is_shown_with_its_details(lab, job):
    found = lab.ok("inspect pipeline p --raw").document
    assert (found["version"], found["type"], found["last_job_state"]) == ("1", "PIPELINE_TYPE_TRANSFORM", "JOB_FAILURE")
    assert found["details"]["datum_tries"] == "1"
    assert json.loads(found["user_spec_json"])["description"] == "copies"
    shown = lab.ok("inspect pipeline p").lines
    assert shown[:2] == ["Name: p", "Description: copies"]
    assert "Datum Timeout: <nil>" in shown


def test_an_update_makes_a_version_and_earlier_ones_can_be_named(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok("update pipeline -f p.json --reprocess")
    assert [d["version"] for d in lab.ok("list pipeline p --history all --raw").documents] == ["2", "1"]
    assert lab.ok("inspect pipeline p^ --raw").document["version"] == "1"
    assert len(lab.ok("list job -p p --raw").documents) == 1
    assert len(lab.ok("list job -p p --history all --raw").documents) == 2


def test_an_update_brings_a_pipeline_to_the_front_of_the_list(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok("create pipeline", stdin=json.dumps({**SPEC, "pipeline": {"name": "later"}}))
    names = [[d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents]]
    lab.ok("update pipeline -f p.json")
    names.append([d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents])
    assert names == [["later", "p"], ["p", "later"]]


def test_pipelines_are_listed_as_they_were_in_a_commit_set(lab):
    lab.ok("create pipeline -f p.json")
    first = lab.ok("list commit data@master --raw").documents[0]["commit"]["id"]
    created = lab.ok("list commit p@master --raw").documents[0]["commit"]["id"]
    lab.ok("update pipeline", stdin=json.dumps({**SPEC, "description": "the second"}))
    lab.ok("put file data@master:/c", stdin="c")
    newest = lab.ok("list commit data@master --raw").documents[0]["commit"]["id"]
    lab.ok("create pipeline", stdin=json.dumps({**SPEC, "pipeline": {"name": "q"}}))

    def listed(commit):
        return [(d["pipeline"]["name"], d["version"]) for d in lab.ok(f"list pipeline --raw --commit {commit}").documents]

    assert (listed(first), listed(created), listed(newest)) == ([], [("p", "1")], [("p", "2")])
    assert lab.ok(f"draw pipeline --commit {created}").out == "data\n└─ p\n"


def test_pipelines_are_stopped_started_run_again_and_deleted(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok("stop pipeline p")
    assert lab.ok("inspect pipeline p --raw").document["stopped"] is True
    lab.ok("start pipeline p")
    lab.ok("rerun pipeline p --reprocess")
    assert lab.ok("inspect pipeline p --raw").document["version"] == "2"
    assert lab("run cron p").status != 0
    assert lab("delete pipeline nope").status == 4
    lab.ok("delete pipeline --all")
    assert lab.ok("list repo --all --raw").documents[0]["repo"]["name"] == "data"


def test_a_project_with_pipelines_asks_twice(lab):
    lab.ok("create project x")
    lab.ok("create pipeline --project x", stdin=json.dumps({**SPEC, "input": {"pfs": {**SPEC["input"]["pfs"], "project": "default"}}}))
    refused = lab("delete project x", stdin="n\n")
    assert "cannot delete project with 1 pipelines" in refused.err
    lab.ok("delete project x --yes")
    assert lab.ok("list pipeline -A --raw").documents == []


def test_the_graph_is_drawn_as_a_tree(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok(
        "create pipeline", stdin=json.dumps({**SPEC, "pipeline": {"name": "q"}, "input": {"pfs": {"repo": "p", "name": "in", "glob": "/"}}})
    )
    assert lab.ok("draw pipeline").out == "data\n└─ p\n   └─ q\n"


def test_all_pipelines_are_deleted_whichever_was_made_first(lab):
    lab.ok("create pipeline -f p.json")
    spec = json.loads(Path("p.json").read_text())
    later = {**spec, "pipeline": {"name": "q"}}
    Path("q.json").write_text(json.dumps(later))
    lab.ok("create pipeline -f q.json")
    spec["input"]["pfs"]["repo"] = "q"
    Path("p.json").write_text(json.dumps(spec))
    lab.ok("update pipeline -f p.json")
    lab.ok("delete pipeline --all")
    assert lab.ok("list pipeline --raw").documents == []


def test_all_repos_stay_if_one_of_them_belongs_to_a_pipeline(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok("create repo another")
    refused = lab("delete repo --all")
    assert refused.err.startswith("cannot delete a repo associated with a pipeline - delete the pipeline instead")
    assert {d["repo"]["name"] for d in lab.ok("list repo --raw").documents} == {"another", "data", "p"}


def test_a_pipeline_that_scales_itself_stands_by_when_it_has_no_job(lab):
    Path("p.json").write_text(json.dumps({**SPEC, "autoscaling": True}))
    lab.ok("create pipeline -f p.json")
    assert lab.ok("inspect pipeline p --raw").document["state"] == "PIPELINE_STANDBY"
    assert " standby / success " in lab.ok("list pipeline").out
    assert len(lab.ok("list pipeline --state standby --raw").documents) == 1
    lab.ok("stop pipeline p")
    assert lab.ok("inspect pipeline p --raw").document["state"] == "PIPELINE_PAUSED"
    lab.ok("start pipeline p")
    lab.ok("start commit data@master")
    assert lab.ok("inspect pipeline p --raw").document["state"] == "PIPELINE_RUNNING"
