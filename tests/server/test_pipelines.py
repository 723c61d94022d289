"""What clients do with pipelines, jobs, datums, logs, secrets and defaults."""

import json
import threading
from typing import Any

import pytest

from local_runner.server.schema import message_class
from tests.support.api_client import ApiClient, changes
from tests.support.lab import Lab

EDGES = {"pipeline": {"name": "edges"}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": "data", "glob": "/*"}}}
NAMED = {"name": "edges"}
_SUCCESS = message_class("pps_v2.JobInfo").DESCRIPTOR.fields_by_name["state"].enum_type.values_by_name["JOB_SUCCESS"].number
INPUT = {"pfs": {"repo": "data", "branch": "master", "glob": "/*"}}


@pytest.fixture
def edges(lab: Lab, client: ApiClient) -> ApiClient:
    """A pipeline that has run once, over two datums."""
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    client.put("data", {"/a": b"1", "/b": b"2"})
    client("pps_v2.API/CreatePipelineV2", create_pipeline_request_json=json.dumps(EDGES))
    lab.run_all()
    return client


def job(client: ApiClient, **fields: Any) -> Any:
    return client("pps_v2.API/ListJob", pipeline=NAMED, **fields)[0]


def test_a_pipeline_is_made_of_a_text_and_runs(edges: ApiClient) -> None:
    info = edges("pps_v2.API/InspectPipeline", pipeline=NAMED, details=True)
    assert (info["state"], info["version"], info["details"]["transform"]["cmd"]) == ("PIPELINE_RUNNING", "1", ["do"])
    assert edges.get("edges", "/a") == b"1"


def test_a_pipeline_is_made_of_a_message_as_the_python_clients_send_it(lab: Lab, client: ApiClient) -> None:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    request = {**EDGES, "input": INPUT, "datum_tries": 2, "datum_timeout": "90s"}
    client("pps_v2.API/CreatePipeline", **request)
    client("pps_v2.API/CreatePipeline", **request, update=True)
    details = client("pps_v2.API/InspectPipeline", pipeline=NAMED, details=True)["details"]
    assert (details["datum_tries"], details["datum_timeout"]) == ("2", "90s")
    assert [info["version"] for info in client("pps_v2.API/ListPipeline", pipeline=NAMED, history=-1)] == ["2", "1"]
    assert client.error("pps_v2.API/CreatePipeline", **request)[0] == "ALREADY_EXISTS"


def test_nothing_is_made_by_a_dry_run(client: ApiClient) -> None:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    text = json.dumps(EDGES)
    answer = client("pps_v2.API/CreatePipelineV2", create_pipeline_request_json=text, dry_run=True)
    assert json.loads(answer["effective_create_pipeline_request_json"])["datumTries"] == "3"
    assert client("pps_v2.API/ListPipeline") == []


def test_a_template_is_rendered(client: ApiClient) -> None:
    pytest.importorskip("_jsonnet", reason="the extra jsonnet is not installed")
    template = 'function(name) {pipeline: {name: name}, transform: {cmd: ["do"]}, input: {pfs: {repo: "data", glob: "/*"}}}'
    found = client("pps_v2.API/RenderTemplate", template=template, args={"name": "edges"})
    assert json.loads(found["json"]) == EDGES
    assert found["specs"][0]["pipeline"]["name"] == "edges"
    assert client.error("pps_v2.API/RenderTemplate", template=template)[0] == "INVALID_ARGUMENT"


def test_a_job_is_listed_waited_for_and_shown(edges: ApiClient) -> None:
    info = job(edges)
    assert (info["state"], info["data_total"], info["data_processed"]) == ("JOB_SUCCESS", "2", "2")
    assert info["output_commit"]["branch"]["name"] == "master"
    assert "details" not in info
    shown = edges("pps_v2.API/InspectJob", job=info["job"], wait=True, details=True)
    assert shown["details"]["input"]["pfs"]["commit"] == info["job"]["id"]
    assert [found["job"] for found in edges("pps_v2.API/InspectJobSet", job_set={"id": info["job"]["id"]}, wait=True)] == [info["job"]]


def test_jobs_are_listed_by_pages_and_states(lab: Lab, edges: ApiClient) -> None:
    for number in range(3):
        edges.put("data", {f"/{number}": b"x"})
        lab.run_all()
    listed = edges("pps_v2.API/ListJob", pipeline=NAMED)
    page = edges("pps_v2.API/ListJob", pipeline=NAMED, number=2)
    beyond = edges("pps_v2.API/ListJob", pipeline=NAMED, paginationMarker=page[-1]["created"])
    assert page + beyond == listed
    assert edges("pps_v2.API/ListJob", pipeline=NAMED, reverse=True) == listed[::-1]
    assert edges("pps_v2.API/ListJob", jqFilter='select(.state == "JOB_FAILURE")') == []
    assert len(edges("pps_v2.API/ListJob", jqFilter='select(.state == "JOB_FAILURE" or .state == "JOB_SUCCESS")')) == 4
    assert len(edges("pps_v2.API/ListJob", jqFilter='.state == "JOB_FAILURE" or .state == "JOB_SUCCESS"')) == 4  # pachctl's way
    assert edges.error("pps_v2.API/ListJob", jqFilter=".reason")[0] == "UNIMPLEMENTED"
    assert [len(found["jobs"]) for found in edges("pps_v2.API/ListJobSet")] == [1, 1, 1, 1]
    assert edges("pps_v2.API/ListJobSet", projects=[{"name": "other"}]) == []


def test_datums_are_listed_by_pages_and_shown(edges: ApiClient) -> None:
    of = job(edges)["job"]
    listed = edges("pps_v2.API/ListDatum", job=of)
    assert [info["state"] for info in listed] == ["SUCCESS", "SUCCESS"]
    first = edges("pps_v2.API/ListDatum", job=of, number=1)
    assert first + edges("pps_v2.API/ListDatum", job=of, paginationMarker=first[0]["datum"]["id"]) == listed
    assert edges("pps_v2.API/ListDatum", job=of, filter={"state": ["FAILED"]}) == []
    assert edges("pps_v2.API/InspectDatum", datum=listed[0]["datum"]) == listed[0]


def test_notebooks_ask_for_datums_so_many_at_a_time(edges: ApiClient) -> None:
    edges.put("data", {f"/{number}": b"" for number in range(10)})
    more = [{"continue": {"number": 5}}, {"continue": {"number": 5}}, {"continue": {"number": 5}}]
    found = edges("pps_v2.API/CreateDatum", [{"start": {"input": INPUT, "number": 4}}, *more])
    assert len(found) == 12
    assert {info["data"][0]["file"]["path"] for info in found} == {"/a", "/b", *(f"/{number}" for number in range(10))}
    assert len(edges("pps_v2.API/ListDatum", input=INPUT)) == 12


def test_pipelines_are_stopped_started_rerun_and_deleted(lab: Lab, edges: ApiClient) -> None:
    edges("pps_v2.API/StopPipeline", pipeline=NAMED)
    assert edges("pps_v2.API/ListPipeline", jqFilter='select(.state == "PIPELINE_PAUSED")')[0]["pipeline"]["name"] == "edges"
    edges("pps_v2.API/StartPipeline", pipeline=NAMED)
    edges("pps_v2.API/RerunPipeline", pipeline=NAMED, reprocess=True)
    lab.run_all()
    assert lab.ran == ["edges:/a", "edges:/b"]
    assert edges("pps_v2.API/PipelinesSummary")["summaries"][0]["active_pipelines"] == "1"
    edges("pps_v2.API/DeletePipelines", all=True)
    assert [info["repo"]["name"] for info in edges("pfs_v2.API/ListRepo")] == ["data"]


def test_a_pipeline_that_another_reads_is_deleted_with_it(edges: ApiClient) -> None:
    below = {**EDGES, "pipeline": {"name": "below"}, "input": {"pfs": {"repo": "edges", "glob": "/"}}}
    edges("pps_v2.API/CreatePipelineV2", create_pipeline_request_json=json.dumps(below))
    edges("pps_v2.API/CreatePipelineV2", create_pipeline_request_json=json.dumps(EDGES), update=True)  # now it is the newest
    assert edges.error("pps_v2.API/DeletePipeline", pipeline=NAMED)[0] != "OK"
    assert len(edges("pps_v2.API/DeletePipelines", all=True)["pipelines"]) == 2
    assert edges("pps_v2.API/ListPipeline") == []


def test_logs_of_what_is_not_there_cannot_be_got(client: ApiClient) -> None:
    code, text = client.error("pps_v2.API/GetLogs", pipeline={"name": "none"})
    assert code == "NOT_FOUND"
    assert text.startswith("could not get pipeline information for default/none")


def test_a_secret_is_kept_listed_and_forgotten(client: ApiClient) -> None:
    import base64

    text = json.dumps({"metadata": {"name": "key"}, "type": "Opaque", "stringData": {"a": "b"}})
    client("pps_v2.API/CreateSecret", file=base64.b64encode(text.encode()).decode())
    assert [info["secret"]["name"] for info in client("pps_v2.API/ListSecret")["secret_info"]] == ["key"]
    assert client("pps_v2.API/InspectSecret", secret={"name": "key"})["type"] == "Opaque"
    client("pps_v2.API/DeleteSecret", secret={"name": "key"})
    assert client.error("pps_v2.API/InspectSecret", secret={"name": "key"})[0] == "NOT_FOUND"
    assert client.error("pps_v2.API/CreateSecret", file="bm8=")[0] == "INVALID_ARGUMENT"


def test_defaults_are_set_for_all_and_for_a_project(edges: ApiClient) -> None:
    text = json.dumps({"create_pipeline_request": {"datum_tries": 7}})
    affected = edges("pps_v2.API/SetClusterDefaults", cluster_defaults_json=text, regenerate=True)
    assert [ref["name"] for ref in affected["affected_pipelines"]] == ["edges"]
    assert edges("pps_v2.API/InspectPipeline", pipeline=NAMED, details=True)["details"]["datum_tries"] == "7"
    edges("pps_v2.API/SetProjectDefaults", project={"name": "default"}, project_defaults_json=text)
    assert "7" in edges("pfs_v2.API/InspectProjectV2", project={"name": "default"})["defaults_json"]


def test_a_job_is_seen_again_and_again_by_who_subscribes(lab: Lab, edges: ApiClient) -> None:
    stream = edges.start("pps_v2.API/SubscribeJob", pipeline=NAMED)
    assert next(stream).state == _SUCCESS
    edges.put("data", {"/c": b"3"})
    worker = threading.Thread(target=lab.run_all)
    worker.start()
    states = []
    while not states or states[-1] != _SUCCESS:
        states.append(next(stream).state)
    worker.join()
    assert len(states) > 1
    stream.cancel()


def test_each_service_deletes_what_is_its_own(edges: ApiClient) -> None:
    edges("transaction_v2.API/StartTransaction")
    edges("pps_v2.API/DeleteAll")
    assert edges("pps_v2.API/ListPipeline") == []
    assert [info["repo"]["name"] for info in edges("pfs_v2.API/ListRepo")] == ["data"]
    assert len(edges("transaction_v2.API/ListTransaction")["transaction_info"]) == 1
    edges("pfs_v2.API/DeleteAll")
    edges("transaction_v2.API/DeleteAll")
    assert edges("pfs_v2.API/ListRepo") == []
    assert edges("transaction_v2.API/ListTransaction") == {}
    assert [info["project"]["name"] for info in edges("pfs_v2.API/ListProject")] == ["default"]


def test_a_commit_is_waited_for_by_its_state(lab: Lab, edges: ApiClient) -> None:
    edges.put("data", {"/c": b"3"})
    commit = {"branch": {"repo": {"name": "edges"}, "name": "master"}}
    assert "finished" not in edges("pfs_v2.API/InspectCommit", commit=commit, wait="READY")
    edges._timeout = 0.3
    assert edges.error("pfs_v2.API/InspectCommit", commit=commit, wait="FINISHED")[0] == "DEADLINE_EXCEEDED"
    edges._timeout = 30
    lab.run_all()
    assert "finished" in edges("pfs_v2.API/InspectCommit", commit=commit, wait="FINISHED")


def test_files_of_an_open_output_are_not_written_by_others(edges: ApiClient) -> None:
    edges.put("data", {"/c": b"3"})
    requests = [{"set_commit": {"branch": {"repo": {"name": "edges"}, "name": "master"}}}, *changes({"/x": b"1"})]
    assert edges.error("pfs_v2.API/ModifyFile", requests)[0] == "FAILED_PRECONDITION"
