"""`python -m local_runner` by Make's habits, and `watch`: real project files and engine, Python functions in place of user code."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_runner.cli.main import main
from local_runner.errors import LocalRunnerError
from local_runner.executors import table
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import PipelineRef, parse_file
from local_runner.project import watch as watching
from local_runner.runner import Runner
from local_runner.storage.locks import FileLock
from tests.cli.conftest import Ended

PROJECT = """
pipelines = ["*.json"]

[[repo]]
name = "numbers"
split = "line"
files = { "n" = "numbers.txt" }

[[repo]]
name = "words"
files = { "w" = "words.txt" }
"""


class Folder:
    """A project: `square` reads `numbers` line by line, `total` reads `square`, `upper` reads `words`. A line "bad" fails its datum.

    `ran` lists the datums that ran since it was last asked, as "pipeline: what it read".
    """

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capture = capture
        self._ran: list[str] = []
        self.meanwhile: Callable[[str], object] = lambda pipeline: None
        self.write("local_runner.toml", PROJECT)
        self.numbers(1, 2, 3)
        self.write("words.txt", "hello\n")
        self.pipeline("square", "numbers", "/n/*")
        self.pipeline("total", "square")
        self.pipeline("upper", "words")

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def numbers(self, *numbers: object) -> None:
        self.write("numbers.txt", "".join(f"{number}\n" for number in numbers))

    def pipeline(self, name: str, repo: str, glob: str = "/", file: str = "", **fields: object) -> None:
        spec = {"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": repo, "glob": glob, "name": "in"}}}
        self.write(file or f"{name}.json", json.dumps({**spec, "datum_tries": 1, **fields}))

    def do(self, datum: ScriptedDatum) -> int:
        files = sorted(file for file in datum.input("in").rglob("*") if file.is_file())
        text = " ".join(file.read_text().strip() for file in files)
        self._ran.append(f"{datum.env['PPS_PIPELINE_NAME']}: {text}")
        self.meanwhile(datum.env["PPS_PIPELINE_NAME"])
        if text == "bad":
            datum.say("that was bad")
            return 1
        (datum.out / files[0].name).write_text(text)
        return 0

    @property
    def ran(self) -> list[str]:
        ran, self._ran = sorted(self._ran), []
        return ran

    def __call__(self, line: str = "") -> Ended:
        os.chdir(self.root)
        self._capture.readouterr()
        status = main(shlex.split(line), idle)
        shown = self._capture.readouterr()
        return Ended(status, shown.out, shown.err)

    def runner(self) -> Runner:
        return Runner.open(self.root / ".local_runner", background=False)

    def jobs(self, pipeline: str) -> list[JobInfo]:
        with self.runner() as runner:
            return list(runner.list_job(pipeline=PipelineRef("default", pipeline), history=-1))

    def jobs_if_any(self, pipeline: str) -> list[JobInfo]:
        """None as long as the pipeline is not there."""
        try:
            return self.jobs(pipeline)
        except LocalRunnerError:
            return []

    def text(self, file: str) -> str:
        with self.runner() as runner:
            return b"".join(runner.get_file(parse_file(file))).decode()


def idle(runner: Runner) -> None:
    """Nobody works in the background."""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOCAL_RUNNER_HOME", raising=False)
    folder = Folder(tmp_path, capsys)
    monkeypatch.setattr(table, "choose", lambda name, *_: (ScriptedExecutor(folder.do), "executor scripted"))
    return folder


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_the_first_run_does_everything_and_the_second_says_at_once_that_there_is_nothing_to_do(project: Folder) -> None:
    ended = project()
    assert ended.status == 0
    assert project.ran == ["square: 1", "square: 2", "square: 3", "total: 1 2 3", "upper: hello"]
    assert ended.lines[0] == "PIPELINE RUN REUSED FAILED SECONDS STATE"
    assert "in total:" in ended.lines
    ended = project()
    assert ended.status == 0
    assert project.ran == []
    assert "nothing to do" in ended.err


def test_changes_of_several_repos_and_specs_make_one_job_a_pipeline(project: Folder) -> None:
    project.pipeline(
        "both", "", input={"cross": [{"pfs": {"repo": r, "glob": "/", "name": n}} for r, n in [("words", "in"), ("numbers", "more")]]}
    )
    project()
    project.numbers(1, 2)
    project.write("words.txt", "good bye\n")
    project.pipeline(
        "both", "", input={"cross": [{"pfs": {"repo": r, "glob": "/", "name": n}} for r, n in [("words", "in"), ("square", "more")]]}
    )
    project()
    assert [info.state.word for info in project.jobs("both")] == ["success", "success"]
    assert len({info.job.id for name in ("square", "total", "upper", "both") for info in project.jobs(name)}) == 2


def test_two_branches_of_a_repo_get_their_commits_one_after_the_other(project: Folder) -> None:
    project.write("local_runner.toml", f"{PROJECT}[[repo]]\nname = 'words'\nbranch = 'draft'\nfiles = {{ 'w' = 'words.txt' }}\n")
    ended = project("upper")
    assert ended.status == 0
    assert "words@draft: /w to put" in ended.err
    assert project.text("words@draft:/w") == project.text("words@master:/w") == "hello\n"
    assert project.ran == ["upper: hello"]


def test_quiet_is_quiet_on_standard_error(project: Folder) -> None:
    for flag in ("-q", "-s", "--quiet", "--silent"):
        ended = project(f"run {flag} -B")
        assert ended.err == ""
        assert "in total:" in ended.lines


def test_everything_runs_again_when_that_is_asked_for(project: Folder) -> None:
    project()
    first = project.ran
    ended = project("-B")
    assert project.ran == first
    assert "total: --always-make, so every datum runs again" in ended.err


def test_a_dry_run_runs_nothing_and_makes_no_home(project: Folder) -> None:
    ended = project("-n total")
    assert ended.status == 0
    assert "\nsquare: " in ended.out
    assert "upper" not in ended.out
    assert project.ran == []
    assert not (project.root / ".local_runner").exists()


def test_it_runs_as_if_started_elsewhere(project: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["-C", str(project.root)], idle) == 0
    assert len(project.ran) == 5


def test_where_there_is_no_project_it_says_what_to_do(project: Folder) -> None:
    (project.root / "local_runner.toml").unlink()
    ended = project()
    assert ended.status == 2
    assert "there is no local_runner.toml" in ended.err
    assert "hint: write one" in ended.err


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["run square", "square", "-j 2 square"])
def test_a_target_is_brought_up_to_date_with_what_it_needs_and_nothing_else(project: Folder, line: str) -> None:
    ended = project(line)
    assert ended.status == 0
    assert project.ran == ["square: 1", "square: 2", "square: 3"]
    assert "in square:" in ended.lines
    with project.runner() as runner:
        assert [repo.repo.name for repo in runner.list_repo()] == ["numbers", "square"]


def test_what_is_below_a_target_waits_for_another_run(project: Folder) -> None:
    project()
    project.numbers(4)
    _ = project.ran
    ended = project("square")
    assert project.ran == ["square: 4"]
    assert "left for another run: total" in ended.err
    assert "nothing to do" in project("square").err
    project()
    assert project.ran == ["total: 4"]


def test_a_target_that_is_there_in_the_home_alone_is_known(project: Folder) -> None:
    project()
    (project.root / "total.json").unlink()
    project.numbers(5)
    _ = project.ran
    assert project("run total").status == 0
    assert project.ran == ["square: 5", "total: 5"]


def test_a_target_that_does_not_exist_comes_with_the_nearest_that_does(project: Folder) -> None:
    ended = project("run totl")
    assert ended.status == 4
    assert ended.err.splitlines() == ['there is no pipeline "totl" to bring up to date', "hint: did you mean total?"]
    assert 'unknown command "totl"' in project("totl").err


# -- files -------------------------------------------------------------------------------------------------------------


def test_spec_files_are_brought_up_to_date_and_their_neighbours_left_alone(project: Folder) -> None:
    project("square")
    _ = project.ran
    project.write("words.txt", "good bye\n")
    (project.root / "more").mkdir()
    project.pipeline("sum", "square", file="more/sum.json")
    assert project("-f more/sum.json").status == 0
    assert project.ran == ["sum: 1 2 3"]


def test_spec_files_need_no_project(project: Folder) -> None:
    project()
    (project.root / "local_runner.toml").unlink()
    project.pipeline("sum", "square")
    _ = project.ran
    assert project("-f sum.json").status == 0
    assert project.ran == ["sum: 1 2 3"]


def test_another_project_file_may_be_named(project: Folder) -> None:
    project.write("small.toml", PROJECT.replace("*.json", "upper.json"))
    assert project("run --file small.toml").status == 0
    assert project.ran == ["upper: hello"]


def test_a_file_that_is_not_there_is_named(project: Folder) -> None:
    for command in ("run", "watch"):
        ended = project(f"{command} -f nowhere.json")
        assert ended.status == 4
        assert f"there is no file {project.root}/nowhere.json" in ended.err


# -- failures ----------------------------------------------------------------------------------------------------------


def failing(project: Folder) -> None:
    """`square` fails first, then `upper`, which reads nothing of it, could begin: it stands behind `slow`."""
    project.numbers(1, "bad", 3)
    project.pipeline("slow", "words")
    project.pipeline("upper", "slow")
    failed = threading.Event()

    def meanwhile(pipeline: str) -> None:
        if pipeline == "slow":
            deadline = time.monotonic() + 10
            while not any(info.state.is_final for info in project.jobs("square")) and time.monotonic() < deadline:
                failed.wait(0.01)

    project.meanwhile = meanwhile


def test_after_a_failure_nothing_new_begins(project: Folder) -> None:
    failing(project)
    ended = project("-j 2")
    assert ended.status == 3
    assert "not begun after the failure: upper" in ended.err
    assert "that was bad" in ended.err
    assert project.ran == ["slow: hello", "square: 1", "square: 3", "square: bad"]  # all of one job, as on a cluster
    project.meanwhile = lambda pipeline: None
    project.numbers(1, 3)
    assert project().status == 0
    assert project.ran == ["square: 3", "total: 1 3", "upper: hello"]  # it is another datum now; what became of 1 is kept


def test_keep_going_does_what_does_not_depend_on_the_failure(project: Folder) -> None:
    failing(project)
    ended = project("-k -j 2")
    assert ended.status == 3
    assert "upper: hello" in project.ran
    assert ended.err.splitlines()[-2] == "did not succeed: square, total"


def test_what_failed_is_tried_again(project: Folder) -> None:
    project.numbers("bad")
    assert project().status == 3
    _ = project.ran
    ended = project()
    assert "square: its last job failed, so it is tried again" in ended.err
    assert ended.status == 3
    assert "square: bad" in project.ran


def test_a_failure_whose_input_changed_makes_one_job(project: Folder) -> None:
    project.numbers("bad")
    project("-k")
    project.numbers(7)
    assert project().status == 0
    assert [info.state.word for info in project.jobs("square")] == ["success", "failure"]


def test_ignored_errors_leave_out_the_datums_that_failed(project: Folder) -> None:
    project.numbers(1, "bad", 3)
    ended = project("-i")
    assert ended.status == 0
    assert "failed datums were ignored: 1 of square" in ended.err
    assert project.text("total@master:/0000000000000000") == "1 3"
    _ = project.ran
    ended = project("-i -k")
    assert "failures in its last job were ignored, so it is tried again" in ended.err
    assert project.ran == ["square: bad"]  # the rest has succeeded


def test_a_spec_that_cannot_be_leaves_the_home_as_it_was(project: Folder) -> None:
    project()
    project.numbers(8)
    project.pipeline("upper", "nowhere")
    ended = project()
    assert ended.status == 4
    assert "nowhere" in ended.err
    assert len(project.jobs("square")) == 1


# -- two at once -------------------------------------------------------------------------------------------------------


def test_whoever_else_is_at_work_is_named_and_waited_for(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.engine_host._HANDOVER", 0.05)
    project("square")
    _ = project.ran
    lock = FileLock(project.root / ".local_runner" / "engine.lock")
    assert lock.try_acquire()
    threading.Timer(0.5, lock.release).start()
    ended = project("-q")
    assert ended.status == 0
    assert ended.err.startswith(f"waiting for process {os.getpid()} ")
    assert project.ran == ["total: 1 2 3", "upper: hello"]


# -- watch -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What somebody does each time `watch` waits; then comes Ctrl-C."""
    waiting: list[Callable[[], object]] = []
    real = watching.ProjectWatcher.wait

    def wait(watcher: watching.ProjectWatcher, seen: watching.Stamps) -> watching.Stamps:
        if not waiting:
            raise KeyboardInterrupt
        waiting.pop(0)()
        return real(watcher, seen)

    monkeypatch.setattr(watching, "PAUSE", 0)
    monkeypatch.setattr(watching.ProjectWatcher, "wait", wait)
    return waiting


