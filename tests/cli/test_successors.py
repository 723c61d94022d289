"""What pachctl 1.x called otherwise is told with its successor, or read as it is meant."""

import re

import pytest

from local_runner.cli.gone_flags import GONE_FLAGS, gone_flag
from local_runner.cli.main import main
from local_runner.cli.successors import DESTRUCTIVE, SUCCESSORS, joined, successor
from local_runner.cli.table import ALONE, HIDDEN, NOUNS
from local_runner.cli.tree import load


@pytest.mark.parametrize("spelling", [" ", "-"])
@pytest.mark.parametrize("name", SUCCESSORS)
def test_a_command_of_1x_says_what_to_write_now(name, spelling, capsys):
    assert main([*name.replace(" ", spelling, 1).split(" "), "--flag=x"] if " " in name else [name]) == 2
    assert SUCCESSORS[name] in capsys.readouterr().err


def test_a_successor_is_found_with_arguments_and_plurals():
    assert successor(["flush-commit", "in@master"]) == SUCCESSORS["flush commit"]
    assert successor(["get-logs", "--pipeline=x"]) == SUCCESSORS["get log"]
    assert successor(["flush", "commits", "in@master"]) == SUCCESSORS["flush commit"]
    assert successor(["extract"]) == SUCCESSORS["extract"]


@pytest.mark.parametrize("name", ["inspect-cluster", "debug-dump", "mount-server"])
def test_what_only_a_cluster_has_is_refused_with_a_hyphen_too(name, capsys):
    assert main([name, "--flag"]) == 1
    assert "unknown" not in capsys.readouterr().err


def test_each_line_that_is_told_begins_with_a_command_there_is():
    for text in (*SUCCESSORS.values(), *(now for _, now in GONE_FLAGS.values())):
        for line in re.findall(r"`([^`]+)`", text):
            verb, noun = [*line.split(), ""][:2]
            if line == "description":
                continue  # a field
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
        ("copy-file", "a master /x b dev /y", "a@master:/x b@dev:/y"),
        ("diff-file", "a master /x", "a@master:/x"),
        ("diff-file", "a master /x a master^ /x --name-only", "a@master:/x a@master^:/x --name-only"),
        ("copy-file", "a master /x b dev", None),
        ("put file", "in master /p -f x", "in@master:/p -f x"),
        ("delete-commit", "in master", None),
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


@pytest.mark.parametrize(("command", "flag"), GONE_FLAGS)
def test_a_flag_of_earlier_versions_says_what_to_do_now(command, flag, capsys):
    short, now = GONE_FLAGS[command, flag]
    for typed in filter(None, (flag, short)):
        assert main([*command.split(), typed]) == 2
        assert capsys.readouterr().err == f"{typed} is no flag of `{command}` any more\nhint: {now}\n"
        assert gone_flag(command, typed) == now


def test_no_flag_that_there_is_counts_as_gone():
    for (words, long), (short, _) in GONE_FLAGS.items():
        verb, _, noun = words.partition(" ")
        taken = {name for param in load(NOUNS[verb][noun] if noun else ALONE[verb]).params for name in param.opts}
        assert not taken & {long, short}, words


@pytest.mark.parametrize(
    ("line", "flag"), [("put file in@master --overwrit", "--verbose"), ("delete repo x --al", "--all"), ("delete repo x --forc", "--force")]
)
def test_no_suggested_flag_destroys_or_does_nothing(line, flag, capsys):
    assert main(line.split()) == 2
    assert flag not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("put file in master /p -f x", "put file in@master:/p -f x"),
        ("list commits in master", "list commit in@master"),
        ("diff file a master /x b master /x", "diff file a@master:/x b@master:/x"),
    ],
)
def test_positions_of_1x_behind_words_of_today_come_with_the_line_to_write(typed, line, capsys):
    assert main(typed.split()) == 2
    assert f"hint: write `{line}`" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["list job -p edges^", "list job -p edges~2", "logs -p edges^"])
def test_an_earlier_version_of_a_pipeline_is_no_ancestor(typed, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "home"))
    assert main(typed.split()) == 2
    assert "hint: write edges and, to list what was, --history all" in capsys.readouterr().err
    assert main(["list", "job", "-p", "edges", "--history", "all"]) == 4


@pytest.mark.parametrize("noun", ["repo", "branch", "commit", "file", "project", "pipeline", "job", "secret", "transaction", "defaults"])
def test_a_noun_has_a_page_that_names_the_commands_about_it(noun, capsys):
    plural = f"{noun}es" if noun == "branch" else noun if noun == "defaults" else f"{noun}s"
    shown = []
    for line in ([noun], [plural], ["help", noun], [noun, "--help"]):
        assert main(line) == 0
        shown.append(capsys.readouterr().out)
    assert len(set(shown)) == 1
    for verb, nouns in NOUNS.items():
        assert (f"  {verb} {noun} " in shown[0]) == (noun in nouns and verb not in HIDDEN)


def test_a_noun_before_its_verb_is_not_taken_for_help(capsys):
    assert main(["repo", "create", "x"]) == 2
    assert "did you mean create repo?" in capsys.readouterr().err
    assert main(["repo", "delete", "x"]) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("line", ["create branches", "inspect datums", "datums", "list repos"])
def test_help_of_plurals_is_that_of_the_word(line, capsys):
    singular = line.removesuffix("es") if line.endswith("ches") else line.removesuffix("s")
    assert main([*line.split(), "--help"]) == 0
    plural_help = capsys.readouterr().out
    assert main([*singular.split(), "--help"]) == 0
    assert capsys.readouterr().out == plural_help
