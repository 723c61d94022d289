"""A project brought to a cluster: what is sent, in which order, what is left as it is, and what is said."""

from __future__ import annotations

import json

import pytest

from tests.deploy.conftest import PICK, PROJECT_FILE, TRAIN, Deployment, Tools, both_versions


@both_versions
def test_files_and_pipelines_are_on_the_cluster_after_it(deployment: Deployment) -> None:
    deployment.cluster.script["train"] = [("JOB_STARTING", 0, 0), ("JOB_RUNNING", 1, 3), ("JOB_SUCCESS", 3, 3)]
    ended = deployment.ok()
    cluster = deployment.cluster
    assert cluster.files("data") == {"/iris.csv": b"1,2\n3,4\n"}
    train = cluster.pipelines["default", "train"].details
    assert (train.transform.image, list(train.transform.cmd)) == ("me/train:1.0", ["python3", "/app/train.py"])
    assert train.transform.datum_batching
    assert [part.pfs.repo for part in train.input.cross] == ["data", "parameters"]
    assert ended.lines[0] == "PIPELINE RUN REUSED FAILED STATE JOB"
    assert [line.split()[:5] for line in ended.lines[1:]] == [["pick", "1", "0", "0", "success"], ["train", "3", "0", "0", "success"]]
    told = ended.err.splitlines()
    assert told.index("train: created") < told.index("pick: created"), "pick reads train, whatever their files are called"
    assert [line for line in told if line.startswith("train: ")] == [
        "train: created",
        "train: starting",
        "train: running, 1 of 3 datums",
        "train: success",
    ]


def test_a_file_that_is_split_arrives_as_a_file_for_each_record(deployment: Deployment) -> None:
    deployment.ok("--no-wait")
    assert deployment.cluster.files("parameters") == {
        "/c.txt/0000000000000000": b"8\n",
        "/c.txt/0000000000000001": b"16\n",
        "/c.txt/0000000000000002": b"32",
    }


@both_versions
def test_a_second_deployment_sends_nothing_that_is_there(deployment: Deployment) -> None:
    deployment.ok()
    deployment.cluster.calls.clear()
    told = deployment.ok().err.splitlines()
    assert "ModifyFile" not in deployment.cluster.calls
    assert "data: files are as they should be" in told
    if deployment.cluster.old:  # says nothing of the spec a pipeline was made with
        assert "train: updated" in told
    else:
        assert "CreatePipeline" not in deployment.cluster.calls
        assert "train: as it should be" in told


@both_versions
def test_only_what_changed_is_sent(deployment: Deployment) -> None:
    deployment.ok()
    deployment.cluster.put_messages = 0
    deployment.write("c.txt", "8\n64\n")
    deployment.write("b_train.json", json.dumps(TRAIN | {"parallelism_spec": {"constant": 2}}))
    told = deployment.ok().err.splitlines()
    assert deployment.cluster.files("parameters") == {"/c.txt/0000000000000000": b"8\n", "/c.txt/0000000000000001": b"64\n"}
    assert deployment.cluster.put_messages == 4, "two files deleted, and one of them written anew in two messages"
    assert "parameters: 1 file put, 1 file deleted" in told
    assert "train: updated" in told
    if not deployment.cluster.old:
        assert "pick: as it should be" in told


def test_a_file_that_somebody_else_put_there_stays(deployment: Deployment) -> None:
    deployment.ok("--no-wait")
    deployment.cluster.head("default", "data").files["/of/somebody"] = b"else"
    deployment.write("iris.csv", "5,6\n")
    deployment.ok("--no-wait")
    assert deployment.cluster.files("data") == {"/iris.csv": b"5,6\n", "/of/somebody": b"else"}


def test_a_file_of_many_lines_is_not_sent_line_by_line(deployment: Deployment) -> None:
    deployment.write("iris.csv", "1,2\n" * 10_000)
    deployment.ok("--no-wait")
    assert deployment.cluster.files("data") == {"/iris.csv": b"1,2\n" * 10_000}
    assert deployment.cluster.put_messages < 20


def test_a_failed_job_fails_the_command_and_says_where_to_look(deployment: Deployment) -> None:
    deployment.cluster.script |= {"train": [("JOB_FAILURE", 1, 3)], "pick": [("JOB_UNRUNNABLE", 0, 0)]}
    deployment.cluster.reasons |= {
        "train": "datum 12ab failed",
        "pick": "unrunnable because the following upstream pipelines failed: train",
    }
    ended = deployment()
    job = deployment.cluster.head("default", "train").id
    assert ended.status == 3
    assert "train: failure: datum 12ab failed" in ended.err
    assert ended.err.splitlines()[-2:] == [
        "did not succeed on the cluster: train, pick",
        f"hint: pachctl logs --job train@{job} --project default",
    ]


@both_versions
def test_a_pipeline_whose_job_failed_is_tried_again(deployment: Deployment) -> None:
    deployment.cluster.script["pick"] = [("JOB_FAILURE", 0, 1)]
    assert deployment().status == 3
    deployment.cluster.script["pick"] = [("JOB_SUCCESS", 1, 1)]
    assert "pick: updated" in deployment.ok().err


def test_reprocess_updates_what_is_as_it_should_be(deployment: Deployment) -> None:
    deployment.ok("--no-wait")
    assert "train: updated, every datum runs again" in deployment.ok("--no-wait --reprocess").err
    assert deployment.cluster.pipelines["default", "train"].version == 2


