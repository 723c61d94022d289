"""Commands, run in this process over a real home; user code is pretended: it copies its inputs, and fails on files that say "fail"."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_runner.cli.main import main
from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.base import Executor
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor
from local_runner.runner import Runner


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        decoder, at, found = json.JSONDecoder(), 0, []
        while self.out[at:].strip():
            at += len(self.out[at:]) - len(self.out[at:].lstrip())
            document, at = decoder.raw_decode(self.out, at)
            found.append(document)
        return found

    @property
    def document(self) -> Any:
        (only,) = self.documents
        return only

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.out.splitlines()]


@dataclass
class Pachctl:
    """`pachctl("list repo")` runs it; `pachctl.ok(…)` also wants it to succeed."""

    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    start_engine: Callable[[Runner], None] = lambda runner: None  # called where one would be started in the background

    def __call__(self, line: str, *more: str, stdin: str = "") -> Ended:
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self.capture.readouterr()
        status = main([*shlex.split(line), *more], self.start_engine)
        shown = self.capture.readouterr()
        return Ended(status, shown.out, shown.err)

    def ok(self, line: str, *more: str, stdin: str = "") -> Ended:
        ended = self(line, *more, stdin=stdin)
        assert ended.status == 0, ended
        return ended


def copying(**fields: Any) -> dict[str, Any]:
    """The spec of a pipeline `p` that copies the files of `data`, each for itself."""
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"image": "copy:1", "cmd": ["copy"]},
        "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
    }
    return spec | fields


@pytest.fixture
def pachctl(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pachctl:
    """In an empty folder, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("local_runner.images.notes.choose", lambda name: (ScriptedExecutor(_copy), ""))
    return Pachctl(capsys, monkeypatch, work_here(ScriptedExecutor(_copy)))


def work_here(executor: Executor) -> Callable[[Runner], None]:
    """Do all work in this process, where an engine would be started."""
    return lambda runner: work(runner, EngineConfig(executor, jobs=1))


def _copy(datum: ScriptedDatum) -> int:
    for source in datum.input("in").rglob("*"):
        if source.is_file():
            text = source.read_text()
            datum.say(f"read {source.name}")
            if "fail" in text:
                return 1
            shutil.copyfile(source, datum.out / source.name)
    return 0
