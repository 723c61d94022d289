"""A run in a process of its own: stopped, and at a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.run.conftest import Folder


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
        assert watching.wait(60) == 130
    assert any(line.startswith("two: success") for line in said)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_goes_on_where_it_was(project: Folder, sent: signal.Signals, status: int) -> None:
    real(project, "if grep -q 3 $in; then sleep 60; fi")
    with process(project) as running:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (project.root / ".local_runner" / "FORMAT").exists():
            time.sleep(0.05)
        while time.monotonic() < deadline and not [info for info in project.jobs_if_any("one") if info.counters.processed == 2]:
            time.sleep(0.05)
        running.send_signal(sent)
        assert running.stderr is not None
        assert running.stderr.read().splitlines()[-1] == "stopped; finished datums are kept, and the next run goes on from here"
        assert running.wait(60) == status
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
        assert running.wait(60) == 0
    os.close(here)
    frames = shown.decode()
    assert re.search(r"one +\S+ +1 of 3 ", frames), frames
    assert re.search(r"two +\S+ +waiting", frames)
    assert frames.rindex("\x1b[?25h") > frames.rindex("\x1b[?25l")  # the cursor is back
