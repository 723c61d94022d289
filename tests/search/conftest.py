"""A project with a search whose stage is a Python function: what it scores is written beside the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local_runner.executors.scripted import ScriptedDatum
from local_runner.project.file import read_project
from local_runner.search.loop import run_study
from local_runner.search.results import Results
from local_runner.search.study import Study, open_study
from tests.support.lab import Do, Lab

Score = Callable[[dict[str, Any]], Any]

PROJECT = """
[search.s]
pipelines = ["*.json"]
points = "points"
score = "score:/*.json#value"
{more}
[search.s.space]
{space}
"""


def scored(score: Score) -> Do:
    """A stage that reads a point and writes {"value": score} under its name; what it raises as ValueError fails the datum."""

    def do(datum: ScriptedDatum) -> int | None:
        [file] = datum.input("points").rglob("*.json")
        try:
            value = score(json.loads(file.read_text()))
        except ValueError as error:
            datum.say(str(error))
            return 1
        if value is not None:
            (datum.out / file.name).write_text(json.dumps({"value": value}))
        return None

    return do


class Bench:
    """A project in a folder, with its home and the code of its pipelines."""

    def __init__(self, root: Path) -> None:
        self.root, self.lab = root, Lab(root / ".local_runner")
        self.spec("score", {"pfs": {"repo": "points", "glob": "/*.json"}})

    def spec(self, name: str, input: Mapping[str, Any], **fields: Any) -> None:
        document = {"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "input": input, **fields}
        (self.root / f"{name}.json").write_text(json.dumps(document))

    def project(self, space: str = "x = { low = 0, high = 9 }", more: str = "") -> None:
        (self.root / "local_runner.toml").write_text(PROJECT.format(space=space, more=more))

    def study(self, name: str = "s", **options: Any) -> Study:
        return open_study(self.lab.runner, name, project=read_project(self.root), **options)

    def search(self, score: Score, trials: int = 0, *, study: Study | None = None, **options: Any) -> Results:
        """Run the search to its end with a stage that scores so."""
        self.lab.does("score", scored(score))
        study = study or self.study()
        run_study(study, trials, executor=self.lab.executor, **{"jobs": 2, **options})
        return study.results()

    @property
    def ran(self) -> list[str]:
        """The datums that ran since it was last looked."""
        ran, self.lab.ran = sorted(self.lab.ran), []
        return ran


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.project()
    yield made
    made.lab.close()