def test_a_crashing_pipeline_is_named_while_it_is_waited_for(deployment: Deployment) -> None:
    deployment.cluster.script["train"] = [("JOB_STARTING", 0, 0), ("JOB_STARTING", 0, 0), ("JOB_SUCCESS", 3, 3)]
    deployment.ok("--no-wait")
    deployment.cluster.falls("train", "PIPELINE_CRASHING", "image not found")
    assert "train: crashing: image not found" in deployment.ok().err


def test_a_pipeline_that_cannot_work_is_not_waited_for(deployment: Deployment) -> None:
    deployment.cluster.script["train"] = [("JOB_STARTING", 0, 0)]
    deployment.ok("--no-wait")
    deployment.cluster.falls("train", "PIPELINE_FAILURE", "no such secret")
    ended = deployment()
    assert ended.status == 3
    assert "train cannot work on the cluster: no such secret" in ended.err


def test_a_stopped_pipeline_is_not_waited_for(deployment: Deployment) -> None:
    deployment.cluster.script["train"] = [("JOB_STARTING", 0, 0)]
    deployment.ok("--no-wait")
    deployment.cluster.pipelines["default", "train"].stopped = True
    assert "train: stopped on the cluster, so nothing runs" in deployment.ok().err


def test_files_that_the_cluster_does_not_accept_fail_the_command(deployment: Deployment) -> None:
    deployment.cluster.bad_files = "file / directory path collision (/iris.csv)"
    ended = deployment()
    assert ended.status == 3
    assert "did not accept the files of default/data@master: file / directory path collision (/iris.csv)" in ended.err


@both_versions
def test_a_project_of_the_cluster_is_made_and_used(deployment: Deployment) -> None:
    deployment.ok("--project lab")
    assert "lab" in deployment.cluster.projects
    assert deployment.cluster.head("lab", "data").files
    assert set(deployment.cluster.pipelines) == {("lab", "train"), ("lab", "pick")}


def test_a_field_that_python_pachyderm_does_not_know_is_refused_by_name(deployment: Deployment) -> None:
    deployment.write("b_train.json", json.dumps(TRAIN | {"maximum_expected_uptime": "60s"}))
    ended = deployment()
    assert ended.status == 1
    assert "maximumExpectedUptime" in ended.err
    assert "--dry-run" in ended.err


def test_the_folders_images_are_built_pushed_and_named_in_the_specs(deployment: Deployment, tools: Tools) -> None:
    tools.add("podman")
    deployment.ok("--registry localhost:5000/")
    pushed = deployment.cluster.pipelines["default", "train"].details.transform.image
    assert pushed.startswith("localhost:5000/me/train:1.0-")
    inspected, built, sent = tools.asked
    assert inspected.startswith("podman image inspect")
    assert built.startswith("podman build ")
    assert built.endswith(f" --tag {pushed} {deployment.root / 'train'}")
    assert sent == f"podman push {pushed}"
    assert deployment.cluster.pipelines["default", "pick"].details.transform.image == PICK["transform"]["image"], "it has no folder here"


@both_versions
def test_changed_code_gets_a_new_tag_and_the_same_code_the_same(deployment: Deployment, tools: Tools) -> None:
    tools.add("docker")
    images = []
    for code in ("print('training')\n", "print('training better')\n", "print('training')\n"):
        deployment.write("train/train.py", code)
        told = deployment.ok("--registry localhost:5000 --no-wait").err
        images.append(deployment.cluster.pipelines["default", "train"].details.transform.image)
    assert images[0] == images[2] != images[1]
    assert "train: updated; datums that succeeded with the old image are kept, --reprocess runs them again" in told


def test_a_registry_that_refuses_stops_before_the_cluster_is_touched(deployment: Deployment, tools: Tools) -> None:
    tools.add("docker", 'if [ "$1" = push ]; then echo "denied: requested access to the resource is denied" >&2; exit 1; fi')
    ended = deployment("--registry registry.example/me")
    assert ended.status == 1
    assert "registry.example did not take registry.example/me/me/train:1.0-" in ended.err
    assert "denied: requested access to the resource is denied" in ended.err
    assert "hint: log in: docker login registry.example" in ended.err
    assert not deployment.cluster.pipelines


def test_without_an_image_tool_a_registry_is_no_use(deployment: Deployment, tools: Tools) -> None:
    ended = deployment("--registry localhost:5000")
    assert ended.status == 5
    assert "podman, docker, buildah" in ended.err
    assert "install podman or docker" in ended.err


def test_an_image_tool_that_does_not_answer_is_named(deployment: Deployment, tools: Tools) -> None:
    tools.add("docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    ended = deployment("--registry localhost:5000")
    assert ended.status == 5
    assert "docker: the container engine does not run: Cannot connect to the Docker daemon" in ended.err


def test_a_project_without_anything_to_deploy_is_bad_usage(deployment: Deployment) -> None:
    deployment.write("local_runner.toml", PROJECT_FILE.partition("[images]")[1] + '\n"me/train" = "train"\n')
    assert deployment().status == 2


@pytest.mark.parametrize("given", ["--pull --no-wait", "--no-such-flag"])
def test_flags_that_make_no_sense_are_bad_usage(deployment: Deployment, given: str) -> None:
    assert deployment(given).status == 2
