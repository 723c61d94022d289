"""What a pipeline's workers are asked for, from its spec: secrets, network."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine.worker_request import WorkerRequests, may_use_network
from local_runner.engine_host import work
from local_runner.executors.process import ProcessExecutor
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineSpec, Secret, Transform
from local_runner.model.refs import PipelineRef, parse_file
from tests.support.lab import Lab


def test_a_secret_may_be_a_folder_of_files(home: Path) -> None:
    lab = Lab(home)
    lab.put("data@master", {"/a": "1"})
    coded = {"coded": base64.b64encode(b"\xff\n").decode()}
    lab.runner.create_secret({"metadata": {"name": "login"}, "stringData": {"plain": "open sesame"}, "data": coded})
    transform = {
        "cmd": ["sh"],
        "stdin": ["cp -r /login/. /pfs/out/ && ! ls /none"],
        "secrets": [{"name": "login", "mount_path": "/login"}, {"name": "missing", "mount_path": "/none"}],
    }
    lab.pipeline("p", "data:/*", transform=transform, datum_tries=1)
    work(lab.runner, EngineConfig(ProcessExecutor(), 1))
    assert [file.path for file in lab.runner.list_file(parse_file("p@master:/"))] == ["/coded", "/plain"]
    lab.close()


def spec(**more: object) -> PipelineSpec:
    document = {"metadata": {"annotations": more.pop("annotations", {})}}
    return PipelineSpec(PipelineRef("default", "p"), Transform(), None, document, **more)  # type: ignore[arg-type]


def test_user_code_has_no_network_unless_its_pipeline_asks_or_is_there_for_it() -> None:
    assert not may_use_network(spec())
    assert may_use_network(spec(annotations={"local_runner/network": "true"}))
    assert may_use_network(spec(spout={}))
    assert may_use_network(spec(service={}))


def test_all_of_it_may_be_given_the_network_and_a_pipeline_may_decline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RUNNER_NETWORK", "1")
    assert may_use_network(spec())
    assert not may_use_network(spec(annotations={"local_runner/network": "false"}))


def test_a_run_may_give_it_to_all_that_do_not_decline() -> None:
    assert may_use_network(spec(), all_may=True)
    assert not may_use_network(spec(annotations={"local_runner/network": "false"}), all_may=True)


def test_a_limit_that_the_executor_does_not_keep_is_said_in_the_log(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", resource_limits={"memory": "1G"})
    lab.run_all()
    said = [str(line["message"]) for line in lab.runner.logs(job=lab.job("p").job)]
    assert said == ["resource_limits.memory: the executor scripted cannot limit memory here"]


def test_a_secret_that_a_home_holds_from_before_writes_nowhere_else_and_fails_its_job_in_words(home: Path, tmp_path: Path) -> None:
    lab, target = Lab(home), tmp_path / "by-secret"
    lab.put("data@master", {"/a": "1"})
    with lab.runner.database.write() as session:
        session.pipelines.put_secret("old", 1.0, {"metadata": {"name": "old"}, "stringData": {str(target): "x"}})
    secrets = [{"name": "old", "mount_path": "/s"}]
    lab.pipeline("p", "data:/*", transform={"cmd": ["true"], "secrets": secrets}, datum_tries=1)
    work(lab.runner, EngineConfig(ProcessExecutor(), 1))
    assert lab.state("p") is JobState.FAILURE
    assert f"secret 'old' cannot be given to a pipeline: secret: stringData[{target}]: " in lab.job("p").reason
    assert not target.exists()
    lab.close()


@pytest.mark.parametrize("value", [b"\xff", b"a\0b"])
def test_a_secret_that_is_no_text_cannot_be_a_variable(lab: Lab, value: bytes) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.runner.create_secret({"metadata": {"name": "s"}, "data": {"k": base64.b64encode(value).decode()}})
    lab.pipeline("p", "data:/*", transform={"cmd": ["do"], "secrets": [{"name": "s", "key": "k", "env_var": "K"}]})
    lab.run_all()
    assert lab.job("p").reason == "the secret for K is no text, so it cannot be a variable"


def test_the_folder_of_a_secret_is_named_from_the_root_whatever_an_older_home_has_in_a_spec(lab: Lab, tmp_path: Path) -> None:
    lab.runner.create_secret({"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    secret = Secret("s", mount_path="../../up")
    asked = PipelineSpec(PipelineRef("default", "p"), Transform(secrets=(secret,)), None, {})
    made = WorkerRequests(lab.runner.database, EngineConfig(lab.executor)).of(asked, "")
    assert list(made("w", tmp_path / "pfs", tmp_path, 0).mounts) == ["/up"]


def test_a_home_with_a_secret_is_closed_to_others(lab: Lab, home: Path) -> None:
    home.chmod(0o755)
    lab.runner.create_secret({"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    assert home.stat().st_mode & 0o777 == 0o750
