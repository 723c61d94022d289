"""Results brought from a cluster into the home: which files, where, and what is noted of where they are from."""

from __future__ import annotations

from tests.deploy.conftest import Deployment, both_versions

MODEL = {"/model_a.pkl": b"a" * 2500, "/folder/empty": b""}


def deployed(deployment: Deployment, line: str = "") -> Deployment:
    deployment.cluster.results["pick"] = dict(MODEL)
    deployment.ok(line)
    return deployment


def description(deployment: Deployment, branch: str) -> str:
    return str(deployment.command.ok(f"inspect commit {branch} --raw").document["description"])


@both_versions
def test_a_pulled_commit_holds_the_files_and_says_where_it_is_from(deployment: Deployment) -> None:
    deployed(deployment)
    assert deployment.pull("pick@master").status == 0
    assert deployment.command.ok("get file cluster/pick@master:/model_a.pkl").out == "a" * 2500
    assert deployment.command.ok("list file cluster/pick@master:/folder").lines[1].endswith("/folder/empty")
    there, source = deployment.cluster.head("default", "pick"), deployment.cluster.head("default", "train")
    assert (
        description(deployment, "cluster/pick@master")
        == f"pulled from {deployment.address}: default/pick@{there.id}, made from default/train@{source.id}"
    )


def test_what_was_pulled_is_not_pulled_again(deployment: Deployment) -> None:
    deployed(deployment)
    deployment.pull("pick@master")
    deployment.cluster.calls.clear()
    ended = deployment.pull("pick@master")
    assert ended.status == 0
    assert "cluster/pick@master: here already" in ended.err
    assert "GetFile" not in deployment.cluster.calls


def test_only_the_files_that_differ_are_fetched(deployment: Deployment) -> None:
    deployed(deployment)
    deployment.pull("pick@master")
    deployment.cluster.results["pick"] = {"/model_a.pkl": MODEL["/model_a.pkl"], "/model_b.pkl": b"b"}
    deployment.ok("--reprocess")
    deployment.cluster.calls.clear()
    assert "1 file fetched" in deployment.pull("pick@master").err
    assert deployment.cluster.calls.count("GetFile") == 1
    listed = deployment.command.ok("list file cluster/pick@master").lines[1:]
    assert [line.split()[-1] for line in listed] == ["/model_a.pkl", "/model_b.pkl"]


@both_versions
def test_an_older_commit_can_be_pulled_into_another_project(deployment: Deployment) -> None:
    deployed(deployment)
    old = deployment.cluster.head("default", "pick").id
    deployment.cluster.results["pick"] = {}
    deployment.ok("--reprocess")
    assert deployment.pull(f"pick@master={old} --into kept").status == 0
    assert deployment.command.ok("get file kept/pick@master:/model_a.pkl").out == "a" * 2500


def test_deploy_pulls_what_no_other_pipeline_reads(deployment: Deployment) -> None:
    deployed(deployment, "--pull")
    assert deployment.command.ok("list repo --project cluster").lines[1].split()[:2] == ["cluster", "pick"]
    assert len(deployment.command.ok("list repo --project cluster").lines) == 2


def test_a_commit_that_is_not_finished_is_waited_for(deployment: Deployment) -> None:
    deployed(deployment)
    deployment.cluster.head("default", "pick").finished = False
    ended = deployment.pull("pick@master")
    assert ended.status == 0
    assert "default/pick@master is not finished yet, waiting for it" in ended.err


def test_the_commit_of_a_failed_job_is_not_taken_for_a_result(deployment: Deployment) -> None:
    deployed(deployment)
    deployment.cluster.head("default", "pick").error = "datum 12ab failed"
    ended = deployment.pull("pick@master")
    assert ended.status == 3
    assert "datum 12ab failed" in ended.err
    assert deployment.command("list file cluster/pick@master").status == 4


@both_versions
def test_a_content_that_does_not_arrive_whole_leaves_nothing_behind(deployment: Deployment) -> None:
    deployed(deployment)
    deployment.cluster.cut_short = True
    ended = deployment.pull("pick@master")
    assert ended.status == 5
    complaint, _hint = ended.err.splitlines()
    assert "/model_a.pkl: 1000 of 2500 bytes came from" in complaint
    assert deployment.command("list file cluster/pick@master").status == 4


def test_what_is_not_there_is_not_found(deployment: Deployment) -> None:
    ended = deployment.pull("nope@master")
    assert ended.status == 4
    assert "repo default/nope not found" in ended.err
    assert deployment.pull("nope").status == 2
