"""pachctl's surface: each of its commands is there with its flags, or says in one line that it cannot be done here."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from local_runner.cli.main import main
from local_runner.cli.table import ALONE, NOUNS, VERBS
from local_runner.cli.tree import Root
from local_runner.cli.unsupported import ELSEWHERE, elsewhere


def _surface():
    lines = (Path(__file__).parent / "pachctl_2_12.txt").read_text().splitlines()
    for line in lines:
        if not line.startswith("#"):
            name, _, flags = line.partition(":")
            yield name, flags.split()


SURFACE = dict(_surface())
HERE = [name for name in SURFACE if elsewhere(name.split()) is None]
TESTS = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py") if path.name not in ("test_surface.py", "test_help.py")]
PLURALS = ["repos", "branches", "commits", "files", "pipelines", "jobs", "datums", "projects", "secrets"]


def find(words):
    """The command, and the words that are left for it."""
    command, ctx = Root(), click.Context(Root(), info_name="local_runner")
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(ctx, words)
        ctx = click.Context(command, info_name=name, parent=ctx)
    return command, words


@pytest.mark.parametrize("name", HERE)
def test_a_command_of_pachctl_takes_its_flags(name):
    command, rest = find(name.split())
    assert rest in ([], ["context"], ["active-context"], ["bash"], ["zsh"]), "not a command of its own"
    known = {flag for param in command.params for flag in param.opts}
    for flag in SURFACE[name]:
        long, _, short = flag.partition("/")
        assert f"--{long}" in known
        assert not short or f"-{short}" in known


@pytest.mark.parametrize("name", sorted(SURFACE.keys() - set(HERE)))
def test_what_cannot_be_done_here_is_said_in_one_line(name, capsys):
    assert main([*name.split(), "something", "--some-flag", "x"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert name.startswith(line.partition(":")[0])
    assert main([*name.split(), "-h"]) == 0
    assert "Not done here" in capsys.readouterr().out


def test_nothing_is_refused_that_is_there():
    for name in ELSEWHERE:
        verb, _, noun = name.partition(" ")
        assert noun not in NOUNS.get(verb, {})
        assert noun or name not in ALONE
        assert noun or name not in VERBS


@pytest.mark.parametrize("name", [name for name in HERE if " " in name and not name.startswith(("config", "completion"))])
def test_old_spellings_and_plurals_mean_the_same_command(name):
    verb, noun = name.split()
    command, _ = find([verb, noun])
    assert find([f"{verb}-{noun}"])[0] is command
    plural = next((plural for plural in PLURALS if plural.startswith(noun)), None)
    if plural:
        assert find([verb, plural])[0] is command


def test_a_misspelt_old_spelling_gets_a_suggestion_too(capsys):
    assert main(["list-rpeo"]) == 2
    assert "did you mean list-repo?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [*((verb, noun) for verb in NOUNS for noun in NOUNS[verb]), *((name,) for name in ALONE)], ids=" ".join)
def test_every_command_is_run_by_some_test(words):
    called = re.compile(rf"[\"'(]{' '.join(words)}\b|" + ", ".join(f"[\"']{word}[\"']" for word in words))
    assert any(called.search(text) for text in TESTS)
