"""Reading the project file: what is wrong in it is named with its file, line and field, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.errors import Invalid, NotFound
from local_runner.project.file import chosen_project, project_root, read_project

REPO = '[[repo]]\nname = "data"\nfiles = { "a" = "a.csv" }\n'


def write(folder: Path, text: str) -> Path:
    (folder / "a.csv").touch()
    (folder / "local_runner.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ("pipelines = [\n", "", "at end of document", "TOML"),
        ("\npipelines = =\n", ":2:13", "", "TOML"),
        ("# here\npipelines = 3\n", ":2", "pipelines: expected a list", ""),
        ('\npipelines = ["none/*.json"]\n', ":2", "pipelines: none/*.json: no such file", "relative to the project file"),
        ("\npipeline = []\n", ":2", "unknown field pipeline", "did you mean pipelines?"),
        (f"{REPO}\n{REPO}splt = 'line'\n", ":8", "repo data: unknown field splt", "did you mean split?"),
        (f"{REPO}colour = 'red'\n", ":4", "unknown field colour", "it is one of name, files, split, branch"),
        (f"{REPO}split = 'word'\n", ":4", "split: word is none of line, json, csv", ""),
        (f"{REPO}branch = 3\n", ":4", "branch: expected the name", ""),
        ("[[repo]]\nname = 'data'\nfiles = { 'a' = 'b.csv' }\n", ":3", "files: a:", "relative to the project file"),
        (f"{REPO}\n[[repo]]\nname = 'more'\n", ":5", "repo more: it needs a name and files", ""),
        ("[repo]\nname = 'data'\n", ":1", "repo: expected a list", "write [[repo]]"),
        ("repo = [3]\n", ":1", "repo: expected a list", "write [[repo]]"),
        ('[images]\n"a" = "."\n', ":2", "images: a:", ""),
        ("[images]\na = 3\n", ":1", "images: expected the name", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: str, said: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_project(write(tmp_path, text))
    assert caught.value.message.startswith(f"{tmp_path}/local_runner.toml{line}: ")
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_patterns_and_paths_are_relative_to_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").touch()
    (tmp_path / "a.json").touch()
    (tmp_path / ".#a.json").touch()  # an editor's
    project = read_project(write(tmp_path, f'pipelines = ["b.json", "*.json"]\n{REPO}'))
    assert [path.relative_to(tmp_path).as_posix() for path in project.specs] == ["b.json", "a.json"]
    assert project.repos[0].files == {"a": tmp_path / "a.csv"}


def test_the_project_is_found_from_any_folder_below(tmp_path: Path) -> None:
    below = write(tmp_path, "") / "deep" / "down"
    below.mkdir(parents=True)
    assert project_root(below) == tmp_path


def test_without_a_project_file_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no local_runner") as caught:
        chosen_project(tmp_path)
    assert "-f" in caught.value.hint


def test_spec_files_stand_in_for_those_of_the_project(tmp_path: Path) -> None:
    write(tmp_path, REPO)
    spec = tmp_path / "one.json"
    spec.touch()
    project = chosen_project(tmp_path, [spec])
    assert project.specs == (spec,)
    assert project.is_part
    assert [repo.name for repo in project.repos] == ["data"]


def test_another_project_file_counts_from_its_own_folder(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.csv").touch()
    (other / "mine.toml").write_text(REPO)
    project = chosen_project(tmp_path, [other / "mine.toml"])
    assert project.root == other
    assert not project.is_part


def test_only_one_project_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(Invalid, match="either one project file"):
        chosen_project(tmp_path, [tmp_path / "local_runner.toml", tmp_path / "a.csv"])
    with pytest.raises(NotFound, match="nowhere"):
        chosen_project(tmp_path, [tmp_path / "nowhere.json"])
