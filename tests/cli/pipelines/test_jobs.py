"""Jobs, their datums and their logs by command."""

from __future__ import annotations

import json
from pathlib import Path


def test_the_jobs_of_a_set_are_listed_without_the_details_of_their_pipelines(lab):
    lab.ok("create pipeline -f p.json")
    (job,) = lab.ok("list job -p p --raw").documents
    (listed,) = lab.ok(f"list job {job['job']['id']} --raw").documents
    assert listed == {name: value for name, value in job.items() if name != "details"}


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


def test_jobs_are_found_by_the_id_of_a_commit_they_read(lab):
    lab.ok("create pipeline -f p.json")
    read = lab.ok("inspect commit data@master --raw").document["commit"]["id"]
    assert len(lab.ok(f"list job -p p -i data@{read} --raw").documents) == 1
    for other in ("data@master", "data@0123456789ab4def8123456789abcdef", f"nope@{read}", f"data@{read}^", "data"):
        assert lab.ok(f"list job -p p -i {other} --raw").documents == []
