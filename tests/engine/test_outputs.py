"""What is collected of `out`: links lead where they do for user code, whatever the host has there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from local_runner.engine.outputs import BadOutput, collect
from local_runner.engine.staging import Staged
from local_runner.executors.tree import Tree
from local_runner.executors.view import View
from local_runner.storage.objects import Content


class Reads:
    def take(self, source: BinaryIO, /) -> Content:
        content = source.read()
        return Content(content, len(content))


def collected(root: Path) -> dict[str, bytes]:
    """Of `root/out`; user code sees `root/private` where the host has `root/host`."""
    view = View({"/pfs/out": str(root / "out"), str(root / "host"): str(root / "private")})
    staged = Staged(Tree(), str(root), str(root / "parts"))
    return {file.path: file.content.name for file in collect(Reads(), staged, view.outside)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("out", "host", "private"):
        (tmp_path / name).mkdir()
    (tmp_path / "host/secret").write_text("of the host")
    return tmp_path


def test_a_link_inside_a_linked_folder_leads_where_it_does_for_user_code(root: Path) -> None:
    (root / "private/folder").mkdir()
    (root / "private/folder/link").symlink_to(root / "host/secret")
    (root / "out/folder").symlink_to(root / "host/folder")
    with pytest.raises(BadOutput, match="inside a linked folder, a link has to lead to a file"):
        collected(root)
    (root / "private/secret").write_text("its own")
    assert collected(root) == {"/folder/link": b"its own"}


@pytest.mark.parametrize("target", ["pipe", "folder"])
def test_a_link_to_a_pipe_is_refused_and_not_waited_for(root: Path, target: str) -> None:
    (root / "private/folder").mkdir()
    os.mkfifo(root / "private" / "pipe")
    os.mkfifo(root / "private/folder/pipe")
    (root / "out/link").symlink_to(root / "host" / target)
    with pytest.raises(BadOutput):
        collected(root)