def test_watch_runs_again_what_a_change_asks_for_until_ctrl_c(project: Folder, edits: list[Callable[[], object]]) -> None:
    def edit() -> None:
        assert len(project.ran) == 5
        project.numbers(1, 2, 3, 4)

    edits.append(edit)
    ended = project("watch")
    assert ended.status == 130
    assert project.ran == ["square: 4", "total: 1 2 3 4"]
    assert " numbers.txt changed\n" in ended.err
    assert "watching 6 files; Ctrl-C ends" in ended.err


def test_watch_survives_a_broken_spec_a_broken_project_and_a_datum_that_fails(project: Folder, edits: list[Callable[[], object]]) -> None:
    def mend() -> None:
        project.pipeline("total", "square")
        project.write("local_runner.toml", PROJECT)
        project.numbers("bad")

    edits += [
        lambda: project.write("total.json", "{"),
        lambda: project.write("local_runner.toml", "pipelines = ["),
        mend,
        lambda: project.numbers(9),
    ]
    ended = project("watch")
    assert ended.status == 130
    assert "total.json:1:2: malformed pipeline spec" in ended.err
    assert "local_runner.toml: Invalid value" in ended.err
    assert "that was bad" in ended.err
    assert project.text("total@master:/0000000000000000") == "9"


def test_watch_makes_everything_only_the_first_time(project: Folder, edits: list[Callable[[], object]]) -> None:
    project("-q")
    _ = project.ran

    def edit() -> None:
        assert len(project.ran) == 5
        project.write("words.txt", "good bye\n")

    edits.append(edit)
    project("watch -B")
    assert project.ran == ["upper: good bye"]


