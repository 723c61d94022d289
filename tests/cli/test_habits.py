"""Habits of the command line: exit statuses, suggestions, questions, progress, the guide that is made of the commands' own help."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from local_runner.cli.commands.help import EXIT_CODES, manual
from local_runner.cli.main import main
from local_runner.cli.meter import Meter
from local_runner.cli.table import ALONE, HIDDEN, NOUNS
from local_runner.errors import EXIT_BUSY, EXIT_UNAVAILABLE, Busy, LocalRunnerError, Unavailable
from local_runner.runner import Runner
from local_runner.storage.locks import PATIENCE, FileLock
from tests.cli.conftest import copying

ID = "5f93d03b65fa421996185e53f7f8b1e4"


def subclasses(kind):
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


# -- exit statuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("list repo", 0),
        ("create repo data", 1),
        ("auth login", 1),
        ("create repo 'a b'", 2),
        ("list repo --no-such-flag", 2),
        ("no-such-verb", 2),
        ("inspect repo nope", 4),
        ("get file data@master:/nope", 4),
    ],
)
def test_the_exit_status_tells_what_went_wrong(pachctl, line, status):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    assert pachctl(line).status == status


@pytest.mark.parametrize(("error", "status"), [(Unavailable("x"), EXIT_UNAVAILABLE), (Busy("x"), EXIT_BUSY)])
def test_what_is_broken_and_what_is_busy_have_a_status_each(pachctl, monkeypatch, error, status):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(Runner, "list_repo", refuse)
    assert pachctl("list repo").status == status


def test_every_status_an_error_can_have_is_in_the_table(pachctl):
    explained = {code for code, _ in EXIT_CODES}
    assert {kind.exit_status for kind in subclasses(LocalRunnerError)} <= explained
    assert {0, 130, 128 + signal.SIGPIPE, 128 + signal.SIGTERM} <= explained
    lines = pachctl.ok("help exit-codes").lines
    assert [line.split()[0] for line in lines[1:]] == [str(code) for code, _ in EXIT_CODES]


# -- suggestions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("inspect repo imagse", "hint: did you mean images?"),
        ("list file imagse@master", "hint: did you mean images?"),
        ("list file images@mastre", "hint: did you mean master?"),
        ("inspect pipeline egdes", "hint: did you mean edges?"),
        ("inspect project lba", "hint: did you mean lab?"),
        ("inspect repo samples", "hint: did you mean lab/samples?"),
    ],
)
def test_a_name_that_is_nearly_right_gets_a_suggestion(pachctl, line, hint):
    pachctl.ok("create repo images")
    pachctl.ok("put file images@master:/a", stdin="1")
    pachctl.ok("create project lab")
    pachctl.ok("create repo samples --project lab")
    spec = {"pipeline": {"name": "edges"}, "transform": {"cmd": ["copy"]}, "input": {"pfs": {"repo": "images", "name": "in", "glob": "/"}}}
    pachctl.ok("create pipeline", stdin=json.dumps(spec))
    assert pachctl(line).err.splitlines()[1] == hint


def test_a_name_that_is_like_no_other_gets_none(pachctl):
    pachctl.ok("create repo images")
    assert pachctl("inspect repo xyz").err.splitlines() == ["repo default/xyz not found"]


# -- questions -----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def typed(pachctl, monkeypatch):
    """Runs a command whose standard input is a terminal at which somebody typed an answer."""

    def run(line, answer):
        pachctl.capture.readouterr()
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        return main(line.split()), pachctl.capture.readouterr()

    return run


@pytest.mark.parametrize("line", ["delete repo --all", "delete repo a --force", "delete pipeline --all", f"delete commit {ID}"])
def test_a_person_is_asked_before_more_is_lost_than_was_named(pachctl, typed, line):
    pachctl.ok("create repo a")
    status, shown = typed(line, "n\n")
    assert status == 1
    assert "Are you sure" in shown.err
    assert shown.err.splitlines()[-1] == "hint: -y answers beforehand"
    assert len(pachctl.ok("list repo --raw").documents) == 1


def test_yes_deletes_and_a_flag_answers_beforehand(pachctl, typed):
    for name in ("a", "b"):
        pachctl.ok(f"create repo {name}")
    status, shown = typed("delete repo a --force", "y\n")
    assert (status, "Are you sure" in shown.err) == (0, True)
    status, shown = typed("delete repo --all -y", "")
    assert (status, "Are you sure" in shown.err) == (0, False)
    assert pachctl.ok("list repo --raw").documents == []


def test_scripts_are_not_asked_for_what_pachctl_does_not_ask(pachctl):
    pachctl.ok("create repo a")
    assert "Are you sure" not in pachctl.ok("delete repo --all").err


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_deleting_all_asks_everybody(pachctl, answer, left):
    pachctl.ok("create repo a")
    ended = pachctl.ok("delete all", stdin=answer)
    assert "default/a" in ended.err
    assert len(pachctl.ok("list repo --raw").documents) == left


# -- two at once ---------------------------------------------------------------------------------------------------------


def test_a_command_that_waits_for_another_says_for_whom(pachctl):
    pachctl.ok("create repo a")
    with Runner.open() as runner:
        lock = FileLock(runner.database.home.write_lock)
    lock.acquire()
    name = lock.holder()
    threading.Timer(PATIENCE + 0.3, lock.release).start()
    ended = pachctl.ok("create repo b")
    assert ended.err.splitlines() == [f"waiting for {name}, which writes to this home"]


# -- progress ------------------------------------------------------------------------------------------------------------


def test_progress_shows_how_much_is_done_and_how_long_the_rest_takes():
    meter = Meter(shown=False, total=4096)
    assert meter.text(1.0) == "0B"
    meter.add(1024)
    assert meter.text(10.0) == "1KiB of 4KiB, 30 seconds left"
    assert list(meter.chunks([b"12", b"3"])) == [b"12", b"3"]
    assert meter.reader(io.BytesIO(b"4567")).read() == b"4567"
    assert meter.text(1.0).startswith("1.007KiB of 4KiB")


def test_of_a_stream_only_what_is_done_is_known():
    meter = Meter(shown=False)
    meter.add(3)
    assert meter.text(1.0) == "3B"


@pytest.mark.parametrize("flag", ["", "--progress", "--no-progress", "--progress=false", "--progress=true"])
def test_files_come_and_go_whole_with_and_without_progress(pachctl, flag):
    content = bytes(range(256)) * 1000
    Path("big").write_bytes(content)
    pachctl.ok("create repo data")
    pachctl.ok(f"put file data@master:/ -f big {flag}")
    pachctl.ok(f"get file data@master:/big -o back {flag}")
    assert Path("back").read_bytes() == content


# -- help ----------------------------------------------------------------------------------------------------------------


def test_the_guide_is_what_the_commands_say_of_themselves():
    kept = (Path(__file__).parents[2] / "docs" / "COMMANDS.md").read_text()
    assert kept.splitlines() == list(manual()), "make it anew: python -m local_runner help --all > docs/COMMANDS.md"


def test_every_command_is_in_the_guide():
    lines = set(manual())
    for verb, nouns in NOUNS.items():
        for noun in nouns:
            assert f"### {verb} {noun}" in lines or verb in HIDDEN or (verb, noun) == ("run", "pipeline")
    for verb in ALONE.keys() - HIDDEN:
        assert f"### {verb}" in lines


def test_help_is_a_command_too(pachctl):
    assert pachctl.ok("help list repo").out == pachctl.ok("list repo --help").out
    assert pachctl.ok("help").out == pachctl.ok("--help").out
    assert pachctl.ok("help --all").out.startswith("# Commands\n")
    assert pachctl("help --all list").status == 2
    assert pachctl("help nope").status == 2


# -- the version ---------------------------------------------------------------------------------------------------------


def test_the_version_can_be_compared_and_comes_with_the_machine(pachctl):
    plain = pachctl.ok("version --client-only").out
    lines = pachctl.ok("version --client-only --print-architecture --compare --timeout 1s").lines
    assert lines[2:] == plain.splitlines()
    assert lines[1] == "linux" or sys.platform != "linux"
    assert pachctl("version --timeout soon").status == 2


def test_fsck_takes_the_flags_of_pachctl(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    for flags in ("--fix", "--zombie-all", "--zombie data@master"):
        assert pachctl.ok(f"fsck {flags}").out == "No errors found.\n"
    assert pachctl("fsck --zombie-all --zombie data@master").status == 2


def test_pipelines_are_listed_as_a_commit_set_found_them(pachctl):
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["copy"]},
        "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
    }
    pachctl.ok("create repo data")
    pachctl.ok("create pipeline", stdin=json.dumps(spec))
    pachctl.ok("put file data@master:/a", stdin="1")
    first = pachctl.ok("inspect commit data@master --raw").document["commit"]["id"]
    pachctl.ok("update pipeline --reprocess", stdin=json.dumps(spec))
    assert [found["version"] for found in pachctl.ok("list pipeline --raw").documents] == ["2"]
    assert [found["version"] for found in pachctl.ok(f"list pipeline --commit {first} --raw").documents] == ["1"]


def test_a_command_that_leaves_work_stays_for_it_if_told_to_and_ends_as_the_work_does(pachctl, tmp_path):
    pachctl.ok("create repo in")
    spec = '{"pipeline": {"name": "p"}, "transform": {"cmd": ["x"]}, "input": {"pfs": {"repo": "in", "glob": "/*"}}}'
    (tmp_path / "p.json").write_text(spec)
    assert pachctl.ok("create pipeline -f p.json --wait").out == ""
    ended = pachctl.ok("put file in@master:/a -f - --wait", stdin="good")
    assert "p: success" in ended.err
    ended = pachctl("put file in@master:/a -f - --wait", stdin="fail")
    assert ended.status == 3
    assert "did not succeed: p" in ended.err
    assert pachctl.ok("delete file in@master:/a --wait").err.startswith("p: success")


def test_run_cron_stays_for_what_its_tick_causes(pachctl, tmp_path):
    spec = '{"pipeline": {"name": "p"}, "transform": {"cmd": ["x"]}, "input": {"cron": {"name": "in", "spec": "@never"}}}'
    (tmp_path / "p.json").write_text(spec)
    pachctl.ok("create pipeline -f p.json --wait")
    assert "p: success, 1 done of 1 datums" in pachctl.ok("run cron p --wait").err


def test_waiting_ends_with_the_reason_if_no_engine_can_work(tmp_path: Path) -> None:
    environment = {
        "PATH": str(tmp_path),
        "HOME": str(tmp_path),
        "LOCAL_RUNNER_HOME": str(tmp_path / "home"),
        "LOCAL_RUNNER_EXECUTOR": "container",
    }

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "local_runner", *arguments]
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    run("create", "repo", "data")
    run("put", "file", "data@master:/a", "-f", "-", stdin="1")
    ended = run("create", "pipeline", "--wait", "-f", "-", stdin=json.dumps(copying()))
    assert ended.returncode == 5
    assert "the engine in the background ended with status 5" in ended.stderr
    assert "docker" in ended.stderr
