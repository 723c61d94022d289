"""What only a real terminal shows: questions, progress, colours, the pager, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from local_runner.model.refs import BranchRef, CommitQuery, RepoRef
from local_runner.runner import Runner

REPO = RepoRef("default", "data")
PATIENCE = 20.0  # seconds


class Session:
    """A command at a terminal of its own."""

    def __init__(self, home, *words, **env):
        self.master, slave = pty.openpty()
        given = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI", "PAGER", "LESS")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local_runner", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**given, "LOCAL_RUNNER_HOME": str(home), "TERM": "xterm", "PAGER": "cat", **env},
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.shown = ""

    def read(self, until=None):
        """What appears until a pattern does; to the end without one."""
        deadline = time.monotonic() + PATIENCE
        while until is None or not re.search(until, self.shown):
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"nothing more after {self.shown!r}"
            try:
                block = os.read(self.master, 65536)
            except OSError:  # what Linux says at the end of a terminal
                block = b""
            if not block:
                assert until is None, f"it ended with {self.shown!r}"
                return self.shown
            self.shown += block.decode(errors="replace")
        return self.shown

    def type(self, text):
        os.write(self.master, text.encode())

    def status(self):
        self.read()
        return self.process.wait(PATIENCE)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def _take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def home(tmp_path):
    with Runner.open(tmp_path / "home", background=False) as runner:
        runner.create_repo(REPO)
    return tmp_path / "home"


@pytest.fixture
def session(home):
    """Starts commands on the home; none outlives the test."""
    with ExitStack() as stack:
        yield lambda *words, **env: stack.enter_context(closing(Session(home, *words, **env)))


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 0), ("n\n", 1, 1)])
def test_a_question_is_answered_at_the_terminal(session, home, answer, status, left):
    at = session("delete", "repo", "--all")
    at.read(r"\(y/N\): ")
    at.type(answer)
    assert at.status() == status
    with Runner.open(home, background=False) as runner:
        assert len(runner.list_repo()) == left


def test_ctrl_c_at_a_question_ends_it(session, home):
    at = session("delete", "all")
    at.read(r"\(y/N\): ")
    time.sleep(0.3)  # as a person does: between the prompt and its wait for a key Python's `input` misses a signal
    at.type("\x03")
    assert at.status() == 130
    assert "Traceback" not in at.shown


def test_ctrl_c_ends_what_follows(session, home):
    at = session("subscribe", "commit", "data@master")
    with Runner.open(home, background=False) as runner:
        commit = runner.start_commit(BranchRef(REPO, "master"))
        runner.finish_commit(CommitQuery(REPO, id=commit.id))
    at.read(commit.id)
    at.type("\x03")
    assert at.status() == 130
    assert "Traceback" not in at.shown


def test_the_progress_of_something_slow_appears_and_goes_away(session, home, tmp_path):
    fifo = tmp_path / "slow"
    os.mkfifo(fifo)
    at = session("put", "file", "data@master:/slow", "-f", str(fifo))
    with fifo.open("wb", buffering=0) as pipe:
        deadline = time.monotonic() + PATIENCE
        while "MiB" not in at.shown:
            assert time.monotonic() < deadline, at.shown
            pipe.write(bytes(500_000))
            time.sleep(0.1)
            if select.select([at.master], [], [], 0)[0]:
                at.shown += os.read(at.master, 65536).decode()
    assert at.status() == 0
    assert at.shown.endswith("\r\x1b[K")


def test_where_ci_is_said_there_is_no_progress(session, home, tmp_path):
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    at = session("put", "file", "data@master:/", "-f", str(tmp_path / "big"), CI="1")
    assert at.status() == 0
    assert at.shown == ""


def test_a_terminal_is_coloured_unless_that_is_not_wanted(session, home):
    def shown(**env):
        at = session("delete", "all", **env)
        at.read(r"\(y/N\): ")
        at.type("n\n")
        at.status()
        return at.shown

    assert "\x1b[31mdefault/data" in shown()
    assert "\x1b[31m" not in shown(NO_COLOR="1")


def test_long_lists_go_through_the_pager_that_is_named(session, home, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nsed 's/^/paged: /'\n")
    pager.chmod(0o755)
    at = session("list", "job", PAGER=str(pager))
    assert at.status() == 0
    assert at.shown.startswith("paged: ID")
    at = session("list", "job", "--no-pager", PAGER=str(pager))
    assert at.status() == 0
    assert at.shown.startswith("ID")


def test_a_pager_that_is_left_early_or_is_not_there_is_no_error(session, home):
    assert session("list", "job", PAGER="true").status() == 0
    at = session("list", "job", PAGER="no-such-pager")
    assert at.status() == 0
    assert at.shown.startswith("ID")


def test_a_command_that_is_told_to_end_says_143(session, home):
    at = session("subscribe", "commit", "data@master")
    deadline = time.monotonic() + PATIENCE
    while not Path(f"/proc/{at.process.pid}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    at.process.send_signal(signal.SIGTERM)
    assert at.status() == -signal.SIGTERM  # which shells call 143
