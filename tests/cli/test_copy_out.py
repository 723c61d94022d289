"""Files of a repo on their way into a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.cli.copy_out import Below
from local_runner.errors import Unavailable
from local_runner.model.refs import parse_file
from tests.support.lab import Lab


def test_files_come_into_the_folders_of_their_paths_over_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"old and longer")
    with Below(tmp_path) as below:
        for path, chunks in [("/a/x", [b"1"]), ("/a/y", [b"2", b"3"]), ("/b", [b"new"]), ("/a/b/z", []), ("/a/w", [b"4"])]:
            below.put(path, chunks)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"a/x": b"1", "a/y": b"23", "b": b"new", "a/b/z": b"", "a/w": b"4"}


def test_what_stands_there_is_no_other_until_the_new_one_is_whole(tmp_path: Path) -> None:
    old = tmp_path / "file"
    old.write_bytes(b"old")
    seen = []

    def chunks() -> Iterator[bytes]:
        yield b"new"
        seen.append(old.read_bytes())

    with Below(tmp_path) as below:
        below.put("/file", chunks())
    assert (seen, old.read_bytes()) == ([b"old"], b"new")


@pytest.mark.parametrize("there", [True, False], ids=["over one that is there", "a new one"])
def test_of_a_file_that_cannot_be_written_nothing_is_left(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "file").write_bytes(b"old")

    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with Below(tmp_path) as below, pytest.raises(Unavailable, match=r"cannot write .*/file: No space left on device"):
        below.put("/file", chunks())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"] * there


def test_no_link_is_followed(tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "folder").symlink_to(outside)
    (target / "file").symlink_to(outside / "file")
    with Below(target) as below:
        with pytest.raises(Unavailable, match="link"):
            below.put("/folder/x", [b"x"])
        below.put("/file", [b"mine"])
    assert list(outside.iterdir()) == []
    assert (target / "file").read_bytes() == b"mine"
    assert not (target / "file").is_symlink()


def test_files_before_a_damaged_one_are_given_and_it_is_named(lab: Lab) -> None:
    lab.put("data@master", {f"/{name}": name for name in "abc"})
    with lab.runner.database.write() as session:
        session.connection.execute("UPDATE object SET content = x'00' WHERE content = ?", (b"b",))
    found = []
    with pytest.raises(Unavailable, match="/b"):
        found.extend(b"".join(chunks) for _, chunks in lab.runner.get_below(parse_file("data@master:/")))
    assert found == [b"a"]
