"""Pipelines, jobs, datums, logs and defaults by command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SPEC = {
    "pipeline": {"name": "p"},
    "description": "copies",
    "datum_tries": 1,
    "transform": {"image": "copy:1", "cmd": ["copy"]},
    "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
}


@pytest.fixture
def lab(pachctl):
    """A repo `data` with a file `a`, and the spec of a pipeline `p` that copies it in p.json."""
    Path("p.json").write_text(json.dumps(SPEC))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="good\n")
    return pachctl


@pytest.fixture
def job(lab):
    """`p@id` of the job that ran over a good and a bad file, after one over the good one alone."""
    lab.ok("create pipeline -f p.json")
    lab.ok("put file data@master:/b", stdin="fail\n")
    return f"p@{lab.ok('inspect commit p@master --raw').document['commit']['id']}"


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


def test_the_specs_of_pipelines_can_be_given_to_create_again(lab):
    lab.ok("create pipeline -f p.json")
    spec = lab.ok("list pipeline --spec").out
    lab.ok("delete pipeline p")
    lab.ok("create pipeline", stdin=spec)
    assert lab.ok("list pipeline --spec").document == json.loads(spec)


def test_specs_are_made_one_after_the_other_until_one_is_wrong(lab):
    texts = [json.dumps({**SPEC, "pipeline": {"name": name}}) for name in ("one", "two")]
    broken = json.dumps({**SPEC, "pipeline": {"name": "three"}, "nope": 1})
    ended = lab("create pipeline", stdin="\n---\n".join([texts[0], broken, texts[1]]))
    assert ended.status == 2
    assert "standard input:3" in ended.err
    assert [d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents] == ["one"]


def test_what_only_the_store_finds_wrong_in_a_spec_is_placed_too(lab):
    bad = {**SPEC, "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*", "lazy": True, "s3": True}}}
    ended = lab("create pipeline", stdin=json.dumps(bad, indent=1))
    assert ended.status == 2
    assert ended.err.startswith("standard input:")


def test_a_dry_run_prints_the_effective_spec_and_makes_nothing(lab):
    found = lab.ok("create pipeline -f p.json --dry-run --raw").document
    assert (found["outputBranch"], found["transform"]["cmd"]) == ("master", ["copy"])
    assert lab.ok("list pipeline --raw").documents == []


def test_an_image_without_a_tag_gets_a_warning(lab):
    spec = {**SPEC, "transform": {"image": "copy", "cmd": ["copy"]}}
    assert "WARNING: please specify a tag" in lab.ok("create pipeline", stdin=json.dumps(spec)).err


def test_fields_that_are_taken_but_do_less_here_are_mentioned(lab):
    spec = {**SPEC, "egress": {"URL": "s3://bucket/x"}, "s3_out": True}
    said = lab.ok("create pipeline", stdin=json.dumps(spec)).err
    assert "egress: nothing is copied to s3://bucket/x" in said
    assert "s3_out: there is no S3 gateway here" in said
    assert "S3 gateway" not in lab.ok("update pipeline -f p.json").err


def test_a_spec_is_edited_in_an_editor(lab):
    lab.ok("create pipeline -f p.json")
    Path("edit.sh").write_text('sed -i s/copies/edited/ "$1"\n')
    lab.ok("edit pipeline p --editor 'sh edit.sh'")
    assert lab.ok("inspect pipeline p --raw").document["details"]["description"] == "edited"
    assert "unchanged" in lab.ok("edit pipeline p --editor true").err
    Path("rename.sh").write_text('sed -i "s/: p$/: q/" "$1"\n')
    renamed = lab("edit pipeline p -o yaml --editor 'sh rename.sh'")
    assert (renamed.status, renamed.err.splitlines()[0]) == (2, "may not change pipeline name")
    assert lab("edit pipeline p --editor false").status == 5


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


def test_jobs_are_listed_as_on_a_cluster(lab, job):
    header, failed, succeeded = lab.ok("list job -p p").lines
    assert header == "PROJECT PIPELINE ID STARTED DURATION RESTART PROGRESS DL UL STATE"
    assert failed.startswith(f"default p {job.partition('@')[2]} ")
    assert " 0 0 + 0 / 2 5B 0B " in failed
    assert "failure: datum " in failed
    assert failed.endswith("...")
    assert succeeded.endswith(" 0 1 + 0 / 1 5B 5B success")
    assert len(lab.ok("list job -p p --state failure --raw").documents) == 1
    assert len(lab.ok("list job -x").lines) == 3
    assert [row.split()[1:3] for row in lab.ok("list job").lines[1:]] == [["1", "▇▇▇▇▇▇▇▇"], ["1", "▇▇▇▇▇▇▇▇"]]
    assert lab("list job -p nope").status == 4


def test_a_job_is_shown_with_the_spec_it_ran(lab, job):
    found = lab.ok(f"inspect job {job} --raw").document
    assert (found["state"], found["data_total"], found["data_failed"]) == ("JOB_FAILURE", "2", "1")
    assert found["details"]["input"]["pfs"]["commit"] == found["job"]["id"]
    assert found["details"]["transform"]["cmd"] == ["copy"]
    shown = lab.ok(f"inspect job {job}").lines
    assert shown[0] == f"ID: {found['job']['id']}"
    assert "State: failure" in shown
    assert "Datum Timeout: <nil>" in shown
    assert lab("inspect job p@master").status != 0


def test_waiting_for_a_set_lists_its_jobs_and_for_an_unknown_one_nothing(lab, job):
    identity = job.partition("@")[2]
    assert [d["job"]["id"] for d in lab.ok(f"wait job {identity} --raw").documents] == [identity]
    assert lab.ok("wait job 00000000000040008000000000000000 --raw").documents == []
    assert lab("wait job p@00000000000040008000000000000000").status == 4


def test_datums_are_listed_with_their_files_and_state(lab, job):
    identity = job.partition("@")[2]
    rows = lab.ok(f"list datum {job}").lines
    assert rows[0] == "ID FILES STATUS TIME"
    assert sorted(row.split()[2] for row in rows[1:]) == ["failed", "skipped"]
    by_state = {d["state"]: d for d in lab.ok(f"list datum {job} --raw").documents}
    assert by_state["FAILED"]["datum"]["job"]["id"] == identity
    assert by_state["FAILED"]["data"][0]["file"]["path"] == "/b"
    assert by_state["SKIPPED"]["datum"]["job"]["id"] != identity
    shown = lab.ok(f"inspect datum {job} {by_state['FAILED']['datum']['id']}").lines
    assert "State FAILED" in shown
    state = lab.ok(f"inspect datum {job} {by_state['FAILED']['datum']['id']} --raw").document["pfs_state"]
    assert state["commit"]["repo"]["type"] == "meta"


def test_the_datums_a_spec_would_make_can_be_listed_without_a_pipeline(lab):
    (row,) = lab.ok("list datum -f p.json").lines[1:]
    assert row.endswith(" - Less than a second")
    (found,) = lab.ok("list datum -f p.json --raw").documents
    assert "state" not in found
    assert "job" not in found["datum"]
    assert lab("list datum -f /dev/null").status == 2


def test_logs_are_what_user_code_printed(lab, job):
    assert lab.ok("logs -p p").lines == ["read a", "read b"]
    assert lab.ok(f"logs -j {job}").lines == ["read b"]
    assert lab.ok("logs -p p --inputs /a").lines == ["read a"]
    record = lab.ok(f"logs -j {job} --raw").documents[0]
    assert record["jobId"] == job.partition("@")[2]
    assert "read b" not in lab.ok("logs -p p --worker").lines
    assert lab.ok("logs -p p --since 1h").lines == ["read a", "read b"]
    assert lab("logs -p p --since never").status == 2


def test_defaults_are_set_and_taken_back(lab):
    assert "resourceRequests" in lab.ok("inspect defaults --cluster").document["createPipelineRequest"]
    lab.ok("create pipeline", stdin=json.dumps({name: value for name, value in SPEC.items() if name != "datum_tries"}))
    changed = lab.ok("create defaults --cluster --regenerate", stdin='{"create_pipeline_request": {"datum_tries": 7}}')
    assert (changed.out, changed.err) == ("\t default/p\n", "affected pipelines:\n")
    assert lab.ok("inspect pipeline p --raw").document["details"]["datum_tries"] == "7"
    lab.ok("delete defaults --cluster")
    assert lab.ok("inspect defaults --cluster").out == "{}\n"
    assert lab("create defaults --cluster", stdin='{"create_pipeline_request": {"nope": 7}}').status == 2


def test_the_graph_is_drawn_as_a_tree(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok(
        "create pipeline", stdin=json.dumps({**SPEC, "pipeline": {"name": "q"}, "input": {"pfs": {"repo": "p", "name": "in", "glob": "/"}}})
    )
    assert lab.ok("draw pipeline").out == "data\n└─ p\n   └─ q\n"


def test_asking_for_the_next_datum_outside_a_worker_is_refused(lab, monkeypatch):
    monkeypatch.delenv("PPS_WORKER_GRPC_PORT", raising=False)
    assert lab("next datum").status == 1
