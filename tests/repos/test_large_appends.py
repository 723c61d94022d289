"""What is appended to a large file is stored with its last chunk; the rest is shared with what was there."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_runner.errors import ContentLost, Unavailable
from local_runner.model.file_hash import file_hash
from local_runner.model.refs import parse_commit, parse_file, parse_repo
from local_runner.storage import append as module
from local_runner.storage.home import open_home
from local_runner.storage.sums import sums_of
from tests.support.lab import Lab

MEBI = 1 << 20
LARGE = random.Random(3).randbytes(45 * MEBI)
FILE = "data@master:/file"


def append(lab: Lab, content: bytes) -> None:
    with lab.runner.modify_file(parse_commit("data@master")) as changes:
        changes.put("/file", content, append=True)


def read(lab: Lab, file: str = FILE, offset: int = 0) -> bytes:
    return b"".join(lab.runner.get_file(parse_file(file), offset))


def room(lab: Lab) -> int:
    return sum(path.stat().st_blocks * 512 for path in lab.runner.database.home.objects.rglob("*") if path.is_file())


def collect(lab: Lab) -> None:
    assert lab.runner.gc()


def damage(lab: Lab, content: bytes, at: int) -> None:
    path = lab.runner.database.files.path(file_hash(content))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.fixture
def large(lab: Lab) -> Lab:
    lab.put("data@master", {"/file": LARGE})
    return lab


def test_an_append_takes_little_room_and_gives_the_file_a_cluster_would_have(large: Lab, tmp_path: Path) -> None:
    before = room(large)
    append(large, b"more" * 1000)
    whole = LARGE + b"more" * 1000
    info = large.runner.inspect_file(parse_file(FILE))
    assert (info.hash, info.size) == (file_hash(whole), len(whole))
    assert room(large) - before < 21 * MEBI
    assert read(large) == whole
    for offset in (1, 20 * MEBI + 5, len(LARGE) - 1, len(LARGE) + 3, len(whole)):
        assert read(large, offset=offset) == whole[offset:]
    with large.runner.database.read() as session:
        assert session.objects.sums(info.hash) == sums_of(whole)
        session.objects.place(info.hash, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == whole
    (tmp_path / "copy").write_bytes(b"changed")
    assert read(large) == whole
    assert large.runner.fsck(contents=True) == []


def test_appends_upon_appends_are_the_file_they_make(large: Lab) -> None:
    whole, source = LARGE, random.Random(4)
    before = room(large)
    for size in (1, 12 * MEBI, 300_000, 25 * MEBI, 70_000):
        more = source.randbytes(size)
        append(large, more)
        whole += more
        assert read(large) == whole
        assert large.runner.inspect_file(parse_file(FILE)).hash == file_hash(whole)
    assert room(large) - before < 5 * 20 * MEBI + 40 * MEBI
    assert large.runner.fsck(contents=True) == []


def test_what_is_shared_stays_as_long_as_one_needs_it_and_goes_with_the_last(large: Lab) -> None:
    append(large, b"more")
    large.repo("other")
    with large.runner.modify_file(parse_commit("other@master")) as changes:
        changes.copy(parse_file(FILE), "/kept")
    large.runner.delete_repo(parse_repo("data"))
    collect(large)
    assert read(large, "other@master:/kept") == LARGE + b"more"
    assert large.runner.fsck(contents=True) == []
    large.runner.delete_repo(parse_repo("other"))
    collect(large)
    assert room(large) == 0
    with large.runner.database.read() as session:
        assert session.connection.execute("SELECT count(*) FROM large").fetchone() == (0,)


def test_damage_in_what_is_shared_is_given_to_nobody_and_named_for_both(large: Lab) -> None:
    append(large, b"more")
    damage(large, LARGE, 3 * MEBI)
    given: list[bytes] = []
    with pytest.raises(ContentLost):
        given.extend(large.runner.get_file(parse_file(FILE)))
    assert b"".join(given) == LARGE[: 3 * MEBI]
    assert len([finding for finding in large.runner.fsck(contents=True) if "is not what its name says" in str(finding)]) >= 1
    large.put("data@master", {"/file": LARGE + b"more"})  # whole again, and then read in place of the parts
    assert read(large) == LARGE + b"more"


def test_parts_that_cannot_be_read_are_missing_and_nothing_is_collected_then(large: Lab) -> None:
    append(large, b"more")
    with large.runner.database.write() as session:
        session.connection.execute("UPDATE large SET parts = substr(parts, 2) WHERE length(parts) > 0")
    with pytest.raises(ContentLost):
        read(large)
    with pytest.raises(Unavailable, match="damaged"):
        large.runner.plan_gc()


def test_a_file_in_many_parts_is_stored_whole_again(large: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PARTS", 1)
    append(large, b"1")
    append(large, b"2")
    assert large.runner.database.files.path(file_hash(LARGE + b"12")).read_bytes() == LARGE + b"12"


def test_a_home_has_format_2_from_its_first_parts_on_and_before_them(large: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    home = large.runner.database.home
    assert (home.path / "FORMAT").read_text() == "1\n"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("local_runner.storage.objects.need_format", killed)
        with pytest.raises(KeyboardInterrupt):
            append(large, b"more")
    assert read(large) == LARGE
    (home.path / "FORMAT").write_text("2\n")  # as one that was killed after that leaves it
    open_home(home.path)
    assert large.runner.fsck() == []
    append(large, b"more")
    assert (home.path / "FORMAT").read_text() == "2\n"
    assert read(large) == LARGE + b"more"


def test_an_append_that_is_killed_at_any_moment_is_done_or_not_begun(large: Lab, tmp_path: Path) -> None:
    home = large.runner.database.home.path
    more, whole, ended = tmp_path / "more", LARGE, 0
    more.write_bytes(b"more" * 400_000)
    command = [sys.executable, "-m", "local_runner", "put", "file", "-a", "data@master:/file", "-f", str(more)]
    for delay in (0.12, 0.2, 0.25, 0.3, 0.4, 5.0):
        process = subprocess.Popen(command, env={**os.environ, "LOCAL_RUNNER_HOME": str(home)})
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.wait()
        found = read(large)
        assert found in (whole, whole + more.read_bytes())
        ended += found != whole
        whole = found
    assert ended
    assert large.runner.fsck() == []
    assert large.runner.gc()
    assert read(large) == whole


def test_to_a_file_that_an_earlier_version_stored_is_appended_as_that_did(large: Lab, tmp_path: Path) -> None:
    with large.runner.database.write() as session:
        session.connection.execute("DROP TABLE large")
    append(large, b"more")
    assert read(large) == LARGE + b"more"
    assert (large.runner.database.home.path / "FORMAT").read_text() == "1\n"


def test_a_copy_of_a_home_with_parts_is_whole(large: Lab, tmp_path: Path) -> None:
    append(large, b"more")
    large.runner.close()
    shutil.copytree(large.runner.database.home.path, tmp_path / "copied")
    copied = Lab(tmp_path / "copied")
    assert read(copied) == LARGE + b"more"
    assert copied.runner.fsck(contents=True) == []
    copied.close()
