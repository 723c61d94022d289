"""The README's commands, typed in a fresh copy of the project; what they print is what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local_runner.model.refs import parse_repo
from local_runner.runner import Runner
from tests.end_to_end.conftest import FirstRun
from tests.end_to_end.project import INSTALL, README, ProjectCopy, compare, play, sessions


def test_the_first_line_runs_the_search_and_shows_the_winners(first_run: FirstRun) -> None:
    first, answer = sessions()["Run it"][0], first_run[1]
    assert answer.status == 0
    assert INSTALL.match(first.command)
    compare(first, answer)
    assert answer.rows() == {
        "split": (1, 0, 0, "success"),
        "model": (77, 0, 0, "success"),
        "test": (77, 0, 0, "success"),
        "select": (1, 0, 0, "success"),
    }


def test_the_second_line_runs_the_tests() -> None:
    """It is run by the CI, as it stands; here only that it is there."""
    lines = [line for line in README.splitlines() if INSTALL.match(line)]
    assert [INSTALL.sub("", line) for line in lines] == [".venv/bin/python -m pytest -q"]


@pytest.mark.parametrize("heading", ["What you see", "The first hour", "If you know Pachyderm"])
def test_what_a_section_shows_is_what_comes(finished: ProjectCopy, heading: str) -> None:
    for answer in play(finished, heading):
        assert answer.status == 0, answer.text


def test_the_python_example_works(finished: ProjectCopy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
    monkeypatch.chdir(finished.root)
    with Runner.open(Path(".local_runner")) as runner:
        runner.create_repo(parse_repo("notes"))
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[0].startswith("/model_C128.0_G0.004.pkl ")
    assert finished.bash(".venv/bin/local_runner get file notes@master:/today").text == "77 models\n"


def test_the_lines_for_a_cluster_are_commands_of_ours(finished: ProjectCopy) -> None:
    deploy, pull = re.findall(r"^\.venv/bin/python -m local_runner (?:deploy|pull) .*", README, flags=re.M)
    printed = finished.bash(f"{deploy} --dry-run")
    assert printed.status == 0, printed.text
    assert "pachctl update pipeline" in printed.text
    refused = finished.bash(pull.replace("HOST:30650", "localhost:1"))
    assert refused.status == 5, refused.text


def test_every_session_of_the_readme_is_played_by_some_test() -> None:
    promises = (Path(__file__).parent / "test_promises.py").read_text()
    played = {"Run it", "What you see", "The first hour", "If you know Pachyderm", *re.findall(r'play\(finished, "(.*?)"\)', promises)}
    assert played == set(sessions())
