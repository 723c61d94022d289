"""Whatever stood in a place before, and whatever was done to it: a tree that is laid out is there as described, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.executors.tree import UNTOUCHED, Left, Place, Tree

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
        place = Place(home, "/pfs")
        (Path(home) / ".scratch").mkdir()
        for tree, reuse, held, harm in turns:
            place.lay(tree, reuse=reuse, held=held)
            folder = Path(home, tree.folder)
            assert found(folder) == described(tree)
            assert {name: os.readlink(Path(home, name)) for name in tree.links} == {n: f"/pfs/{at}" for n, at in tree.links.items()}
            assert sorted(os.listdir(home)) == sorted([".scratch", *tree.links])
            assert [path.name for path in (Path(home) / ".scratch/set").iterdir()] == [folder.name]
            assert place.look()._replace(unread=()) == UNTOUCHED
            HARMS[harm](folder)
            left = place.look()
            assert left.wrote == (harm in WRITES)
            assert (left.changed, left.gone) == CHANGES.get(harm, ((), ())) or harm in ("a link for a folder", "no folder at all")


def test_a_process_that_lives_on_keeps_what_it_has_open(tmp_path: Path) -> None:
    (tmp_path / ".scratch").mkdir()
    place = Place(str(tmp_path), "/pfs")

    def tree(name: str) -> Tree:
        folder = f".scratch/set/{name}/pfs/{name}"
        return Tree(folder, {}, [("out", 0o777), ("in", 0o700)], [("in/file", name.encode()), (".env", b"")])

    place.lay(tree("one"))
    folder = tmp_path / tree("one").folder
    out = os.open(folder / "out", os.O_RDONLY)
    with (folder / "in/file").open("rb") as file:
        place.lay(tree("two"), reuse=True, held=True)
        assert file.read() == b"one"
    with pytest.raises(FileNotFoundError):
        os.open("late", os.O_CREAT | os.O_WRONLY, dir_fd=out)
    os.close(out)


def test_what_a_process_that_lives_on_went_through_is_made_afresh_from_then_on(tmp_path: Path) -> None:
    (tmp_path / ".scratch").mkdir()
    place = Place(str(tmp_path), str(tmp_path))

    def lay(name: str) -> dict[str, int]:
        folder = f".scratch/set/{name}/pfs/{name}"
        links = {top: f"{folder}/{top}" for top in ("out", ".env", "in")}
        place.lay(Tree(folder, links, [("out", 0o777), ("in", 0o700)], [("in/a", name.encode())]), reuse=True, held=True)
        return {path: (tmp_path / folder / path).stat().st_ino for path in ("out", "in", "in/a")}

    def same(before: dict[str, int], after: dict[str, int]) -> set[str]:
        return {path for path in before if before[path] == after[path]}

    first = lay("1")
    if place.look().unread != ("in",):
        pytest.skip("this file system does not tell who went through a link")
    second = lay("2")
    assert same(first, second) == {"out", "in", "in/a"}
    (tmp_path / "in").resolve(strict=True)
    held = os.open(tmp_path / "in" / "a", os.O_RDONLY)  # so that no other file gets its number
    place.look()
    third = lay("3")
    assert same(second, third) == {"out", "in"}
    os.listdir(tmp_path / "out")
    place.look()
    assert os.read(held, 9) == b"2"
    os.close(held)
    held = os.open(tmp_path / ".scratch/set/3/pfs/3/in/a", os.O_RDONLY)
    inner = os.open(tmp_path / ".scratch/set/3/pfs/3/out", os.O_RDONLY)
    assert same(third, lay("4")) == {"in"}
    assert os.read(held, 9) == b"3"
    os.close(held)
    os.close(inner)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_tree_that_cannot_be_laid_out_leaves_nothing(tmp_path: Path, reuse: bool) -> None:
    (tmp_path / ".scratch").mkdir()
    place = Place(str(tmp_path), "/pfs")
    good = Tree(".scratch/set/1/pfs/1", {"in": "x"}, [("in", 0o700)], [("in/a", b"a")])
    place.lay(good)
    with pytest.raises(FileNotFoundError):
        place.lay(good._replace(files=[("in/d/a", b"a")]), reuse=reuse)
    assert list((tmp_path / ".scratch/set").iterdir()) == []
    assert place.look() == Left()
    place.lay(good)
    assert place.look()._replace(unread=()) == Left()


def test_a_folder_that_held_many_files_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / ".scratch").mkdir()
    place = Place(str(tmp_path), "/pfs")
    many = Tree(".scratch/set/1/pfs/1", {"in": "x"}, [("out", 0o777), ("in", 0o700)], [(f"in/{n}", b"") for n in range(200)])
    few = many._replace(folder=".scratch/set/2/pfs/2", files=[("in/a", b"a")])
    place.lay(many)
    held = os.open(tmp_path / many.folder / "in", os.O_RDONLY)  # so that no other gets its number
    place.look()
    place.lay(few, reuse=True)
    assert (tmp_path / few.folder / "in").stat().st_ino != os.fstat(held).st_ino
    os.close(held)
