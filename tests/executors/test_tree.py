"""Whatever stood in a place before, and whatever was done to it: a tree that is laid out is there as described, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.executors.launcher.datum_folder import DatumFolder
from local_runner.executors.launcher.tree import UNTOUCHED, Tree, TreeChanges

NAMES = st.sampled_from(["in/a", "in/b", "in/d/a", "in/d/e/c", "other/a"])
HARMS: dict[str, Callable[[Path], None]] = {
    "none": lambda folder: None,
    "output": lambda folder: (folder / "out/new").write_text("x") and None,
    "a folder in out": lambda folder: (folder / "out/a/b").mkdir(parents=True),
    "another file": lambda folder: (folder / "in/more").write_text("more") and None,
    "another folder": lambda folder: (folder / "in/x/y").mkdir(parents=True),
    "rights of a folder": lambda folder: (folder / "in").chmod(0o755),
    "rights of out": lambda folder: (folder / "out").chmod(0o500),
    "rights of a file": lambda folder: (folder / ".env").chmod(0o600),
    "other content": lambda folder: (folder / ".env").write_text("a longer text than before") and None,
    "no file": lambda folder: (folder / ".env").unlink(),
    "another name": lambda folder: os.link(folder / ".env", folder / "out/kept"),
    "a link for a file": lambda folder: replace_by_link(folder / ".env"),
    "a link for a folder": lambda folder: replace_by_link(folder / "in"),
    "no folder at all": lambda folder: shutil.rmtree(folder.parent.parent),
}
WRITES = {"output", "a folder in out", "another name"}
CHANGES = {
    "another file": (("in/more",), ()),
    "other content": ((".env",), ()),
    "no file": ((), (".env",)),
    "a link for a file": ((), (".env",)),
}


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    datum = draw(st.sampled_from("xyz"))
    folder = f".scratch/set/{datum}/pfs/{datum}"
    files = draw(st.dictionaries(NAMES, st.binary(max_size=30)))
    folders: dict[str, int] = {"out": 0o777, "in": 0o700}
    for path in files:
        for parent in reversed(Path(path).parents):
            folders.setdefault(str(parent), 0o777 if parent.parts[1:] else 0o700)
    folders.pop(".", None)
    links = {name: f"{folder}/{name}" for name in (".env", "out", *(path for path in folders if "/" not in path))}
    return Tree(folder, links, list(folders.items()), [(".env", draw(st.binary(max_size=30))), *files.items()])


def described(tree: Tree) -> dict[str, object]:
    """What stands below a datum's folder: path -> content, or mode of a folder."""
    return {path: mode & 0o755 for path, mode in tree.folders} | dict(tree.files)


def found(folder: Path) -> dict[str, object]:
    entries = ((entry.relative_to(folder).as_posix(), entry) for entry in folder.rglob("*"))
    return {name: entry.stat().st_mode & 0o777 if entry.is_dir() else entry.read_bytes() for name, entry in entries}


@given(st.lists(st.tuples(trees(), st.booleans(), st.booleans(), st.sampled_from(sorted(HARMS))), max_size=8))
def test_a_tree_is_there_as_described_whatever_was_there_before(turns: list[tuple[Tree, bool, bool, str]]) -> None:
    with tempfile.TemporaryDirectory() as home:
        place = DatumFolder(home, "/pfs")
        (Path(home) / ".scratch").mkdir()
        for tree, before, after, harm in turns:
            place.lay(tree)
            place.clear()
            folder = Path(home, tree.folder)
            assert found(folder) == described(tree)
            assert {name: os.readlink(Path(home, name)) for name in tree.links} == {n: f"/pfs/{at}" for n, at in tree.links.items()}
            assert sorted(os.listdir(home)) == sorted([".scratch", *tree.links])
            assert [path.name for path in (Path(home) / ".scratch/set").iterdir()] == [folder.name]
            assert place.look(is_alone=before)._replace(unread=()) == UNTOUCHED
            HARMS[harm](folder)
            left = place.look(is_alone=after)
            assert left.wrote == (harm in WRITES)
            assert (left.changed, left.gone) == CHANGES.get(harm, ((), ())) or harm in ("a link for a folder", "no folder at all")


def tree(name: str) -> Tree:
    folder = f".scratch/set/{name}/pfs/{name}"
    links = {top: f"{folder}/{top}" for top in ("out", ".env", "in")}
    return Tree(folder, links, [("out", 0o777), ("in", 0o700)], [("in/file", name.encode()), (".env", b"")])


@pytest.fixture
def place(tmp_path: Path) -> DatumFolder:
    (tmp_path / ".scratch").mkdir()
    return DatumFolder(str(tmp_path), "/pfs")


def test_a_process_that_lives_on_keeps_what_it_has_open(tmp_path: Path, place: DatumFolder) -> None:
    place.lay(tree("one"))
    folder = tmp_path / tree("one").folder
    out = os.open(folder / "out", os.O_RDONLY)
    with (folder / "in/file").open("rb") as file:
        place.look(is_alone=False)
        place.lay(tree("two"))
        place.clear()
        assert file.read() == b"one"
    with pytest.raises(FileNotFoundError):
        os.open("late", os.O_CREAT | os.O_WRONLY, dir_fd=out)
    os.close(out)


def inodes(folder: Path) -> dict[str, int]:
    return {path: (folder / path).lstat().st_ino for path in ("", "out", "in", "in/file", ".env")}


