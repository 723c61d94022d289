"""What a run makes of failures, of specs that cannot be, and of another run."""

from __future__ import annotations

import os
import threading
import time

import pytest

from local_runner.storage.locks import FileLock
from tests.cli.run.conftest import Folder


def failing(project: Folder) -> None:
    """`square` fails first, then `upper`, which reads nothing of it, could begin: it stands behind `slow`."""
    project.numbers(1, "bad", 3)
    project.pipeline("slow", "words")
    project.pipeline("upper", "slow")
    failed = threading.Event()

    def meanwhile(pipeline: str) -> None:
        if pipeline == "slow":
            deadline = time.monotonic() + 60
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


def test_what_a_job_that_succeeded_did_without_is_said_at_the_end(project: Folder) -> None:
    secret = {"name": "login", "key": "k", "env_var": "T"}
    project.pipeline("upper", "words", transform={"cmd": ["do"], "secrets": [secret]})
    ended = project()
    assert ended.status == 0
    assert "warning: upper: secret login is not here, so variable T is left out" in ended.err
