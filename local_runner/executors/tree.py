"""A datum's folder: made from a description, looked over when the command has ended, and cleared away.

The launcher uses it, which wants to be there in 10 ms: so it imports next to nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from local_runner import beneath

# A folder that held more is not used again: on ext4 it keeps the size it grew to.
_MOST_ENTRIES = 100
# Files and folders are dated back by this: a file system's clock ticks every 4 ms, and what is changed in the same tick must look so.
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
    that were laid out and are no longer there. `unread` are names in `/pfs` that nobody went through, where that can be told.
    """

    wrote: bool = False
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


UNTOUCHED = Left()


class Place:
    """A worker's `/pfs`, with at most one datum's tree.

    `path` is where it is found, `root` what user code calls it, and `scratch` where `.scratch` is found, if not in `path`.
    """

    def __init__(self, path: str, root: str, scratch: str = "") -> None:
        self._path, self._root, self._scratch = path, root, scratch or f"{path}/.scratch"
        self._tree = Tree()
        self._stamps: dict[str, tuple[int, int]] = {}  # of the files laid out: time of modification in ns, size
        self._written = 0  # time of modification of the folders laid out, in ns
        self._is_clean = False  # nothing was done to the tree, as far as anybody looked
        self._unentered: tuple[str, ...] = ()  # names in `/pfs` that nobody went through, as far as that can be told
        self._entered: set[str] = set()  # those that somebody went through, now or before: their folders may be held since
        self._tells_reads: bool | None = None  # whether links remember that somebody went through them; None: not tried yet

    def lay(self, tree: Tree, *, reuse: bool = False, held: bool = False) -> None:
        """Replace what stands here by a tree. Raises OSError, and then nothing stands here.

        With `reuse`, folders and files may be those of the tree before, emptied, renamed and written over: on ext4, making and removing
        the five folders and two files of a small datum takes 450 µs of processor time and waits for as much again (without a journal
        thrice that, after thousands), this takes 60. Only where nothing is left that may hold on to them; or with `held`, by which
        `out` and inputs are made afresh unless nobody went there (a new `out` alone is 100 µs).
        """
        before, stamps, is_clean = self._tree, self._stamps, self._is_clean
        kept = {".env", *self._unentered} - self._entered if held else {".env", *before.links}
        self._tree, self._stamps, self._is_clean, self._unentered = Tree(), {}, False, ()
        reuse = reuse and bool(before.folder and tree.folder) and before.folders == tree.folders and len(stamps) <= _MOST_ENTRIES
        spares = [path for path in stamps if path.partition("/")[0] in kept]
        others = stamps.keys() - spares if is_clean else None
        reused = reuse and self._take_over(before, tree, spares, others, new_out="out" not in kept)
        if before.folder and not reused:
            remove_left(self._own(before))
        try:
            if tree.folder:
                if not reused:
                    self._make(tree)
                self._written = time.time_ns() - _BACK_NS
                self._fill(tree, {path: stamps[path][1] if is_clean else sys.maxsize for path in spares} if reused else {})
                self._date(tree)
            self._link(tree.links)
        except OSError:
            if tree.folder:
                remove_left(self._own(tree))
            raise
        self._tree = tree

    def look(self) -> Left:
        """What became of the tree. The next `lay` goes by this: nothing may be done to the tree in between."""
        if not self._tree.folder:
            return UNTOUCHED
        names = [name for name in self._tree.links if name != ".env"] if self._tells_reads else []
        self._unentered = tuple(name for name in names if _was_not_followed(f"{self._path}/{name}"))
        self._entered |= self._tree.links.keys() - {"out", ".env", *self._unentered}
        unread = tuple(name for name in self._unentered if name != "out")
        if self._is_untouched():
            self._is_clean = True
            return Left(unread=unread)
        seen = _Look(self._tree, dict(self._stamps), os.geteuid())
        seen.into(self._at(self._tree.folder), 0o777)
        self._is_clean = seen.is_clean and not (seen.changed or seen.unseen or seen.unvisited)
        return Left(seen.wrote, tuple(seen.changed), tuple(seen.unseen), unread)

    def _is_untouched(self) -> bool:
        """Whether nothing was changed, by the looks of it from outside: half of what it takes to go in, where nobody has been."""
        folder, owner = self._at(self._tree.folder), os.geteuid()
        try:
            for path, mode in (("", 0o777), *self._tree.folders):
                status = os.lstat(f"{folder}/{path}")
                if status.st_mtime_ns != self._written or not _is_own_folder(status, mode, owner):
                    return False
            for path, stamp in self._stamps.items():
                status = os.lstat(f"{folder}/{path}")
                if (status.st_mtime_ns, status.st_size) != stamp or not _is_own_file(status, owner):
                    return False
        except OSError:
            return False
        return True

    def _at(self, below: str) -> str:
        """The path of something in `.scratch`, where every tree is."""
        return self._scratch + below.removeprefix(".scratch")

    def _own(self, tree: Tree) -> str:
        return self._at(tree.folder.rsplit("/", 2)[0])

    def _make(self, tree: Tree) -> None:
        own, folder = self._own(tree), self._at(tree.folder)
        os.makedirs(os.path.dirname(own), exist_ok=True)
        for made_now in (own, os.path.dirname(folder), folder):
            os.mkdir(made_now)
        for path, mode in tree.folders:
            os.mkdir(f"{folder}/{path}", mode)

    def _take_over(self, before: Tree, tree: Tree, spares: list[str], others: Iterable[str] | None, *, new_out: bool) -> bool:
        """Make the folders of the tree before, emptied but for `spares`, those of this one; False if they are not as they were made.

        `others` are the other files there; None if that is not known.
        """
        folder, new = self._at(before.folder), self._at(tree.folder)
        try:
            for path in others or ():
                os.unlink(f"{folder}/{path}")
            if others is None and not _clean(folder, before, spares):
                return False
            if new_out:
                remove_folder(f"{folder}/out")
            os.rename(folder, f"{os.path.dirname(folder)}/{os.path.basename(new)}")
            os.rename(self._own(before), self._own(tree))
            if new_out:
                os.mkdir(f"{new}/out", dict(tree.folders)["out"])
        except OSError:
            return False
        return True

    def _fill(self, tree: Tree, spares: Mapping[str, int]) -> None:
        """Write its files: over the spare one of the same name, else over any, else new ones; spares that are left go.

        A spare's size may be told too large.
        """
        folder = self._at(tree.folder)
        written = self._written
        names = {path for path, _ in tree.files}
        free = [path for path in spares if path not in names]
        for path, content in tree.files:
            target, size = f"{folder}/{path}", 0
            spare = path if path in spares else free.pop() if free else ""
            if spare:
                size = spares[spare]
                if spare != path:
                    os.rename(f"{folder}/{spare}", target)
            how = os.O_WRONLY | os.O_CLOEXEC | (0 if spare else os.O_CREAT | os.O_EXCL)
            descriptor = os.open(target, how, 0o666)
            try:
                if os.write(descriptor, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
                if size > len(content):
                    os.ftruncate(descriptor, len(content))
                os.utime(descriptor, ns=(written, written))
            finally:
                os.close(descriptor)
            self._stamps[path] = written, len(content)
        for path in free:
            os.unlink(f"{folder}/{path}")
        for path, source, keeps_name in tree.brought:
            target = f"{folder}/{path}"
            if keeps_name:
                os.link(self._at(source), target)
            else:
                os.rename(self._at(source), target)
                os.utime(target, ns=(written, written))
                self._stamps[path] = written, os.stat(target).st_size

    def _date(self, tree: Tree) -> None:
        """Let every folder look as old as the files, so that it shows when something comes or goes in it."""
        folder = self._at(tree.folder)
        for path in ("", *(path for path, _ in tree.folders)):
            os.utime(f"{folder}/{path}", ns=(self._written, self._written))

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
            link = f"{self._path}/{name}"
            os.symlink(f"{self._root}/{target}", link)
            if name != ".env" and self._tells_reads is not False:
                _forget_reads(link)
                if self._tells_reads is None:
                    self._tells_reads = _notes_reads(link)


def _was_not_followed(link: str) -> bool:
    try:
        status = os.lstat(link)
    except OSError:
        return False
    return status.st_atime_ns == 0 and stat.S_ISLNK(status.st_mode)


def _notes_reads(link: str) -> bool:
    """Whether going through a link shows in its time of access; leaves it as it was."""
    os.path.exists(link)
    noted = not _was_not_followed(link)
    _forget_reads(link)
    return noted


def _forget_reads(link: str) -> None:
    """Make its time of access older than its change: then the next access is noted down even where most are not (relatime)."""
    os.utime(link, ns=(0, time.time_ns()), follow_symlinks=False)


def remove_folder(folder: str) -> None:
    """Remove it with all below, even where user code left folders that nobody may write to or look into. Raises OSError.

    What the path `folder` leads to must be the caller's; what lies in there may be anything, and anybody may be changing it.
    """
    beneath.remove(folder)


def remove_left(folder: str) -> None:
    """As `remove_folder`; what cannot be removed stays, for whoever clears the place as a whole."""
    try:
        remove_folder(folder)
    except OSError:
        return


class _Look:
    """Goes through a tree. `is_clean` is whether everything there is as it was made."""

    def __init__(self, tree: Tree, stamps: dict[str, tuple[int, int]], owner: int) -> None:
        self._tops = tree.links.keys()
        self._owner = owner
        self.unvisited = dict(tree.folders)
        self.unseen = stamps
        self.changed: list[str] = []
        self.wrote = False
        self.is_clean = True

    def into(self, folder: str, mode: int | None, path: str = "") -> None:
        """Look at a folder that was made with a mode, or not by us, and at all below; what cannot be read is gone for us, too."""
        try:
            self.is_clean = self.is_clean and mode is not None and _is_own_folder(os.lstat(folder), mode, self._owner)
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._at(entry, f"{path}/{entry.name}" if path else entry.name)
        except OSError:
            self.is_clean = False

    def _at(self, entry: os.DirEntry[str], path: str) -> None:
        if path == "out":
            self.wrote = _holds_anything(entry.path)
            self.is_clean = self.is_clean and not self.wrote and _is_own_folder(os.lstat(entry.path), self.unvisited.pop(path), self._owner)
        elif "/" not in path and path not in self._tops:
            self.is_clean = False
        elif entry.is_dir(follow_symlinks=False):
            self.into(entry.path, self.unvisited.pop(path, None), path)
        else:
            self._at_file(entry, path)

    def _at_file(self, entry: os.DirEntry[str], path: str) -> None:
        status = entry.stat(follow_symlinks=False)
        self.is_clean = self.is_clean and _is_own_file(status, self._owner)
        if stat.S_ISREG(status.st_mode) and self.unseen.pop(path, None) != (status.st_mtime_ns, status.st_size):
            self.changed.append(path)


def _is_own_folder(status: os.stat_result, mode: int, owner: int) -> bool:
    return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == mode & 0o755 and status.st_uid == owner


def _is_own_file(status: os.stat_result, owner: int) -> bool:
    """Whether it is a regular file that has no other name and whose rights nobody changed."""
    return status.st_mode == stat.S_IFREG | 0o644 and status.st_nlink == 1 and status.st_uid == owner


def _clean(folder: str, tree: Tree, spares: list[str]) -> bool:
    """Remove all but its folders and `spares`, of which only files that are as they were made stay.

    False for a folder that is another's, or grew, or has other rights than it was given. Raises OSError.
    """
    owner = os.geteuid()
    spares[:] = [path for path in spares if os.path.lexists(f"{folder}/{path}") and _is_own_file(os.lstat(f"{folder}/{path}"), owner)]
    known = {*spares, *(path for path, _ in tree.folders)}
    for path, mode in (("", 0o777), *tree.folders):
        here = f"{folder}/{path}" if path else folder
        if not _is_own_folder(os.lstat(here), mode, owner):
            return False
        with os.scandir(here) as entries:
            for number, entry in enumerate(entries):
                if number > _MOST_ENTRIES:
                    return False
                if (f"{path}/{entry.name}" if path else entry.name) in known:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    remove_folder(entry.path)
                else:
                    os.unlink(entry.path)
    return True


def _holds_anything(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except NotADirectoryError:
        return True
    except OSError as why:
        return not isinstance(why, FileNotFoundError)
