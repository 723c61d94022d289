"""Lays out a datum's folder, compares it with its description after the command, and clears it away.

The launcher uses it, which wants to be there in 10 ms: so it imports next to nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from local_runner import beneath

# An `out` that holds more is removed as a whole: on ext4 a folder keeps the size it grew to.
_MOST_ENTRIES = 100
_TICK = 0.011  # seconds: a file system's clock ticks at least that often
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS of linux/fs.h, on machines of 64 bits


class Tree(NamedTuple):
    """The description of `/pfs` while a datum is active (reference pps 3.1). Plain values only: it goes through a socket.

    `folder` is the datum's own, relative to `/pfs` (`.scratch/<set>/<id>/pfs/<id>`); `links` are the names in `/pfs`: name -> path
    relative to `/pfs`. In the folder stand `folders` (path, mode), parents first, and `files` (path, content). `brought` are files
    and pipes that somebody else made: path, where it is (relative to `/pfs`), whether it keeps that name beside the new one.
    The empty tree is an empty `/pfs`.
    """

    folder: str = ""
    links: Mapping[str, str] = {}  # never written to
    folders: Sequence[tuple[str, int]] = ()
    files: Sequence[tuple[str, bytes]] = ()
    brought: Sequence[tuple[str, str, bool]] = ()


class TreeChanges(NamedTuple):
    """How a command changed a tree; paths are relative to its folder.

    `wrote` says whether anything is in `out`. `changed` are other regular files that are new or not what was laid out, `gone` those
    that were laid out and are no longer there. `unread` are inputs whose link was never followed (told by its time of access).
    """

    wrote: bool = False
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


UNTOUCHED = TreeChanges()


class DatumFolder:
    """A worker's `/pfs`, with at most one datum's tree.

    `path` is where it is found, `root` what user code calls it, and `scratch` where `.scratch` is found, if not in `path`.

    What became of a tree is looked up: every folder is listed, every file that was written here is read and compared. Nothing is
    concluded from a date that user code can set.
    """

    def __init__(self, path: str, root: str, scratch: str = "") -> None:
        self._path, self._root, self._scratch = path, root, scratch or f"{path}/.scratch"
        self._tree = Tree()
        self._brought: dict[str, _Status] = {}  # of the files of the tree that were made elsewhere
        self._made = Made()
        self._former: list[str] = []  # datums' own folders that are to be removed
        self._is_as_laid = False  # the last look found exactly what was laid out, and no process was left to change it
        self._tells_reads: bool | None = None  # whether following a link changes its time of access; None: not tried yet

    def at(self, below: str) -> str:
        """The path of an entry of `.scratch`, where every tree lies."""
        return self._scratch + below.removeprefix(".scratch")

    def lay(self, tree: Tree) -> None:
        """Replace what stands here by a tree. Raises OSError, and then nothing stands here.

        Folders and files of the tree before become those of this one if the last look, at a moment when no process was left, found
        exactly what had been laid out, but for what stands in `out`: on ext4, making and removing the five folders and two files of
        a small datum takes 450 µs of processor time and waits for as much again, this takes 60.
        """
        before, reusable = self._tree, self._is_as_laid
        self._tree, self._brought, self._is_as_laid = Tree(), {}, False
        spares: list[str] | None = None
        if reusable and before.folder and tree.folder and before.folders == tree.folders:
            spares = self._take_over(before, tree)
        if before.folder and spares is None:
            self._former.append(self._own(before))
        if tree.folder and self._own(tree) in self._former:  # the same datum again
            self.clear()
        try:
            if tree.folder:
                if spares is None:
                    self._make(tree)
                self._fill(tree, spares or [])
                self._bring(tree)
            self._link(tree.links)
        except OSError:
            if tree.folder:
                remove_leftover(self._own(tree))
            raise
        self._tree = tree

    def clear(self) -> None:
        """Remove the remains of former trees; called after `lay`, when no command waits."""
        former, self._former = self._former, []
        for own in former:
            remove_leftover(own)

    def look(self, *, is_alone: bool = False) -> TreeChanges:
        """Compare the folder with its tree. `is_alone` says that no process is left that could change it from now on: only then is the tree
        used again, and only then is everything about it looked at that a later datum could see.
        """
        self._is_as_laid = False
        if not self._tree.folder:
            return UNTOUCHED
        names = [name for name in self._tree.links if name not in (".env", "out")] if self._tells_reads else []
        unread = tuple(name for name in names if _was_not_followed(f"{self._path}/{name}"))
        seen = Look(self._tree, self._brought, self._made if is_alone else None)
        seen.own(self._own(self._tree))
        self._is_as_laid = is_alone and seen.is_as_laid
        return TreeChanges(seen.wrote, tuple(seen.changed), tuple(seen.missing), unread)

    def _own(self, tree: Tree) -> str:
        return self.at(tree.folder.rsplit("/", 2)[0])

    def _make(self, tree: Tree) -> None:
        own, folder = self._own(tree), self.at(tree.folder)
        os.makedirs(os.path.dirname(own), exist_ok=True)
        for made_now in (own, os.path.dirname(folder), folder):
            os.mkdir(made_now)
        for path, mode in tree.folders:
            os.mkdir(f"{folder}/{path}", mode)
        self._made.note_folder(own)

    def _take_over(self, before: Tree, tree: Tree) -> list[str] | None:
        """Make the folders of the tree before those of this one, with `out` emptied; returns its files, to be written over.

        None if that cannot be.
        """
        folder, new = self.at(before.folder), self.at(tree.folder)
        try:
            if not _empty(f"{folder}/out"):
                return None
            for path, _, _ in before.brought:
                os.unlink(f"{folder}/{path}")
            for path in ("", *(path for path, _ in tree.folders)):
                os.utime(f"{folder}/{path}")
            os.rename(folder, f"{os.path.dirname(folder)}/{os.path.basename(new)}")
            os.rename(self._own(before), self._own(tree))
        except OSError:
            return None
        return [path for path, _ in before.files]

    def _fill(self, tree: Tree, spares: list[str]) -> None:
        """Write its files: over the spare one of the same name, else over any, else new ones; spares that are left go."""
        folder = self.at(tree.folder)
        names = {path for path, _ in tree.files}
        free = [path for path in spares if path not in names]
        kept = names.intersection(spares)
        for path, content in tree.files:
            target = f"{folder}/{path}"
            is_spare = path in kept or bool(free)
            if path not in kept and free:
                os.rename(f"{folder}/{free.pop()}", target)
            how = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if is_spare else os.O_CREAT | os.O_EXCL)
            descriptor = os.open(target, how, 0o666)
            try:
                if os.write(descriptor, content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
                if not is_spare:
                    self._made.note_file(descriptor)
            finally:
                os.close(descriptor)
        for path in free:
            os.unlink(f"{folder}/{path}")

    def _bring(self, tree: Tree) -> None:
        """Put the files and pipes that were made elsewhere where they belong."""
        folder = self.at(tree.folder)
        for path, source, keeps_name in tree.brought:
            target = f"{folder}/{path}"
            if keeps_name:
                os.link(self.at(source), target)
            else:
                os.rename(self.at(source), target)
        if tree.brought:
            # Clocks of file systems tick every 1 to 10 ms: whatever is changed from now on has a later time of change.
            time.sleep(_TICK)
            self._brought = {path: _status_of(os.lstat(f"{folder}/{path}")) for path, _, _ in tree.brought}

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
            if name not in (".env", "out") and self._tells_reads is not False:
                _forget_reads(link)
                if self._tells_reads is None:
                    self._tells_reads = _notes_reads(link)


class Made:
    """The attributes of newly made folders and files; one that differs is not used for another datum."""

    def __init__(self) -> None:
        self._folder: _Marks | None = None
        self._file: _Marks | None = None
        self._size = 0  # of an empty folder: on ext4 one keeps the size it grew to

    def note_folder(self, path: str) -> None:
        if self._folder is None:
            with _opened_folder(path) as descriptor:
                self._folder, self._size = _marks_of(descriptor), os.fstat(descriptor).st_size

    def note_file(self, descriptor: int) -> None:
        if self._file is None:
            self._file = _marks_of(descriptor)

    def is_folder(self, descriptor: int, status: os.stat_result, mode: int) -> bool:
        """Whether an open folder, made with a mode, is as it was made."""
        return (
            stat.S_IMODE(status.st_mode) == mode & 0o755
            and (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
            and status.st_size <= max(self._size, 4096)
            and _marks_of(descriptor) == self._folder
        )

    def is_file(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether an open file is as it was made, whatever its content."""
        return (
            status.st_mode == stat.S_IFREG | 0o644
            and status.st_nlink == 1
            and (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
            and _marks_of(descriptor) == self._file
        )


class Look:
    """Compares a datum's folder with its tree."""

    def __init__(self, tree: Tree, brought: Mapping[str, _Status], made: Made | None) -> None:
        """With `made`, `is_as_laid` says whether everything is exactly as it was made, `out` aside."""
        self._tops = tree.links.keys()
        self._folders = dict(tree.folders)
        self._contents = dict(tree.files)
        self._brought = brought
        self._made = made
        self._name = tree.folder.rsplit("/", 1)[1]
        regular = [path for path, status in brought.items() if stat.S_ISREG(status.mode)]
        self.missing = dict.fromkeys([*self._contents, *regular])
        self._seen = 0
        self.changed: list[str] = []
        self.wrote = False
        self.is_as_laid = made is not None

    def own(self, own: str) -> None:
        """Compare a datum's folder and everything below; what cannot be read counts as gone."""
        if self._made is not None:
            self._is_only(own, "pfs")
            self._is_only(f"{own}/pfs", self._name)
        todo = [(f"{own}/pfs/{self._name}", "")]
        while todo:
            folder, path = todo.pop()
            try:
                todo += self._into(folder, path)
            except OSError:
                self.is_as_laid = False
        if self._seen != len(self._folders) + len(self._contents) + len(self._brought):
            self.is_as_laid = False

    def _is_only(self, folder: str, name: str) -> None:
        """Note whether a folder holds one entry and is as it was made."""
        try:
            with _opened_folder(folder) as descriptor:
                if os.listdir(descriptor) != [name] or not self._is_own(descriptor, 0o777):
                    self.is_as_laid = False
        except OSError:
            self.is_as_laid = False

    def _into(self, folder: str, path: str) -> list[tuple[str, str]]:
        """The subfolders to compare next."""
        below = []
        with _opened_folder(folder) as descriptor:
            if path and (mode := self._folders.get(path)) is not None:
                self._seen += 1
                if not self._is_own(descriptor, mode):
                    self.is_as_laid = False
            elif path or not self._is_own(descriptor, 0o777):
                self.is_as_laid = False
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = f"{path}/{entry.name}" if path else entry.name
                    if name == "out":
                        self._look_at_out(f"{folder}/out")
                    elif not path and name not in self._tops:
                        self.is_as_laid = False
                    elif entry.is_dir(follow_symlinks=False):
                        below.append((f"{folder}/{entry.name}", name))
                    else:
                        self._at_file(entry, f"{folder}/{entry.name}", name)
        return below

    def _look_at_out(self, out: str) -> None:
        try:
            with _opened_folder(out) as descriptor, os.scandir(descriptor) as entries:
                self.wrote = any(True for _ in entries)
                self._seen += 1
                if not self._is_own(descriptor, self._folders.get("out", 0o777)):
                    self.is_as_laid = False
        except OSError:  # it is no folder any more, or cannot be read: `collect` reports it
            self.wrote, self.is_as_laid = True, False

    def _at_file(self, entry: os.DirEntry[str], here: str, path: str) -> None:
        if path in self._contents:
            self._seen += 1
            if self._holds(here, self._contents[path]):
                del self.missing[path]
                return
            self.is_as_laid = False
        status = entry.stat(follow_symlinks=False)
        if path in self._brought:
            self._seen += 1
            if _status_of(status) == self._brought[path]:
                self.missing.pop(path, None)
                return
        self.is_as_laid = False
        if stat.S_ISREG(status.st_mode):
            self.missing.pop(path, None)
            self.changed.append(path)

    def _holds(self, path: str, content: bytes) -> bool:
        """Whether a file holds exactly this; notes if it is not as it was made."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != len(content) or os.read(descriptor, len(content) + 1) != content:
                return False
            if self._made is not None and not self._made.is_file(descriptor, status):
                self.is_as_laid = False
            return True
        finally:
            os.close(descriptor)

    def _is_own(self, descriptor: int, mode: int) -> bool:
        return self._made is not None and self._made.is_folder(descriptor, os.fstat(descriptor), mode)


class _Status(NamedTuple):
    """Identity and state of a file that was brought, which tell whether it was replaced or changed."""

    mode: int
    inode: int
    links: int
    size: int
    changed_ns: int


def _status_of(status: os.stat_result) -> _Status:
    return _Status(status.st_mode, status.st_ino, status.st_nlink, status.st_size, status.st_ctime_ns)


_Marks = tuple[int, tuple[tuple[str, bytes], ...]]  # flags of its inode, and attributes: access lists are among them


def _marks_of(descriptor: int) -> _Marks:
    """Flags and extended attributes of a file or folder; empty where the system has none."""
    flags = 0
    if sys.platform == "linux":
        try:
            flags = int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4], sys.byteorder)
        except OSError:
            flags = 0
        return flags, tuple((name, os.getxattr(descriptor, name)) for name in sorted(os.listxattr(descriptor)))
    return flags, ()


class _opened_folder:  # a context manager; contextlib would cost the launcher 3 ms
    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _empty(folder: str) -> bool:
    """Remove all that stands in a folder; False if that is so much that the folder is not worth keeping. Raises OSError."""
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_ENTRIES:
                return False
            if entry.is_dir(follow_symlinks=False):
                remove_folder(entry.path)
            else:
                os.unlink(entry.path)
    return True


def _was_not_followed(link: str) -> bool:
    try:
        status = os.lstat(link)
    except OSError:
        return False
    return status.st_atime_ns == 0 and stat.S_ISLNK(status.st_mode)


def _notes_reads(link: str) -> bool:
    """Whether following a link changes its time of access here."""
    os.path.exists(link)
    noted = not _was_not_followed(link)
    _forget_reads(link)
    return noted


def _forget_reads(link: str) -> None:
    """Set the time of access of a link before its change, so that the next access is recorded even with relatime."""
    os.utime(link, ns=(0, time.time_ns()), follow_symlinks=False)


def remove_folder(folder: str) -> None:
    """Remove a folder with all below, even folders of user code without rights to read or write. Raises OSError.

    The path `folder` must be the caller's own; what lies in it may be anything, and may be changing.
    """
    beneath.remove(folder)


def remove_leftover(folder: str) -> None:
    """Remove a folder as `remove_folder` does, but leave what cannot be removed."""
    try:
        remove_folder(folder)
    except OSError:
        return