def held(folder: Path) -> list[int]:
    """Descriptors of all there, so that nothing else gets their numbers."""
    return [os.open(folder / path, os.O_RDONLY) for path in inodes(folder)]


def backdate(path: Path) -> None:
    os.utime(path, ns=(1, 1))


# What ordinary and other programs do to a tree, dates put back, so that only looking tells.
CHANGES_UNSEEN: dict[str, Callable[[Path], object]] = {
    "a file in an input": lambda folder: ((folder / "in/more").write_text("x"), backdate(folder / "in")),
    "a file beside the inputs": lambda folder: ((folder / "more").write_text("x"), backdate(folder)),
    "a file above": lambda folder: ((folder.parent / "more").write_text("x"), backdate(folder.parent)),
    "a file above that": lambda folder: ((folder.parents[1] / "more").write_text("x"), backdate(folder.parents[1])),
    "the same size": lambda folder: ((folder / "in/file").write_text("eno"), backdate(folder / "in/file")),
    "another file of the name": lambda folder: ((folder / "in/file").unlink(), (folder / "in/file").write_text("eno")),
    "an attribute of a folder": lambda folder: os.setxattr(folder / "in", "user.left", b"x"),
    "an attribute of out": lambda folder: os.setxattr(folder / "out", "user.left", b"x"),
    "an attribute of a file": lambda folder: os.setxattr(folder / "in/file", "user.left", b"x"),
    "rights for others in out": lambda folder: os.setxattr(folder / "out", "system.posix_acl_default", ACL),
    "a second name": lambda folder: os.link(folder / "in/file", folder.parents[3] / "kept"),
    "rights": lambda folder: (folder / "in").chmod(0o770),
    "the group": lambda folder: os.chown(folder / "in", -1, os.getgid() + 1),
    "many files in out": lambda folder: [(folder / f"out/{number}{'x' * 200}").touch() for number in range(99)],
}
ACL = bytes.fromhex("0200000001000700ffffffff04000500ffffffff20000500ffffffff")


@pytest.mark.parametrize("change", CHANGES_UNSEEN)
def test_a_folder_is_used_again_only_if_it_holds_exactly_what_was_laid_out(tmp_path: Path, place: DatumFolder, change: str) -> None:
    place.lay(tree("one"))
    folder = tmp_path / tree("one").folder
    before, descriptors = inodes(folder), held(folder)
    try:
        CHANGES_UNSEEN[change](folder)
    except PermissionError:
        pytest.skip("only root may do that")
    except OSError:
        pytest.skip("this file system has no attributes")
    left = place.look(is_alone=True)
    assert left.wrote == (change == "many files in out")
    place.lay(tree("two"))
    place.clear()
    after = inodes(tmp_path / tree("two").folder)
    assert not before.keys() & {path for path, inode in after.items() if inode in before.values()}
    assert found(tmp_path / tree("two").folder) == described(tree("two"))
    assert sorted(os.listdir(tmp_path / ".scratch/set")) in (["two"], ["kept", "two"])
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_folder_of_which_only_the_output_was_used_is_used_again(tmp_path: Path, place: DatumFolder) -> None:
    place.lay(tree("one"))
    folder = tmp_path / tree("one").folder
    before = inodes(folder)
    (folder / "out/d").mkdir()
    (folder / "out/d/result").write_text("x")
    place.look(is_alone=True)
    place.lay(tree("two"))
    assert inodes(tmp_path / tree("two").folder) == before
    assert found(tmp_path / tree("two").folder) == described(tree("two"))


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_folder_that_somebody_may_still_hold_is_made_afresh(tmp_path: Path, place: DatumFolder, is_alone: bool) -> None:
    place.lay(tree("one"))
    before, descriptors = inodes(tmp_path / tree("one").folder), held(tmp_path / tree("one").folder)
    place.look(is_alone=is_alone)
    if is_alone:
        place.look()  # a later look counts
    place.lay(tree("two"))
    assert set(before.values()).isdisjoint(inodes(tmp_path / tree("two").folder).values())
    for descriptor in descriptors:
        os.close(descriptor)


def test_output_whose_folder_has_an_old_date_is_seen(tmp_path: Path, place: DatumFolder) -> None:
    place.lay(tree("one"))
    out = tmp_path / tree("one").folder / "out"
    (out / "result").write_text("x")
    shutil.copystat(out.parent / "in", out)  # as cp -a and shutil.copytree do
    assert place.look(is_alone=True).wrote


def test_a_folder_that_cannot_be_looked_into_may_hold_output(tmp_path: Path, place: DatumFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    place.lay(tree("one"))
    (tmp_path / tree("one").folder / "out/result").write_text("x")
    look = os.open

    def open_few(path: str, *how: Any, **more: Any) -> int:
        if path == str(tmp_path / tree("one").folder):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return look(path, *how, **more)

    monkeypatch.setattr(os, "open", open_few)
    assert place.look(is_alone=True).wrote


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_tree_that_cannot_be_laid_out_leaves_nothing(tmp_path: Path, place: DatumFolder, is_alone: bool) -> None:
    good = Tree(".scratch/set/1/pfs/1", {"in": "x"}, [("in", 0o700)], [("in/a", b"a")])
    place.lay(good)
    place.look(is_alone=is_alone)
    with pytest.raises(FileNotFoundError):
        place.lay(good._replace(files=[("in/d/a", b"a")]))
    assert list((tmp_path / ".scratch/set").iterdir()) == []
    assert place.look() == TreeChanges()
    place.lay(good)
    assert place.look()._replace(unread=()) == TreeChanges()
