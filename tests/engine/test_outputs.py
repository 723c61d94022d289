"""What is collected of `out`: files of a kind that cannot be committed are refused, and nothing is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_runner.engine.outputs import BadOutput, collect
from local_runner.engine.staging import Staged
from local_runner.executors.base import WorkerRequest
from local_runner.executors.launcher.removal import remove_folder
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.parts import Parts, Scratch
from local_runner.executors.scripted import ScriptedExecutor
from local_runner.storage.intake import Source
from local_runner.storage.objects import Content


class Reads:
    def take(self, source: Source, /) -> Content:
        content = b"".join(iter(lambda: source.read(1 << 20), b""))
        return Content(content, len(content))


FOLDER = ".scratch/set/d/pfs/d"


def collected(root: Path) -> dict[str, bytes]:
    """Of the datum's `out`."""
    request = WorkerRequest("w", root / "pfs", root / "folder", {})
    with ScriptedExecutor(lambda datum: 0).worker(request) as worker:
        return {file.path: file.content.name for file in collect(Reads(), Staged(Tree(FOLDER), Parts(Scratch(-1, root), None)), worker)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "pfs").mkdir()
    folder = tmp_path / "folder/scratch/set/d/pfs/d/out"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    (tmp_path / "other/folder").mkdir(parents=True)
    return tmp_path / "other"


def test_a_link_inside_a_linked_folder_leads_to_a_file_or_is_refused(tmp_path: Path, out: Path, other: Path) -> None:
    (other / "folder/link").symlink_to(other / "secret")
    (out / "folder").symlink_to(other / "folder")
    with pytest.raises(BadOutput, match="inside a linked folder, a link has to lead to a file"):
        collected(tmp_path)
    (other / "secret").write_text("its own")
    assert collected(tmp_path) == {"/folder/link": b"its own"}


@pytest.mark.parametrize("target", ["pipe", "folder"])
def test_a_link_to_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, out: Path, other: Path, target: str) -> None:
    os.mkfifo(other / "pipe")
    os.mkfifo(other / "folder/pipe")
    (out / "link").symlink_to(other / target)
    with pytest.raises(BadOutput):
        collected(tmp_path)


def test_depth_is_no_reason_to_fail(tmp_path: Path, out: Path) -> None:
    folder = out
    for _ in range(1500):
        folder /= "d"
        folder.mkdir()
    (folder / "f").write_text("deep")
    try:
        assert collected(tmp_path) == {"/" + "d/" * 1500 + "f": b"deep"}
    finally:
        remove_folder(str(out))  # pytest, which clears old folders, counts depth
