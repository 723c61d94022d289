"""A small project, a cluster of recorded answers to bring it to, and image tools that only write down what they are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Ended, Pachctl

if TYPE_CHECKING:
    from tests.deploy.server import FakeCluster

TRAIN = {
    "pipeline": {"name": "train"},
    "transform": {"image": "me/train:1.0", "cmd": ["python3", "/app/train.py"], "datum_batching": True},
    "datum_timeout": "600s",
    "input": {"cross": [{"pfs": {"repo": "data", "glob": "/"}}, {"pfs": {"repo": "parameters", "glob": "/c.txt/*"}}]},
}
PICK = {
    "pipeline": {"name": "pick"},
    "transform": {"image": "python:3.11-slim", "cmd": ["true"]},
    "input": {"pfs": {"repo": "train", "glob": "/*"}},
}
PROJECT_FILE = """\
pipelines = ["*.json"]
[[repo]]
name = "data"
files = { "iris.csv" = "iris.csv" }
[[repo]]
name = "parameters"
split = "line"
files = { "c.txt" = "c.txt" }
[images]
"me/train" = "train"
"""


@dataclass
class Deployment:
    """A project in the current folder, and a cluster."""

    cluster: FakeCluster
    address: str
    root: Path
    command: Pachctl

    def __call__(self, line: str = "", *more: str) -> Ended:
        return self.command(f"deploy --to {self.address} {line}", *more)

    def ok(self, line: str = "") -> Ended:
        ended = self(line)
        assert ended.status == 0, ended
        return ended

    def pull(self, line: str) -> Ended:
        return self.command(f"pull --from {self.address} {line}")

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(exist_ok=True)
        (self.root / name).write_text(text)


# For tests that have to hold whatever the cluster's version.
both_versions = pytest.mark.parametrize("cluster", ["2.7", "2.12"], indirect=True)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> FakeCluster:
    pytest.importorskip("python_pachyderm", reason="needs the extra `stages`")
    from tests.deploy.server import FakeCluster  # which needs it too

    return FakeCluster(old=getattr(request, "param", "2.12") == "2.7")


@pytest.fixture
def deployment(
    cluster: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PACH_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.delenv("PACH_TOKEN", raising=False)
    monkeypatch.setattr("local_runner.deploy.carry_out._POLL_SECONDS", 0.01)
    from tests.deploy.server import serve

    server, address = serve(cluster)
    made = Deployment(cluster, address, root, Pachctl(capsys, monkeypatch))
    made.write("local_runner.toml", PROJECT_FILE)
    made.write("iris.csv", "1,2\n3,4\n")
    made.write("c.txt", "8\n16\n32")
    made.write("a_pick.json", json.dumps(PICK))
    made.write("b_train.json", json.dumps(TRAIN))
    made.write("train/Dockerfile", "FROM python:3.11-slim\nWORKDIR /app\nCOPY train.py .\n")
    made.write("train/train.py", "print('training')\n")
    yield made
    server.stop(None).wait()


@dataclass
class Tools:
    """What image tools there are: programs that write down what they are asked."""

    folder: Path

    def add(self, name: str, script: str = "") -> None:
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/log"\n{script}\n')
        program.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """None at first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Tools(folder)
