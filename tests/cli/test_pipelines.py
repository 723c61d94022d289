"""Pipelines, jobs, datums, logs and defaults by command."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import copying

SPEC = copying(description="copies", datum_tries=1)


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


def test_an_update_brings_a_pipeline_to_the_front_of_the_list(lab):
    lab.ok("create pipeline -f p.json")
    lab.ok("create pipeline", stdin=json.dumps({**SPEC, "pipeline": {"name": "later"}}))
    names = [[d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents]]
    lab.ok("update pipeline -f p.json")
    names.append([d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents])
    assert names == [["later", "p"], ["p", "later"]]


def test_the_jobs_of_a_set_are_listed_without_the_details_of_their_pipelines(lab):
    lab.ok("create pipeline -f p.json")
    (job,) = lab.ok("list job -p p --raw").documents
    (listed,) = lab.ok(f"list job {job['job']['id']} --raw").documents
    assert listed == {name: value for name, value in job.items() if name != "details"}


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


def test_a_dry_run_shows_numbers_as_protobuf_does_with_sorted_keys(lab):
    spec = {**SPEC, "datum_tries": 4, "autoscaling": False}
    found = lab.ok("update pipeline --dry-run --raw", stdin=json.dumps(spec)).document
    assert found["datumTries"] == "4"
    assert "autoscaling" not in found
    assert list(found) == sorted(found)


def test_what_an_image_would_install_and_is_missing_here_is_named(lab, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN pip install no-such-package==1\n")
    (tmp_path / "local_runner.toml").write_text('[images]\nmine = "."\n')
    spec = {**SPEC, "transform": {"image": "mine:1", "cmd": ["copy"]}}
    said = f"image mine:1: {tmp_path}/Dockerfile installs no-such-package==1 (not installed); pip install it here\n"
    assert lab.ok("create pipeline", stdin=json.dumps(spec)).err == said
    (tmp_path / "local_runner.toml").write_text("[images")
    assert "local_runner.toml" in lab.ok("update pipeline", stdin=json.dumps(spec)).err


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


@pytest.fixture
def site(monkeypatch):
    """The address of a server over the present folder."""
    monkeypatch.setenv("no_proxy", "*")
    handler = partial(SimpleHTTPRequestHandler, directory=str(Path.cwd()))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_specs_and_templates_and_what_they_import_may_lie_at_a_url(lab, site):
    pytest.importorskip("_jsonnet")
    lab.ok(f"create pipeline -f {site}/p.json")
    Path("named.jsonnet").write_text(f"function(name) (import '{site}/p.json') + {{pipeline: {{name: name}}}}")
    lab.ok(f"create pipeline --jsonnet {site}/named.jsonnet --arg name=q")
    assert [d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents] == ["q", "p"]
    gone = lab(f"create pipeline -f {site}/gone.json")
    assert (gone.status, gone.err.splitlines()[0].partition(": ")[0]) == (5, f"error retrieving content from {site}/gone.json")


def test_an_edited_spec_is_commented_like_a_new_one(lab):
    lab.ok("create pipeline -f p.json")
    Path("edit.sh").write_text("""sed -i 's/"copies"/"copies", "egress": {"URL": "s3:\\/\\/bucket"}/' "$1"\n""")
    assert "egress: nothing is copied to s3://bucket" in lab.ok("edit pipeline p --editor 'sh edit.sh'").err


def test_an_image_without_a_tag_gets_a_warning(lab):
    spec = {**SPEC, "transform": {"image": "copy", "cmd": ["copy"]}}
    assert "WARNING: please specify a tag" in lab.ok("create pipeline", stdin=json.dumps(spec)).err


def test_fields_that_are_taken_but_do_less_here_are_mentioned(lab):
    spec = {**SPEC, "egress": {"URL": "s3://bucket/x"}}
    said = lab.ok("create pipeline", stdin=json.dumps(spec)).err
    assert "egress: nothing is copied to s3://bucket/x" in said
    assert "egress" not in lab.ok("update pipeline -f p.json").err


def test_a_spec_is_edited_in_an_editor(lab):
    lab.ok("create pipeline -f p.json")
    Path("edit.sh").write_text('sed -i s/copies/edited/ "$1"\n')
    lab.ok("edit pipeline p --editor 'sh edit.sh'")
    assert lab.ok("inspect pipeline p --raw").document["details"]["description"] == "edited"
    assert lab.ok("edit pipeline p --editor true").out == "Pipeline unchanged, no update will be performed.\n"
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
    file = by_state["FAILED"]["data"][0]["file"]
    assert (file["path"], file["datum"]) == ("/b", "default")  # written by nobody's datum
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
    assert found["stats"] == {}
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
    assert (changed.out, changed.err) == ("affected pipelines:\n\t default/p\n", "")
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


def test_descriptions_of_jobs_and_pipelines_tell_of_the_spec_in_the_order_of_pachctl(lab):
    spec = json.loads(Path("p.json").read_text())
    spec |= {
        "datum_timeout": "90s",
        "job_timeout": "1.5s",
        "resource_limits": {"cpu": 0.5, "memory": "64M", "gpu": {"type": "x", "number": 1}},
    }
    spec["transform"] |= {"stdin": ["true && true > /dev/null"], "accept_return_code": [3]}
    Path("p.json").write_text(json.dumps(spec))
    lab.ok("create pipeline -f p.json")
    shown = lab.ok("inspect pipeline p").lines
    labels = [
        "Parallelism Spec",
        "ResourceRequests",
        "ResourceLimits",
        "Datum Timeout",
        "Job Timeout",
        "Input",
        "Output Branch",
        "Transform",
    ]
    assert [line.partition(":")[0] for line in shown if line.partition(":")[0] in labels] == labels
    assert {"Datum Timeout: seconds:90", "Job Timeout: seconds:1 nanos:500000000", "CPU: 0.5", "Number: 1", "Parallelism Spec: <nil>"} <= {
        *shown
    }
    assert '"true \\u0026\\u0026 true > /dev/null"' in shown  # in the transform, but in the user's spec:
    assert '"true \\u0026\\u0026 true \\u003e /dev/null"' in shown
    (ran,) = (document["job"]["id"] for document in lab.ok("list job -p p --raw").documents)
    job = lab.ok(f"inspect job p@{ran}").lines
    labels = [
        "Restarts",
        "ParallelismSpec",
        "ResourceRequests",
        "ResourceLimits",
        "SidecarResourceRequests",
        "Input",
        "Transform",
        "Output Commit",
    ]
    assert [line.partition(":")[0] for line in job if line.partition(":")[0] in labels] == labels
    assert job.index('"branch": "master",') + 1 == job.index(f'"commit": "{ran}",')
    assert job.index("3") == job.index('"accept_return_code": [') + 1


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


def test_jobs_are_found_by_the_id_of_a_commit_they_read(lab):
    lab.ok("create pipeline -f p.json")
    read = lab.ok("inspect commit data@master --raw").document["commit"]["id"]
    assert len(lab.ok(f"list job -p p -i data@{read} --raw").documents) == 1
    for other in ("data@master", "data@0123456789ab4def8123456789abcdef", f"nope@{read}", f"data@{read}^", "data"):
        assert lab.ok(f"list job -p p -i {other} --raw").documents == []


def test_a_dry_run_tells_in_words_what_would_count(lab):
    told = lab.ok("create pipeline -f p.json --dry-run").lines
    labels = [line.partition(":")[0] for line in told if line[:1].isupper()]
    order = ["Parallelism Spec", "ResourceRequests", "CPU", "Memory", "Datum Timeout", "Job Timeout", "Input", "Output Branch", "Transform"]
    assert labels[-len(order) :] == order
    assert {"Name: p", "Parallelism Spec: <nil>", "Memory: 256Mi", "Output Branch: master"} <= {*told}
    assert '"glob": "/*"' in told or '"glob": "/*",' in told
    assert lab.ok("list pipeline --raw").documents == []


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


def test_a_spec_is_checked_without_a_pipeline_being_made(pachctl, tmp_path):
    (tmp_path / "good.json").write_text('{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "none", "glob": "/"}}}')
    assert pachctl.ok("validate pipeline -f good.json").out == ""
    (tmp_path / "bad.json").write_text('{"pipeline": {"name": "p"}, "imput": {}}')
    assert 'did you mean "input"' in pachctl("validate pipeline -f bad.json").err
    assert pachctl.ok("list pipeline").lines[1:] == []
