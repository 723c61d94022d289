"""Below a folder that somebody else may change: nothing is reached through a link, and no depth is too deep."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner import beneath

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    descriptor = beneath.open_root(tmp_path / "root")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    yield descriptor
    assert not before or len(os.listdir("/proc/self/fd")) == before  # every descriptor is given back, also after an error
    os.close(descriptor)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a file that stays as it is, whatever is done."""
    folder = tmp_path / "outside"
    folder.mkdir(mode=0o751)
    (folder / "file").write_text("kept")
    return folder


def nest(folder: Path, depth: int, mode: int = 0o755) -> None:
    """Make folders in one another, and a file in the last; from the inside out, as the path of the last is too long for a system call."""
    here = os.open(folder, os.O_RDONLY)
    ways = [here]
    for _ in range(depth):
        os.mkdir("a", dir_fd=here)
        deeper = os.open("a", os.O_RDONLY, dir_fd=here)
        if mode == 0o755:
            os.close(here)
        else:
            ways.append(deeper)
        here = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    if mode == 0o755:
        os.close(here)
    for way in reversed(ways if mode != 0o755 else []):
        os.fchmod(way, mode)
        os.close(way)


@pytest.mark.parametrize("path", ["link", "link/deeper", "folder/link/x"])
def test_no_folder_is_opened_or_made_through_a_link(tmp_path: Path, root: int, outside: Path, path: str) -> None:
    (tmp_path / "root" / "link").symlink_to(outside)
    (tmp_path / "root" / "folder").mkdir()
    (tmp_path / "root" / "folder" / "link").symlink_to(outside)
    for reach in (beneath.open_folder, beneath.make_folders):
        with pytest.raises(OSError, match="a link on the way, which is not followed") as caught:
            reach(root, path)
        assert caught.value.errno == errno.ELOOP
    assert os.listdir(outside) == ["file"]


@pytest.mark.parametrize("path", ["..", "../outside", "a/../../outside", "a/.."])
def test_no_path_leads_up(tmp_path: Path, root: int, outside: Path, path: str) -> None:
    (tmp_path / "root" / "a").mkdir()
    for reach in (beneath.open_folder, beneath.make_folders, beneath.open_file, beneath.create_file):
        with pytest.raises(OSError, match="leads out of its folder"):
            reach(root, path)
    assert os.listdir(outside) == ["file"]


def test_an_absolute_path_is_one_below_the_root(tmp_path: Path, root: int) -> None:
    os.close(beneath.make_folders(root, "/a/b"))
    os.close(beneath.create_file(root, "/a/b/c"))
    assert (tmp_path / "root" / "a" / "b" / "c").is_file()


def test_a_file_is_neither_read_nor_made_nor_replaced_through_a_link(tmp_path: Path, root: int, outside: Path) -> None:
    place = tmp_path / "root"
    (place / "link").symlink_to(outside / "file")
    (place / "new").symlink_to(outside / "made")
    (place / "folder").symlink_to(outside)
    (place / "draft").write_text("new")
    with pytest.raises(OSError, match="a link on the way"):
        beneath.open_file(root, "link")
    for path in ("link", "new"):
        with pytest.raises(FileExistsError):
            beneath.create_file(root, path)
    for reach in (beneath.open_file, beneath.create_file):
        with pytest.raises(OSError, match="a link on the way"):
            reach(root, "folder/file")
    with pytest.raises(OSError, match="a link on the way"):
        beneath.replace(root, "draft", "folder/file")
    beneath.replace(root, "draft", "link")
    assert (place / "link").read_text() == "new"
    assert not (place / "link").is_symlink()
    assert (outside / "file").read_text() == "kept"
    assert os.listdir(outside) == ["file"]


def test_only_regular_files_are_read_and_no_pipe_is_waited_for(tmp_path: Path, root: int) -> None:
    os.mkfifo(tmp_path / "root" / "pipe")
    (tmp_path / "root" / "folder").mkdir()
    for path in ("pipe", "folder"):
        with pytest.raises(OSError, match="no regular file"):
            beneath.open_file(root, path)


def test_a_walk_lists_everything_once_and_shows_links_as_links(tmp_path: Path, root: int, outside: Path) -> None:
    place = tmp_path / "root"
    (place / "b" / "c").mkdir(parents=True)
    (place / "b" / "c" / "file").write_text("x")
    (place / "b" / "d").symlink_to(outside)
    (place / "a").write_text("y")
    found = {}
    for entry in beneath.walk(root):
        found[entry.path] = entry.is_folder
        if entry.path == "b/c/file":
            os.close(entry.open())
        if entry.path == "b/d":
            with pytest.raises(OSError, match="a link"):
                entry.open()
    assert found == {"a": False, "b": True, "b/c": True, "b/c/file": False, "b/d": False}
    assert list(found) == sorted(found)


