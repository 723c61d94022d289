"""Compares a datum's folder with the tree that was laid out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from local_runner.executors.launcher.attributes import FileStatus, NewAttributes, opened_folder, status_of
from local_runner.executors.launcher.tree import Tree

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # it is no folder any more


class Inspection:
    """Compares a datum's folder with its tree."""

    def __init__(self, tree: Tree, brought: Mapping[str, FileStatus], new: NewAttributes | None) -> None:
        """With `new`, `is_as_laid` says whether everything is exactly as it was made, `out` aside."""
        self._tops = tree.links.keys()
        self._folders = dict(tree.folders)
        self._contents = dict(tree.files)
        self._brought = brought
        self._new = new
        self._name = tree.folder.rsplit("/", 1)[1]
        regular = [path for path, status in brought.items() if stat.S_ISREG(status.mode)]
        self.missing = dict.fromkeys([*self._contents, *regular])
        self._seen = 0
        self.changed: list[str] = []
        self.wrote = False
        self.is_as_laid = new is not None

    def own(self, own: str) -> None:
        """Compare a datum's folder and everything below; what cannot be read counts as gone. Where nothing can be looked into although it
        is there, `out` counts as written: `collect` says what is wrong with it."""
        if self._new is not None:
            self._is_only(own, "pfs")
            self._is_only(f"{own}/pfs", self._name)
        todo = [(f"{own}/pfs/{self._name}", "")]
        while todo:
            folder, path = todo.pop()
            try:
                todo += self._into(folder, path)
            except OSError as why:
                self.is_as_laid = False
                self.wrote = self.wrote or not (path or why.errno in _GONE)
        if self._seen != len(self._folders) + len(self._contents) + len(self._brought):
            self.is_as_laid = False

    def _is_only(self, folder: str, name: str) -> None:
        """Note whether a folder holds one entry and is as it was made."""
        try:
            with opened_folder(folder) as descriptor:
                if os.listdir(descriptor) != [name] or not self._is_own(descriptor, 0o777):
                    self.is_as_laid = False
        except OSError:
            self.is_as_laid = False

    def _into(self, folder: str, path: str) -> list[tuple[str, str]]:
        """The subfolders to compare next."""
        below = []
        with opened_folder(folder) as descriptor:
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
            with opened_folder(out) as descriptor, os.scandir(descriptor) as entries:
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
            if status_of(status) == self._brought[path]:
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
            if self._new is not None and not self._new.is_file(descriptor, status):
                self.is_as_laid = False
            return True
        finally:
            os.close(descriptor)

    def _is_own(self, descriptor: int, mode: int) -> bool:
        return self._new is not None and self._new.is_folder(descriptor, os.fstat(descriptor), mode)
