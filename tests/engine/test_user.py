"""`transform.user` (reference pps 3.1)."""

import os
from pathlib import Path

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from tests.support.lab import Lab

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
SCRIPT = ["set -e", "id -u", "stat -L -c %u /pfs/in /pfs/in/a /pfs/out", "echo more >> /pfs/in/a", "cp /pfs/in/a /pfs/out/a"]


@needs_root
@pytest.mark.parametrize("executor", [SandboxExecutor(), ProcessExecutor()], ids=["sandbox", "process"])
def test_a_command_runs_as_its_user_who_owns_all_of_the_datum(home: Path, executor: Executor) -> None:
    if executor.why_not():
        pytest.skip(executor.why_not())
    lab = Lab(home)
    lab.put("data@master", {"/a": "1\n"})
    source = {"pfs": {"repo": "data", "name": "in", "glob": "/*"}}
    lab.pipeline("p", source, transform={"cmd": ["sh"], "stdin": SCRIPT, "user": "nobody"}, datum_tries=1)
    work(lab.runner, EngineConfig(executor, 1))
    printed = [str(line["message"]) for line in lab.runner.logs(job=lab.job("p").job)]
    assert printed == ["65534"] * 4
    assert lab.files("p@master") == {"/a": "1\nmore\n"}
    lab.close()


@needs_root
def test_a_user_who_is_not_there_fails_the_job_by_name(home: Path) -> None:
    lab = Lab(home)
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", transform={"user": "no-such-user"})
    work(lab.runner, EngineConfig(ProcessExecutor(), 1))
    assert lab.state("p") is JobState.FAILURE
    assert "user no-such-user not found" in lab.job("p").reason
    lab.close()


def test_an_executor_that_cannot_switch_users_says_so_in_the_log(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", transform={"user": "nobody"})
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    said = [str(line["message"]) for line in lab.runner.logs(job=lab.job("p").job)]
    assert said == ["transform.user: the executor scripted cannot run commands as nobody; root's sandbox could"]
