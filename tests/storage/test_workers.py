"""What workers of engines that were killed left is cleared away, and keeps no engine from its work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner import beneath
from local_runner.storage.home import Home
from local_runner.storage.workers import leave_place, make_place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that workers of this user's engines are in."""
    monkeypatch.setattr("local_runner.storage.home._MEMORY", tmp_path / "none")
    monkeypatch.setattr("local_runner.storage.home._DISK", tmp_path)
    yield tmp_path / f"local_runner-{os.getuid()}"
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)  # pytest removes by recursion


def nest(folder: Path, depth: int) -> None:
    """Folders in one another, deeper than a path may be long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=here)
        deeper = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)


def fail(text: str) -> None:
    raise AssertionError(text)


def test_three_thousand_nested_folders_of_a_home_that_is_gone_stop_no_other_homes_engine(tmp_path: Path, place: Path) -> None:
    (place / "gone").mkdir(parents=True)
    (place / "gone" / "home").write_text(str(tmp_path / "no-such-home"))
    nest(place / "gone", 3_000)
    home = Home(tmp_path / "home")
    home.path.mkdir()
    make_place(home, fail)
    (folder,) = home.workers
    assert os.listdir(place) == [folder.name]
    nest(folder, 3_000)
    make_place(home, fail)
    assert os.listdir(folder) == ["home"]
    leave_place(home)
    assert os.listdir(place) == []


def test_a_leftover_that_cannot_be_removed_is_told_and_stands_aside(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    make_place(home, fail)
    (folder,) = home.workers
    (folder / "immutable").touch()
    unlink, told = os.unlink, list[str]()

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "immutable":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    make_place(home, told.append)
    leave_place(home)
    assert told == [f"{folder} was left by a worker and cannot be removed: Operation not permitted"]
    monkeypatch.undo()
    monkeypatch.setattr("local_runner.storage.home._MEMORY", tmp_path / "none")
    monkeypatch.setattr("local_runner.storage.home._DISK", tmp_path)
    make_place(home, fail)  # it can be now, and is
    assert os.listdir(place) == [folder.name]


def test_a_place_that_appears_has_its_owner(tmp_path: Path, place: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    make_place(home, fail)
    assert (home.workers[0] / "home").read_text() == str(home.path)
    assert beneath.identity(home.workers[0].parent) == beneath.identity(place)
