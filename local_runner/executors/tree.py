"""A datum's folder: made from a description, looked over when the command has ended, and cleared away.

The launcher uses it, which wants to be there in 10 ms: so it imports next to nothing.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

# A folder that held more is not used again: on ext4 it keeps the size it grew to.
_MOST_ENTRIES = 100
# Files are dated back by this: a file system's clock ticks every 4 ms, and what is written in the same tick must look changed.
_BACK_NS = 20_000_000


class Tree(NamedTuple):
    """What stands in `/pfs` while a datum is active (reference pps 3.1). Plain values only: it goes through a socket.

    `folder` is the datum's own, relative to `/pfs` (`.scratch/<set>/<id>/pfs/<id>`); `links` are the names in `/pfs`: name -> path
    relative to `/pfs`. In the folder stand `folders` (path, mode), parents first, and `files` (path, content). `brought` are files
    and pipes that somebody else made: path, where it is (relative to `/pfs`), whether it keeps that name beside the new one.
    The empty tree is an empty `/pfs`.
    """

    folder: str = ""
    links: Mapping[str, str] = {}  # nobody writes to it
    folders: Sequence[tuple[str, int]] = ()
    files: Sequence[tuple[str, bytes]] = ()
    brought: Sequence[tuple[str, str, bool]] = ()


class Left(NamedTuple):
    """What a command left of a tree; paths are relative to its folder.

    `wrote` says whether anything is in `out`. `changed` are other regular files that are new or not what was laid out, `gone` those
    that were laid out and are no longer there.
    """

    wrote: bool = False
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


UNTOUCHED = Left()


class Place:
    """A worker's `/pfs`, with at most one datum's tree.

    `path` is where it is found, `root` what user code calls it, and `scratch` where `.scratch` is found, if not in `path`.
    """

    def __init__(self, path: str, root: str, scratch: str = "") -> None:
        self._path, self._root, self._scratch = path, root, scratch or f"{path}/.scratch"
        self._tree = Tree()
        self._stamps: dict[str, tuple[int, int]] = {}  # of the files laid out: time of modification in ns, size

    def lay(self, tree: Tree, *, reuse: bool = False, afresh: Sequence[str] = ()) -> None:
        """Replace what stands here by a tree. Raises OSError, and then nothing stands here.

        With `reuse` its folders may be those of the tree before, emptied and renamed: on ext4, making and removing the five of a small
        datum takes 450 µs of processor time and waits for as much again, this takes 60. Only where nothing can be left that holds on to
        them; what something may hold on to is made `afresh`.
        """
        before, self._tree, self._stamps = self._tree, Tree(), {}
        both = bool(before.folder and tree.folder)
        reused = reuse and both and before.folders == tree.folders and self._take_over(before, tree, afresh)
        if before.folder and not reused:
            remove_left(self._own(before))
        try:
            if tree.folder:
                if not reused:
                    self._make(tree)
                self._fill(tree)
            self._link(tree.links)
        except OSError:
            if tree.folder:
                remove_left(self._own(tree))
            raise
        self._tree = tree

    def look(self) -> Left:
        """What became of the tree."""
        if not self._tree.folder:
            return UNTOUCHED
        top, unseen, changed = self._at(self._tree.folder), dict(self._stamps), []
        for path, status in _files_in(top, [name for name in self._tree.links if name != "out"]):
            if unseen.pop(path, None) != (status.st_mtime_ns, status.st_size):
                changed.append(path)
        return Left(_holds_anything(f"{top}/out"), tuple(changed), tuple(unseen))

    def _at(self, below: str) -> str:
        """The path of something in `.scratch`, where every tree is."""
        return self._scratch + below.removeprefix(".scratch")

    def _own(self, tree: Tree) -> str:
        return self._at(os.path.dirname(os.path.dirname(tree.folder)))

    def _make(self, tree: Tree) -> None:
        own, folder = self._own(tree), self._at(tree.folder)
        os.makedirs(os.path.dirname(own), exist_ok=True)
        for made_now in (own, os.path.dirname(folder), folder):
            os.mkdir(made_now)
        for path, mode in tree.folders:
            os.mkdir(f"{folder}/{path}", mode)

    def _take_over(self, before: Tree, tree: Tree, afresh: Sequence[str]) -> bool:
        """Make the folders of the tree before, emptied, those of this one; False if they are not as they were made."""
        folder, new = self._at(before.folder), self._at(tree.folder)
        kept = [("", 0o777), *((path, mode) for path, mode in before.folders if path not in afresh)]
        known = {path for path, _ in kept}
        try:
            for path, mode in kept:
                if not _empty(f"{folder}/{path}" if path else folder, mode, path, known):
                    return False
            os.rename(folder, f"{os.path.dirname(folder)}/{os.path.basename(new)}")
            os.rename(self._own(before), self._own(tree))
            for path, mode in tree.folders:
                if path in afresh:
                    os.mkdir(f"{new}/{path}", mode)
        except OSError:
            return False
        return True

    def _fill(self, tree: Tree) -> None:
        folder = self._at(tree.folder)
        written = time.time_ns() - _BACK_NS
        for path, content in tree.files:
            descriptor = os.open(f"{folder}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                os.write(descriptor, content)
                os.utime(descriptor, ns=(written, written))
            finally:
                os.close(descriptor)
            self._stamps[path] = written, len(content)
        for path, source, keeps_name in tree.brought:
            target = f"{folder}/{path}"
            if keeps_name:
                os.link(self._at(source), target)
            else:
                os.rename(self._at(source), target)
                os.utime(target, ns=(written, written))
                self._stamps[path] = written, os.stat(target).st_size

    def _link(self, links: Mapping[str, str]) -> None:
        """Make `links` all that stands in `/pfs` but `.scratch`; they are absolute, as on a cluster."""
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name == ".scratch":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    remove_folder(entry.path)
                else:
                    os.unlink(entry.path)
        for name, target in links.items():
            os.symlink(f"{self._root}/{target}", f"{self._path}/{name}")


def remove_folder(folder: str) -> None:
    """Remove it with all below, even where user code left folders that nobody may write to or look into. Raises OSError.

    60 µs for a small one, where shutil.rmtree takes 130. Nobody else may be changing it: links are not followed, but a folder that
    becomes one in the middle would be.
    """
    try:
        _remove(folder)
    except PermissionError:
        os.chmod(folder, 0o700)
        for parent, names, _ in os.walk(folder):
            for name in names:
                if not os.path.islink(path := os.path.join(parent, name)):
                    os.chmod(path, 0o700)
        _remove(folder)


def remove_left(folder: str) -> None:
    """As `remove_folder`; what cannot be removed stays, for whoever clears the place as a whole."""
    try:
        remove_folder(folder)
    except OSError:
        return


def _remove(folder: str) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


def _empty(folder: str, mode: int, path: str, known: set[str]) -> bool:
    """Remove everything but known folders; False for a folder that is another's, or grew, or whose mode is not what it was."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != mode & 0o755 or status.st_uid != os.geteuid():
        return False
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number > _MOST_ENTRIES:
                return False
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif (f"{path}/{entry.name}" if path else entry.name) not in known:
                remove_folder(entry.path)
    return True


def _files_in(top: str, names: Sequence[str]) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files of these names and below them, by their path relative to `top`; links are not followed."""
    for name in names:
        path = f"{top}/{name}"
        try:
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                yield name, status
            elif stat.S_ISDIR(status.st_mode):
                with os.scandir(path) as entries:
                    below = [f"{name}/{entry.name}" for entry in entries]
                yield from _files_in(top, below)
        except OSError:
            continue  # it cannot be read, so it is gone for us, too


def _holds_anything(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except NotADirectoryError:
        return True
    except OSError as why:
        return not isinstance(why, FileNotFoundError)
