"""A home that cannot be written can be read: to its last transaction, whoever left it and how."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.model.refs import parse_commit
from local_runner.storage.database import Database
from local_runner.storage.home import open_home
from tests.support.lab import Lab

KILLED = """
import os, sys
from pathlib import Path
from tests.support.lab import Lab
lab = Lab(Path(sys.argv[1]))
lab.put("data@master", {"/late": "late", "/large": "x" * 100_000})
os._exit(0)
"""

Freeze = Callable[[], Path]


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Freeze]:
    """A disk with a home on it, which can be made read-only."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "none", mount], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a disk here")
    lab = Lab(mount / "home")
    lab.put("data@master", {"/early": "early"})
    lab.pipeline("copy")
    lab.run_all()
    lab.close()

    def freeze() -> Path:
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        return mount / "home"

    yield freeze
    subprocess.run(["umount", "-l", mount], check=True)


def test_a_home_that_was_closed_is_read_and_checked(frozen: Freeze) -> None:
    lab = Lab(frozen())
    assert lab.files("copy@master") == {"/early": "early"}
    assert list(lab.runner.logs()) == []
    assert lab.runner.fsck() == []
    assert lab.runner.leftovers() == []
    lab.close()


def test_a_log_that_a_killed_writer_left_is_read_too(frozen: Freeze, tmp_path: Path) -> None:
    home = tmp_path / "disk" / "home"
    subprocess.run([sys.executable, "-c", KILLED, home], check=True, cwd=Path(__file__).parents[2])
    (home / "records.sqlite-shm").unlink()
    assert (home / "records.sqlite-wal").stat().st_size
    lab = Lab(frozen())
    assert lab.files("data@master") == {"/early": "early", "/late": "late", "/large": "x" * 100_000}
    assert lab.runner.fsck() == []
    lab.close()


def test_a_write_is_refused_in_words(frozen: Freeze) -> None:
    lab = Lab(frozen())
    with pytest.raises(Unavailable, match="Read-only file system"):
        lab.repo("other")
    with pytest.raises((Unavailable, OSError), match="Read-only file system"):
        lab.put("data@master", {"/large": "y" * 100_000})
    lab.close()


def test_a_home_that_was_never_finished_is_completed_by_who_opens_it(home: Path) -> None:
    database = Database(open_home(home))
    with database.write() as session:
        session.repos.set_setting("a", "1")
    database.close()
    for name in ("write.lock", "engine.lock"):
        (home / name).unlink()
    for name in ("drafts", "bells", "logs"):
        shutil.rmtree(home / name)
    database = Database(open_home(home, create=False))
    with database.write() as session:
        assert session.repos.setting("a") == "1"
        session.repos.set_setting("a", "2")
    database.close()
    lab = Lab(home)
    lab.put("data@master", {"/a": "x" * 100_000})
    assert lab.head("data@master").id == lab.runner.inspect_commit(parse_commit("data@master")).commit.id
    lab.close()


@pytest.mark.parametrize("content", [b"", b"\xb1\n", b"x\n", b"1\x00\n", b"-1", "١".encode()])
def test_a_format_that_is_no_number_is_said_with_what_to_do(home: Path, content: bytes) -> None:
    open_home(home)
    (home / "FORMAT").write_bytes(content)
    with pytest.raises(Unavailable, match="FORMAT is damaged") as error:
        open_home(home)
    assert "write 1 into it" in error.value.hint
