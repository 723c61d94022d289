"""Lays out a datum's folder, has it compared with its description after the command, and clears it away."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Mapping

from local_runner.executors.launcher.attributes import FileStatus, NewAttributes, status_of
from local_runner.executors.launcher.inspection import Inspection
from local_runner.executors.launcher.removal import remove_folder, remove_leftover
from local_runner.executors.launcher.tree import UNTOUCHED, Tree, TreeChanges

# An `out` that holds more is removed as a whole: on ext4 a folder keeps the size it grew to.
_MOST_ENTRIES = 100
_TICK = 0.011  # seconds: a file system's clock ticks at least that often


class DatumFolder:
    """A worker's `/pfs`, with at most one datum's tree.

    `path` is where it is found, `root` what user code calls it, and `scratch` where `.scratch` is found, if not in `path`.

    What became of a tree is looked up: every folder is listed, every file that was written here is read and compared. Nothing is
    concluded from a date that user code can set.
    """

    def __init__(self, path: str, root: str, scratch: str = "") -> None:
        self._path, self._root, self._scratch = path, root, scratch or f"{path}/.scratch"
        self._tree = Tree()
        self._brought: dict[str, FileStatus] = {}  # of the files of the tree that were made elsewhere
        self._new = NewAttributes()
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
        seen = Inspection(self._tree, self._brought, self._new if is_alone else None)
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
        self._new.note_folder(own)

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
                    self._new.note_file(descriptor)
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
            self._brought = {path: status_of(os.lstat(f"{folder}/{path}")) for path, _, _ in tree.brought}

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
