"""What a person reads when something given is wrong: which thing, where, and what to do; never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local_runner.cli.main import main
from local_runner.errors import EXIT_NOT_FOUND, EXIT_UNAVAILABLE, EXIT_USAGE, EXIT_WORK_FAILED
from local_runner.runner import Runner
from tests.end_to_end.project import Answer, ProjectCopy

SPEC = '{"pipeline": {"name": "edges"}, "transform": {"cmd": ["true"]}, "input": {"pfs": {"repo": "images", "glob": "/*"}}}'


class Shell:
    """The command line, in this process and over an empty home."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        status = main(arguments)
        captured = self._capsys.readouterr()
        return Answer(status, captured.out + captured.err)

    def spec(self, text: str) -> Answer:
        """Create a pipeline from this text."""
        (self.folder / "edges.json").write_text(text)
        return self("create", "pipeline", "-f", "edges.json")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "home"))
    return Shell(tmp_path, capsys)


# -- specs -------------------------------------------------------------------------------------------------------------


def test_a_missing_spec_file_is_named(shell: Shell) -> None:
    answer = shell("create", "pipeline", "-f", "nowhere.json")
    assert answer.status == EXIT_NOT_FOUND
    assert answer.lines[0] == 'could not open path "nowhere.json": no such file or directory'
    assert str(shell.folder) in answer.lines[1]


def test_json_that_does_not_parse_is_located_by_line_and_column(shell: Shell) -> None:
    answer = shell.spec('{"pipeline": {"name": "edges"},\n "description" 3}')
    assert answer.status == EXIT_USAGE
    assert answer.text.startswith("edges.json:2:16: ")


def test_an_unknown_field_comes_with_the_nearest_real_one(shell: Shell) -> None:
    answer = shell.spec(SPEC.replace("transform", "transfrom"))
    assert answer.status == EXIT_USAGE
    assert "edges.json:1:33: " in answer.text
    assert 'unknown field "transfrom"' in answer.text
    assert answer.lines[-1] == 'hint: did you mean "transform"?'


def test_an_unknown_input_repo_is_named(shell: Shell) -> None:
    answer = shell.spec(SPEC)
    assert answer.status == EXIT_NOT_FOUND
    assert "repo default/images not found" in answer.text


# -- homes -------------------------------------------------------------------------------------------------------------


def test_a_home_that_cannot_be_written_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell.folder / "file").touch()
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(shell.folder / "file" / "home"))
    answer = shell("list", "repo")
    assert answer.status == EXIT_UNAVAILABLE
    assert answer.lines == [
        f"cannot use {shell.folder}/file/home as home: Not a directory",
        "hint: set LOCAL_RUNNER_HOME to a folder that can be written",
    ]


def test_a_home_of_a_newer_format_is_left_alone(shell: Shell) -> None:
    Runner.open().close()
    (shell.folder / "home" / "FORMAT").write_text("99\n")
    answer = shell("list", "repo")
    assert answer.status == EXIT_UNAVAILABLE
    assert "has format 99" in answer.text
    assert "use the newer local_runner" in answer.text


# -- the search --------------------------------------------------------------------------------------------------------


def failed_stage(answer: Answer, stage: str) -> str:
    """What was said about the stage that failed; nothing below it ran."""
    assert answer.status == EXIT_WORK_FAILED, answer.text
    assert not re.search("^Traceback", answer.text, flags=re.M)  # that of user code is indented
    states = {name: row[3] for name, row in answer.rows().items()}
    below = list(states)[list(states).index(stage) + 1 :]
    assert states[stage] == "failure"
    assert below
    assert {states[name] for name in below} == {"unrunnable"}
    said = answer.text.partition(f"\n{stage}: failure: ")[2]
    assert "datum" in said
    assert f"logs -j {stage}@" in said
    return said


def test_an_empty_data_file_is_said_to_be_empty(fresh: ProjectCopy) -> None:
    fresh.write("data/noisy_iris.csv", "")
    said = failed_stage(fresh.local_runner(), "split")
    assert "iris.csv is empty: expected rows of sepal length" in said


def test_a_parameter_that_is_no_number_is_named_with_its_file_and_line(fresh: ProjectCopy) -> None:
    fresh.write("parameters/c_parameters.txt", "8\nmany\n")
    spec = (fresh.root / "pipelines/model.json").read_text()
    fresh.write("pipelines/model.json", spec.replace('"parallelism_spec"', '"datum_tries": 1,\n  "parallelism_spec"'))
    said = failed_stage(fresh.local_runner(), "model")
    assert "parameters:/c_parameters.txt/0000000000000001" in said
    assert "c_parameters.txt, line 2" in said
    assert "expected a positive number, found 'many'" in said


def test_a_program_that_fails_shows_its_last_lines_and_keeps_what_is_below_from_running(fresh: ProjectCopy) -> None:
    fresh.write("images/split/split.py", 'import sys\nprint("so far so good")\nsys.exit("the table has moved")\n')
    answer = fresh.local_runner()
    said = failed_stage(answer, "split")
    assert "raw_data:/" in said
    assert "    so far so good\n    the table has moved\n" in said
    assert answer.lines[-1].startswith("hint: ")
    assert fresh.documents("list commit model@master")[0]["error"]
