"""Where the home is that a command works on: made by what writes, found upward, told about; and its files are never data."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from local_runner.cli.main import main
from local_runner.cli.table import ALONE, NOUNS
from local_runner.cli.tree import load

HOME = ".local_runner"

# Commands whose example would not end, asks elsewhere, or is of user code.
LEFT_OUT = frozenset({"engine", "deploy", "pull", "serve", "watch", "next datum", "image pull", "build image"})

MAKERS = [
    *(
        "create repo r",
        "create project p",
        "update repo r",
        "start transaction",
        "config update context --project default",
        "config set context x --project default",
    ),
    *(
        "create defaults --cluster -f defaults.json",
        "create secret -f secret.json",
        "create pipeline -f p.json",
        "update pipeline -f p.json",
    ),
    *("update defaults --cluster -f defaults.json", "edit metadata cluster . add a=b"),
]


@pytest.fixture
def here(pachctl, monkeypatch):
    """An empty folder from which the home is found as by a person: no variable names it."""
    monkeypatch.delenv("LOCAL_RUNNER_HOME")
    folder = Path.cwd() / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "words", [*(f"{verb} {noun}" for verb in NOUNS for noun in NOUNS[verb] if verb != "image"), *ALONE], ids=lambda words: words
)
def test_a_command_that_needs_something_that_is_there_makes_no_home(here, capsys, words):
    if words in LEFT_OUT:
        return
    verb, _, noun = words.partition(" ")
    example = load(NOUNS[verb][noun] if noun else ALONE[verb]).example
    if any(words == " ".join(line.split()[: len(words.split())]) for line in MAKERS) or words in ("search", "update project", "config set"):
        return
    main(shlex.split(example))
    assert "made a home" not in capsys.readouterr().err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("line", MAKERS)
def test_the_first_command_that_writes_makes_the_home_and_says_once_where(pachctl, here, line):
    Path("defaults.json").write_text("{}")
    Path("secret.json").write_text('{"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}')
    Path("p.json").write_text(
        '{"pipeline": {"name": "p"}, "input": {"cron": {"name": "t", "spec": "@yearly"}}, "transform": {"cmd": ["x"]}}'
    )
    ended = pachctl.ok(line)
    assert f"made a home at {here / HOME}" in ended.err.splitlines()
    assert (here / HOME / "FORMAT").exists()
    assert "home" not in pachctl.ok("list repo").err


def test_what_only_looks_finds_an_empty_home_and_says_that_there_is_none(pachctl, here):
    ended = pachctl.ok("list repo")
    assert ended.lines == ["PROJECT NAME CREATED SIZE (MASTER) DESCRIPTION"]
    assert ended.err == ""
    assert pachctl("inspect repo r").err.splitlines()[1] == f"hint: nothing was made yet: there is no home at {here / HOME}"
    assert pachctl("put file r@master:/a", stdin="1").status == 4
    assert pachctl.ok("status --raw").document["home"]["path"] == str(here / HOME)


def test_where_a_home_is_made_is_not_repeated_to_who_named_the_place(pachctl):
    assert pachctl.ok("create repo r").err == ""


def test_a_home_below_or_beside_is_named_by_those_who_find_none(pachctl, here, monkeypatch):
    (here / "data").mkdir()
    (here.parent / "beside").mkdir()
    for folder in (here / "data", here.parent / "beside"):
        monkeypatch.chdir(folder)
        pachctl.ok("create repo r")
    monkeypatch.chdir(here)
    near = f"near it: {here / 'data' / HOME}, {here.parent / 'beside' / HOME} (for commands in that folder, or with LOCAL_RUNNER_HOME)"
    first, second, _ = pachctl("inspect repo r").err.splitlines()
    assert (first, second) == (f"there is no home at {here / HOME} yet; {near}", "repo default/r not found")
    assert pachctl.ok("create repo r").err == f"made a home at {here / HOME}; {near}\n"
    assert pachctl.ok("list repo").err == ""


def test_a_command_in_a_folder_below_works_on_the_home_above(pachctl, here, monkeypatch):
    pachctl.ok("create repo r")
    (here / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(here / "a" / "b")
    assert pachctl.ok("list repo --raw").document["repo"]["name"] == "r"
    assert pachctl.ok("list repo --raw").err == ""


@pytest.mark.parametrize("source", [".", "..", "../here"])
def test_a_folder_is_put_without_the_home_in_it(pachctl, here, source):
    pachctl.ok("create repo r")
    Path("a").write_text("1")
    ended = pachctl.ok(f"put file r@master:/ -r -f {source}")
    assert f"{HOME} is a home of this runner" in ended.err
    assert HOME not in pachctl.ok("glob file 'r@master:/**'").out


def test_a_home_of_any_name_is_left_out(pachctl, monkeypatch):
    pachctl.ok("create repo r")  # LOCAL_RUNNER_HOME=home
    Path("a").write_text("1")
    assert "home is a home of this runner" in pachctl.ok("put file r@master:/ -r -f .").err
    assert pachctl.ok("list file r@master --raw").document["file"]["path"] == "/a"


@pytest.mark.parametrize("source", [HOME, f"{HOME}/records.sqlite", f"{HOME}/objects", "link"])
def test_a_file_of_the_home_is_refused_as_data(pachctl, here, source):
    pachctl.ok("create repo r")
    Path("link").symlink_to(here / HOME / "records.sqlite")
    ended = pachctl(f"put file r@master:/x -r -f {source}")
    assert ended.status == 1
    assert f"{source} belongs to the home {here / HOME}" in ended.err


def test_a_repo_of_the_project_never_holds_the_home(pachctl, here):
    Path("local_runner.toml").write_text('[[repo]]\nname = "r"\nfiles = {"/" = "."}\n')
    Path("a").write_text("1")
    for _ in range(2):
        pachctl.ok("run")
        assert HOME not in pachctl.ok("glob file 'r@master:/**'").out
    Path("local_runner.toml").write_text(f'[[repo]]\nname = "r"\nfiles = {{"/" = "{HOME}"}}\n')
    assert "belongs to a home" in pachctl("run").err


@pytest.mark.parametrize("place", ["file", "file/home", "link"])
def test_what_only_looks_names_a_place_where_no_home_can_be(pachctl, here, monkeypatch, place):
    Path("file").touch()
    Path("link").symlink_to("nowhere")
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(here / place))
    for line in ("list repo", "create repo r"):
        ended = pachctl(line)
        assert (ended.status, ended.out) == (5, "")
        assert f"cannot use {here / place} as home" in ended.err


def test_a_dry_run_makes_no_home(pachctl, here):
    Path("a").write_text("1")
    Path("local_runner.toml").write_text('[[repo]]\nname = "r"\nfiles = {"/a" = "a"}\n')
    pachctl.ok("run --dry-run")
    assert not (here / HOME).exists()


def test_a_link_to_a_folder_below_r_says_how_it_is_put(pachctl):
    pachctl.ok("create repo r")
    (Path("d") / "s").mkdir(parents=True)
    (Path("d") / "s" / "f").write_text("1")
    (Path("d") / "l").symlink_to("s")
    ended = pachctl("put file r@master:/ -r -f d")
    assert ended.status == 2
    assert "-r -f d/l" in ended.err.splitlines()[1]
    pachctl.ok("put file r@master:/l -r -f d/l")
    assert "/l/f" in pachctl.ok("glob file 'r@master:/**'").out