@pytest.mark.parametrize("depth", [1_500, 20_000])
def test_depth_stops_neither_a_walk_nor_a_removal(tmp_path: Path, root: int, depth: int, request: pytest.FixtureRequest) -> None:
    # What is left of a failure would poison pytest, which removes its folders by recursion.
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", str(tmp_path / "root")], check=True))
    nest(tmp_path / "root", depth)
    longest = 0
    for number, entry in enumerate(beneath.walk(root), 1):
        longest = max(longest, len(entry.path))
        if number > 3_000:
            break
    assert longest >= min(2 * depth, 6_000)
    beneath.remove_tree(root, "a")
    assert os.listdir(root) == []


@pytest.mark.parametrize("mode", [0, 0o400, 0o100, 0o500])
def test_modes_stop_no_removal_by_their_owner(tmp_path: Path, mode: int) -> None:
    """As somebody who is not root: root is stopped by none."""
    os.chmod(tmp_path, 0o777)
    for parent in tmp_path.parents:
        if AS_NOBODY and parent.stat().st_uid == os.getuid() and str(parent).startswith("/tmp/") and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o11)
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import os; from pathlib import Path; from tests.test_beneath import nest; from local_runner import beneath\n"
        f"folder = Path(sys.argv[1], 'mine'); folder.mkdir(); nest(folder, 40, {mode}); beneath.remove(folder); print(folder.exists())"
    )
    given = [str(tmp_path), str(Path(__file__).parents[1]), *(path for path in sys.path if path)]
    done = subprocess.run([*AS_NOBODY, sys.executable, "-c", program, *given], capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr and "can't open" in done.stderr:
        pytest.skip("nobody may read this Python")
    assert done.stdout == "False\n", done.stderr


def test_what_can_be_removed_is_also_beside_what_cannot(tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "root" / "a"
    (place / "b").mkdir(parents=True)
    for name in ("x", "y", "z"):
        (place / "b" / name).touch()
        (place / name).touch()
    unlink = os.unlink

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        if path == "y":
            raise OSError(errno.EPERM, "it is immutable", path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(OSError, match="it is immutable"):
        beneath.remove_tree(root, "a")
    monkeypatch.undo()
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*")) == ["b", "b/y", "y"]


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path, root: int, outside: Path) -> None:
    (tmp_path / "root" / "link").symlink_to(outside)
    (tmp_path / "root" / "a").mkdir()
    (tmp_path / "root" / "a" / "link").symlink_to(outside)
    beneath.remove_tree(root, "link")
    beneath.remove_tree(root, "a")
    with pytest.raises(FileNotFoundError):
        beneath.remove_tree(root, "a")
    assert os.listdir(root) == []
    assert (outside / "file").read_text() == "kept"


def test_whoever_swaps_folders_for_links_meanwhile_loses_nothing_outside(tmp_path: Path, root: int, outside: Path) -> None:
    """Not even the mode of the folder outside changes. What stays then is an error, or removed by the next try."""
    place, over = tmp_path / "root" / "a", threading.Event()

    def swap() -> None:
        number = 0
        while not over.is_set():
            number += 1
            for name in ("b", "c"):
                try:
                    os.rename(place / name, tmp_path / f"gone-{number}-{name}")
                    os.symlink(outside, place / name)
                except OSError:
                    continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(300):
            for name in ("b", "c"):
                try:
                    os.close(beneath.make_folders(root, f"a/{name}/d"))
                    os.close(beneath.create_file(root, f"a/{name}/file"))
                    made = beneath.open_folder(root, f"a/{name}")
                    os.fchmod(made, 0)
                    os.close(made)
                except OSError:
                    continue
            try:
                beneath.remove_tree(root, "a")
            except OSError:
                continue
    finally:
        over.set()
        swapper.join()
    assert os.listdir(outside) == ["file"]
    assert outside.stat().st_mode & 0o777 == 0o751


def test_a_link_that_takes_the_place_of_a_closed_folder_opens_nothing(root: int, tmp_path: Path, outside: Path) -> None:
    """As the owner of the folder would find when he makes it writable again; root never has to."""
    (tmp_path / "root" / "link").symlink_to(outside)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels|not supported"):
        beneath._unlock(root, "link")
    assert outside.stat().st_mode & 0o777 == 0o751


def test_a_folder_that_is_moved_out_in_the_middle_leads_nobody_after_it(tmp_path: Path, root: int, outside: Path) -> None:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "b" / "c").touch()
    walk = beneath.walk(root)
    assert [next(walk).name for _ in range(3)] == ["a", "b", "c"]
    os.rename(tmp_path / "root" / "a" / "b", outside / "b")
    with pytest.raises(OSError, match="was moved away"):
        next(walk)


def test_no_more_descriptors_are_open_than_a_process_may_have(tmp_path: Path, root: int) -> None:
    nest(tmp_path / "root", 200)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        assert sum(1 for _ in beneath.walk(root)) == 201
        beneath.remove_tree(root, "a")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
