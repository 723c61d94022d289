"""What pachctl 1.x called otherwise is told with its successor, or read as it is meant."""

import re

import pytest

from local_runner.cli.main import main
from local_runner.cli.successors import DESTRUCTIVE, SUCCESSORS, joined, successor
from local_runner.cli.table import ALONE, NOUNS


@pytest.mark.parametrize("spelling", [" ", "-"])
@pytest.mark.parametrize("name", SUCCESSORS)
def test_a_command_of_1x_says_what_to_write_now(name, spelling, capsys):
    assert main([*name.replace(" ", spelling).split(" "), "--flag=x"] if " " in name else [name]) == 2
    assert SUCCESSORS[name] in capsys.readouterr().err


def test_a_successor_is_found_with_arguments_and_plurals():
    assert successor(["flush-commit", "in@master"]) == SUCCESSORS["flush commit"]
    assert successor(["get-logs", "--pipeline=x"]) == SUCCESSORS["get log"]
    assert successor(["flush", "commits", "in@master"]) == SUCCESSORS["flush commit"]
    assert successor(["extract"]) == SUCCESSORS["extract"]


def test_each_line_that_is_told_begins_with_a_command_there_is():
    for text in SUCCESSORS.values():
        for line in re.findall(r"`([^`]+)`", text):
            verb, noun = [*line.split(), ""][:2]
            assert verb in ALONE or noun in NOUNS[verb], line
            assert verb not in DESTRUCTIVE, line


def test_no_successor_hides_a_command_there_is():
    for verb, nouns in NOUNS.items():
        for noun in nouns:
            assert successor([verb, noun]) is None
    assert not [name for name in ALONE if successor([name])]


@pytest.mark.parametrize("typed", ["delet-repo", "squash-comit", "delet", "sqash"])
def test_no_suggestion_destroys(typed, capsys):
    assert main([typed, "x"]) == 2
    said = capsys.readouterr().err
    assert "unknown command" in said
    assert not [word for word in DESTRUCTIVE if f"did you mean {word}" in said]


@pytest.mark.parametrize(
    ("name", "typed", "today"),
    [
        ("put-file", "in master /p -f x", "in@master:/p -f x"),
        ("put-file", "in master -c -f x", "in@master -c -f x"),
        ("list-file", "in master", "in@master"),
        ("start-commit", "in master", "in@master"),
        ("put-file", "in@master:/p -f x", None),
        ("list-commit", "in", None),
        ("list-repo", "a b", None),
        ("start-commit", "in master more", None),
    ],
)
def test_positions_of_1x_become_one_word(name, typed, today):
    assert joined(name, typed.split()) == (today.split() if today else None)


def test_a_line_of_1x_does_what_it_did(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "home"))
    (tmp_path / "x").write_text("1\n")
    assert main(["create-repo", "in"]) == 0
    assert main(["put-file", "in", "master", "/a", "-f", str(tmp_path / "x")]) == 0
    assert "read as `put file in@master:/a`" in capsys.readouterr().err
    assert main(["get-file", "in", "master", "/a"]) == 0
    assert capsys.readouterr().out == "1\n"
