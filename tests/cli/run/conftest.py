"""A project in a folder, and `python -m local_runner` in it: real project files and engine, Python functions in place of user code."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from local_runner.cli.main import main
from local_runner.errors import LocalRunnerError
from local_runner.executors import table
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import PipelineRef, parse_file
from local_runner.runner import Runner
from tests.cli.conftest import Ended

PROJECT = """
pipelines = ["*.json"]

[[repo]]
name = "numbers"
split = "line"
files = { "n" = "numbers.txt" }

[[repo]]
name = "words"
files = { "w" = "words.txt" }
"""


class Folder:
    """A project: `square` reads `numbers` line by line, `total` reads `square`, `upper` reads `words`. A line "bad" fails its datum.

    `ran` lists the datums that ran since it was last asked, as "pipeline: what it read".
    """

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capture = capture
        self._ran: list[str] = []
        self.meanwhile: Callable[[str], object] = lambda pipeline: None
        self.write("local_runner.toml", PROJECT)
        self.numbers(1, 2, 3)
        self.write("words.txt", "hello\n")
        self.pipeline("square", "numbers", "/n/*")
        self.pipeline("total", "square")
        self.pipeline("upper", "words")

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def numbers(self, *numbers: object) -> None:
        self.write("numbers.txt", "".join(f"{number}\n" for number in numbers))

    def pipeline(self, name: str, repo: str, glob: str = "/", file: str = "", **fields: object) -> None:
        spec = {"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": repo, "glob": glob, "name": "in"}}}
        self.write(file or f"{name}.json", json.dumps({**spec, "datum_tries": 1, **fields}))

    def do(self, datum: ScriptedDatum) -> int:
        files = sorted(file for file in datum.input("in").rglob("*") if file.is_file())
        text = " ".join(file.read_text().strip() for file in files)
        self._ran.append(f"{datum.env['PPS_PIPELINE_NAME']}: {text}")
        self.meanwhile(datum.env["PPS_PIPELINE_NAME"])
        if text == "bad":
            datum.say("that was bad")
            return 1
        (datum.out / files[0].name).write_text(text)
        return 0

    @property
    def ran(self) -> list[str]:
        ran, self._ran = sorted(self._ran), []
        return ran

    def __call__(self, line: str = "") -> Ended:
        os.chdir(self.root)
        self._capture.readouterr()
        status = main(shlex.split(line), idle)
        shown = self._capture.readouterr()
        return Ended(status, shown.out, shown.err)

    def runner(self) -> Runner:
        return Runner.open(self.root / ".local_runner", background=False)

    def jobs(self, pipeline: str) -> list[JobInfo]:
        with self.runner() as runner:
            return list(runner.list_job(pipeline=PipelineRef("default", pipeline), history=-1))

    def jobs_if_any(self, pipeline: str) -> list[JobInfo]:
        """None as long as the pipeline is not there."""
        try:
            return self.jobs(pipeline)
        except LocalRunnerError:
            return []

    def text(self, file: str) -> str:
        with self.runner() as runner:
            return b"".join(runner.get_file(parse_file(file))).decode()


def idle(runner: Runner) -> None:
    """Nobody works in the background."""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOCAL_RUNNER_HOME", raising=False)
    folder = Folder(tmp_path, capsys)
    monkeypatch.setattr(table, "choose", lambda name, *_: (ScriptedExecutor(folder.do), "executor scripted"))
    return folder
