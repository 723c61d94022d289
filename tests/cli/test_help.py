"""The whole tree of commands: help, examples, bad usage, and what all that costs to import."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_runner.cli.main import main
from local_runner.cli.table import ALONE, HIDDEN, NOUNS, VERBS, singular
from local_runner.cli.tree import Root
from local_runner.errors import Unavailable
from local_runner.runner import Runner

COMMANDS = [*((verb, noun) for verb in NOUNS for noun in NOUNS[verb]), *((name,) for name in ALONE)]

HEAVY = ("sqlite3", "rich", "grpc", "google.protobuf", "ruamel", "numpy", "local_runner.storage.database", "local_runner.runner")


def find(words):
    ctx = click.Context(Root(), info_name="local_runner")
    command = ctx.command
    for word in words:
        assert isinstance(command, click.Group)
        name, command, _ = command.resolve_command(ctx, [word, *words[1:]])
        ctx = click.Context(command, info_name=name, parent=ctx)
    return command


def test_every_verb_is_described():
    assert set(NOUNS) | set(ALONE) == set(VERBS)
    assert set(VERBS) >= HIDDEN


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_it_takes(words, capsys):
    command = find(words)
    assert command.help, words
    given = shlex.split(command.example)
    assert given[0] == words[0]
    assert find(given[: len(words)]) is command
    command.make_context("example", given[len(words) :])  # raises for a flag or argument it does not take
    for flag in ("-h", "--help"):
        assert main([*words, flag]) == 0
        out = capsys.readouterr().out
        assert command.help.splitlines()[0].split()[0] in out
        assert " ".join(command.example.split()[: len(words)]) in out.partition("Example:")[2]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_flag_that_a_command_does_not_have_is_bad_usage(words, capsys):
    assert main([*words, "--no-such-flag"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, hint = captured.err.splitlines()
    assert "--no-such-flag" in first
    assert hint.startswith("hint: see ")


def test_help_imports_neither_the_store_nor_anything_else_that_takes_time():
    script = (
        "import sys, io\n"
        "from local_runner.cli.main import main\n"
        f"commands = {[['--help'], *([verb] for verb in NOUNS if verb not in ALONE), *([*words, '--help'] for words in COMMANDS)]!r}\n"
        "shown, sys.stdout = sys.stdout, io.StringIO()\n"
        "for command in commands:\n"
        "    assert main(command) == 0, command\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=shown)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_verb_alone_prints_its_help_and_succeeds(capsys):
    assert main(["list"]) == 0
    assert "transaction" in capsys.readouterr().out


def test_a_word_that_is_no_command_fails_after_a_verb_too(capsys):
    assert main(["list", "nope"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert 'unknown command "' in captured.err


def test_a_misspelt_word_gets_a_suggestion(capsys):
    assert main(["lst", "repo"]) == 2
    assert 'unknown command "lst"; did you mean list?' in capsys.readouterr().err
    assert main(["list", "repp"]) == 2
    assert "did you mean repo?" in capsys.readouterr().err
    assert main(["list", "repo", "--rw"]) == 2
    assert "--raw" in capsys.readouterr().err


@pytest.mark.parametrize("spelling", ["repo", "repos", "branches", "commits", "commit", "default", "defaults", "commitV2", "datums"])
def test_nouns_may_be_plural(spelling):
    known = {noun for nouns in NOUNS.values() for noun in nouns}
    assert singular(spelling) in known


def test_the_old_spelling_with_a_hyphen_is_understood(capsys):
    assert main(["create-repo", "--help"]) == 0
    assert "Create a repo" in capsys.readouterr().out


def test_boolean_flags_take_values_as_those_of_pachctl_do(capsys):
    assert main(["list", "repo", "--raw=false", "--output", "json"]) == 2
    assert "cannot set --output (-o) without --raw" in capsys.readouterr().err


WORDS = st.one_of(
    st.sampled_from([*VERBS.keys() - {"engine", "run"}, *sorted({noun for nouns in NOUNS.values() for noun in nouns})]),
    st.sampled_from(["-p", "-f", "--raw", "-o", "yaml", "--project", "--all", "-x", "-i", "--since", "--history", "-r", "--split", "line"]),
    st.sampled_from(
        ["data@master", "data@master:/a", "5f93d03b65fa421996185e53f7f8b1e4", "p@5f93d03b65fa421996185e53f7f8b1e4", "-", "--", "@"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, min_size=1, max_size=7))
def test_no_arguments_whatever_lead_to_a_traceback(capsys, monkeypatch, tmp_path, args):
    def refuse(*args, **kwargs):
        raise Unavailable("no home in this test")

    monkeypatch.setattr(Runner, "open", refuse)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.chdir(tmp_path)
    if args[0] in ("engine", "run") or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
        return
    status = main(args)
    captured = capsys.readouterr()
    assert status in (0, 1, 2, 4, 5), captured
    assert "internal error" not in captured.err
    assert len(captured.err.splitlines()) <= 2 or status == 0


def test_an_unexpected_error_is_one_line_and_its_traceback_goes_to_a_file(capsys, monkeypatch, tmp_path):
    def explode(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path))
    monkeypatch.setattr(Runner, "open", explode)
    assert main(["list", "repo"]) == 1
    first, hint = capsys.readouterr().err.splitlines()
    assert first == "internal error: ZeroDivisionError: a bug"
    assert str(tmp_path / "crash.log") in hint
    assert "Traceback" in (tmp_path / "crash.log").read_text()


def test_ctrl_c_ends_quietly_with_130(capsys, monkeypatch, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "open", interrupt)
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path))
    assert main(["list", "repo"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_error_to_speak_of(tmp_path):
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(tmp_path / "home")}
    command = f"{shlex.quote(sys.executable)} -m local_runner list commit data --raw"
    made = (
        "from local_runner.runner import Runner\n"
        "from local_runner.model.refs import BranchRef, CommitQuery, RepoRef\n"
        "runner, branch = Runner.open(), BranchRef(RepoRef('default', 'data'), 'master')\n"
        "runner.create_repo(branch.repo)\n"
        "for _ in range(200):\n"
        "    runner.finish_commit(CommitQuery(branch.repo, id=runner.start_commit(branch).id))\n"
    )
    subprocess.run([sys.executable, "-c", made], env=env, check=True)
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (141, "")
