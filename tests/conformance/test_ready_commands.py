"""Commands that are ready go as those that start a Python of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.bench import is_alive, soon
from tests.support.ready_commands import ready_commands

LINES = (
    "create repo data",
    "create repo data",
    "put file data@master:/a < given",
    "get file data@master:/a | tr a-z A-Z",
    "put file data@master:/b -f ../beside",
    "list file data@master --raw | grep -c path",
    "nonsense",
    "--help > /dev/full",
)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ready_commands(tmp_path_factory.mktemp("ready")) as command:
        yield command


def said(command: str, folder: Path) -> list[tuple[int, str, str]]:
    """Status, output and errors of each line."""
    work = folder / "work"
    work.mkdir(parents=True)
    (work / "given").write_text("given\n")
    (folder / "beside").write_text("beside\n")
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(folder / "home"), "PYTHONUNBUFFERED": ""}
    shell = ["bash", "-o", "pipefail", "-c"]
    ended = (subprocess.run([*shell, f"{command} {line}"], cwd=work, env=env, capture_output=True, text=True) for line in LINES)
    return [(end.returncode, end.stdout, end.stderr) for end in ended]


def test_a_command_ends_and_says_what_it_would_in_a_python_of_its_own(ready: str, tmp_path: Path) -> None:
    found = said(ready, tmp_path / "ready")
    assert found == said(f"{sys.executable} -m local_runner", tmp_path / "real")
    assert [status for status, _, _ in found] == [0, 1, 0, 0, 0, 0, 2, 5]


def test_many_at_once_are_all_done(ready: str, tmp_path: Path) -> None:
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(tmp_path / "home")}
    names = {f"repo{number}" for number in range(30)}
    started = [subprocess.Popen(["sh", "-c", f"{ready} create repo {name}"], env=env) for name in names]
    assert [process.wait(60) for process in started] == [0] * len(names)
    listed = subprocess.run(["sh", "-c", f"{ready} list repo"], env=env, capture_output=True, text=True)
    assert names <= set(listed.stdout.split())


def test_a_command_ends_with_whoever_called_it(ready: str, tmp_path: Path) -> None:
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(tmp_path / "home")}
    subprocess.run(["sh", "-c", f"{ready} create repo data && {ready} start commit data@master"], env=env, check=True, capture_output=True)
    caller = subprocess.Popen(["sh", "-c", f"exec {ready} subscribe commit data"], env=env, stdout=subprocess.PIPE)
    assert caller.stdout
    assert caller.stdout.readline()
    rest: list[bytes] = []
    reader = threading.Thread(target=lambda: rest.append(caller.stdout.read() if caller.stdout else b""))
    reader.start()
    caller.kill()
    caller.wait()
    reader.join(30)  # it has the output open as long as it runs
    assert rest
    caller.stdout.close()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with ready_commands(tmp_path) as command:
        assert subprocess.run(["sh", "-c", f"{command} version"], capture_output=True).returncode == 0
        assert is_alive(str(tmp_path / "socket"))
    assert soon(lambda: not is_alive(str(tmp_path / "socket")))