def test_watch_breaks_off_a_run_whose_specs_change(project: Folder, edits: list[Callable[[], object]]) -> None:
    started: list[str] = []

    def meanwhile(pipeline: str) -> None:
        if pipeline == "upper" and not started:
            started.append(pipeline)
            project.pipeline("upper", "words", transform={"cmd": ["do", "better"]})
            time.sleep(1.5)  # longer than an engine goes without looking

    project.meanwhile = meanwhile
    edits.append(lambda: None)  # it waits for nothing: the change is there
    ended = project("watch")
    assert "upper: transform.cmd changed, so every datum runs again" in ended.err
    assert [info.state.word for info in project.jobs("upper")] == ["success", "killed"]


# -- real processes ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def process(project: Folder, *arguments: str, stderr: Any = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """`local_runner` in a process of its own, which does not outlive the block."""
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    env |= {"LOCAL_RUNNER_EXECUTOR": "process", "TERM": "xterm"}
    command = [sys.executable, "-m", "local_runner", *arguments]
    with subprocess.Popen(command, cwd=project.root, env=env, stdout=subprocess.DEVNULL, stderr=stderr, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def real(project: Folder, *script: str) -> None:
    """Two pipelines with commands of their own: `one`, which runs this, and `two` after it."""
    for name in ("square", "total", "upper"):
        (project.root / f"{name}.json").unlink()
    project.pipeline("one", "numbers", "/n/*", transform={"cmd": ["sh"], "stdin": list(script)})
    project.pipeline("two", "one", transform={"cmd": ["true"]})


def test_ctrl_c_ends_watching_cleanly(project: Folder) -> None:
    real(project, "true")
    with process(project, "watch") as watching:
        assert watching.stderr is not None
        said = []
        for line in watching.stderr:
            said.append(line)
            if line.startswith("watching "):
                break
        watching.send_signal(signal.SIGINT)
        assert watching.stderr.read() == ""
        assert watching.wait(10) == 130
    assert any(line.startswith("two: success") for line in said)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_goes_on_where_it_was(project: Folder, sent: signal.Signals, status: int) -> None:
    real(project, "if grep -q 3 $in; then sleep 60; fi")
    with process(project) as running:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (project.root / ".local_runner" / "FORMAT").exists():
            time.sleep(0.05)
        while time.monotonic() < deadline and not [info for info in project.jobs_if_any("one") if info.counters.processed == 2]:
            time.sleep(0.05)
        running.send_signal(sent)
        assert running.stderr is not None
        assert running.stderr.read().splitlines()[-1] == "stopped; finished datums are kept, and the next run goes on from here"
        assert running.wait(10) == status
    assert project().status == 0
    assert project.ran == ["one: 3", "two: 3"]


def test_a_terminal_shows_how_far_each_pipeline_is_and_is_left_clean(project: Folder) -> None:
    real(project, "sleep 0.3")
    here, there = pty.openpty()
    shown = b""
    with process(project, stderr=there) as running:
        os.close(there)
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
            while block := os.read(here, 1 << 16):
                shown += block
        assert running.wait(10) == 0
    os.close(here)
    frames = shown.decode()
    assert re.search(r"one +\S+ +1 of 3 ", frames), frames
    assert re.search(r"two +\S+ +waiting", frames)
    assert frames.rindex("\x1b[?25h") > frames.rindex("\x1b[?25l")  # the cursor is back
