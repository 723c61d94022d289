"""Opens, creates and removes files below a folder by descriptors, one step at a time, and never follows a link on the way.

It is for folders that others may change meanwhile: user code, or other users of a folder that files are copied to. A path may lead
elsewhere between a check and its use; a descriptor stays what it is. Nothing here is recursive, so depth costs nothing.
The launcher uses this file and has to start in 10 ms, so it imports next to nothing.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from typing import NamedTuple

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHILD = _FOLDER | os.O_NOFOLLOW
_ALL_FOR_OWNER = 0o700
_ON_LINUX = sys.platform == "linux"

Identity = tuple[int, int]  # of a folder: its file system, its number there


def open_root(path: str | os.PathLike[str]) -> int:
    """A descriptor of a folder that the caller vouches for: links on the way to this one are followed. Raises OSError."""
    return os.open(path, _FOLDER)


def open_folder(root: int, path: str) -> int:
    """A descriptor of the folder at `path` below `root`, to be closed by the caller; "" is `root` itself.

    Raises OSError: ELOOP for a link, EINVAL for `..`.
    """
    return _descend(root, path, None)


def make_folders(root: int, path: str, mode: int = 0o777) -> int:
    """Open a folder as `open_folder` does, making it and the folders on the way if they are missing."""
    return _descend(root, path, mode)


def open_file(root: int, path: str) -> int:
    """A descriptor to read the regular file at `path` below `root`. Raises OSError: EINVAL for anything else; it waits for no pipe."""
    folder, name = _parent(root, path)
    try:
        return _open_regular(folder, name, path)
    finally:
        os.close(folder)


def create_file(root: int, path: str, mode: int = 0o666) -> int:
    """A descriptor to write a new file at `path` below `root`, whose folder is there. Raises OSError: EEXIST for whatever stands there."""
    folder, name = _parent(root, path)
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    finally:
        os.close(folder)


def replace(root: int, draft: str, path: str, avoid: Identity | None = None) -> None:
    """Move the file `draft` in `root` to `path` below it, over a file or link that stands there; folders on the way are made.

    Raises OSError: EPERM where the way leads through the folder `avoid`.
    """
    parent, _, name = path.strip("/").rpartition("/")
    folder = _descend(root, parent, 0o777, avoid)
    try:
        os.replace(draft, _one(name, path), src_dir_fd=root, dst_dir_fd=folder)
    finally:
        os.close(folder)


def identity(path: str | os.PathLike[str]) -> Identity:
    """Device and inode of a folder, which identify it under any name. Raises OSError."""
    return _identity(os.stat(path))


def is_within(folder: int, other: Identity) -> bool:
    """Whether an open folder is the other one or lies anywhere in it. Raises OSError."""
    here = os.dup(folder)
    try:
        while (found := _identity(os.fstat(here))) != other:
            parent = os.open("..", _CHILD, dir_fd=here)
            os.close(here)
            here = parent
            if _identity(os.fstat(here)) == found:
                return False
        return True
    finally:
        os.close(here)


class FolderEntry(NamedTuple):
    """An entry of a folder. `folder` is a descriptor of that folder, open until the next entry is asked for."""

    path: str
    folder: int
    name: str
    is_folder: bool

    def status(self) -> os.stat_result:
        """The status of the entry itself; a link is not followed. Raises OSError."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def open(self) -> int:
        """A descriptor to read the entry. Raises OSError: EINVAL if it is not, or no longer, a regular file."""
        return _open_regular(self.folder, self.name, self.path)


def walk(root: int) -> Iterator[FolderEntry]:
    """Every entry below a folder, sorted by name, each folder before its content; paths are relative to `root`.

    Raises OSError for a folder that cannot be read, or that was moved away in the middle.
    """
    with _Descent(root) as here:
        while True:
            level = here.levels[-1]
            if level.todo:
                name, is_folder = level.todo.pop()
                path = f"{here.path}/{name}" if here.path else name
                yield FolderEntry(path, here.folder, name, is_folder)
                if is_folder:
                    here.enter(name)
            elif len(here.levels) > 1:
                here.leave()
            else:
                return


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a folder with all below; the caller vouches for the way to it, not for what lies in it. Raises OSError."""
    parent, _, name = os.fspath(path).rstrip("/").rpartition("/")
    folder = open_root(parent or ("/" if os.path.isabs(path) else "."))
    try:
        remove_tree(folder, name)
    finally:
        os.close(folder)


def remove_tree(folder: int, name: str) -> None:
    """Remove what stands at `name` in a folder with all below, even without rights to write to or read it.

    As much as possible is removed; then the first error is raised (OSError). FileNotFoundError if nothing is there.
    """
    try:
        descent = _Descent(folder, name)
    except OSError as why:
        if why.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=folder)
        return
    failure: OSError | None = None
    with descent as here:
        while (level := here.levels[-1]).todo or len(here.levels) > 1:
            is_empty = not level.todo
            if is_empty:
                here.leave()
            try:
                if is_empty:
                    os.rmdir(level.name, dir_fd=here.folder)
                else:
                    below, is_folder = level.todo.pop()
                    here.remove(below, is_folder=is_folder)
            except FileNotFoundError:  # another process removes it, too
                continue
            except OSError as why:
                failure = failure or why
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as why:
        failure = failure or why
    if failure:
        raise failure


class _Level:
    """A folder on the way down: what it is, and which of its entries are still to come."""

    __slots__ = ("identity", "name", "todo")

    def __init__(self, name: str, identity: Identity) -> None:
        self.name, self.identity = name, identity
        self.todo: list[tuple[str, bool]] = []


class _Descent:
    """A way through a tree with one folder open at a time: the deepest.

    Up again leads `..`, if that still is the folder it came from: one that was moved elsewhere in the middle leads nowhere.
    """

    def __init__(self, folder: int, name: str = "") -> None:
        """Begin in a folder, or in the one called `name` there, even without the right to read that. Raises OSError."""
        self.path = ""  # of the deepest, below the first
        self.levels: list[_Level] = []
        self._unlocks = bool(name)
        self.folder = _open_anyway(folder, name) if name else os.dup(folder)
        try:
            self._arrive(name)
        except BaseException:
            os.close(self.folder)
            raise

    def __enter__(self) -> _Descent:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.folder)

    def enter(self, name: str) -> None:
        child = _open_anyway(self.folder, name) if self._unlocks else _open_child(self.folder, name, name)
        os.close(self.folder)
        self.folder = child
        self.path = f"{self.path}/{name}" if self.path else name
        self._arrive(name)

    def leave(self) -> None:
        left = self.levels.pop()
        parent = os.open("..", _CHILD, dir_fd=self.folder)
        os.close(self.folder)
        self.folder = parent
        self.path = self.path[: -len(left.name)].rstrip("/")
        if _identity(os.fstat(parent)) != self.levels[-1].identity:
            raise OSError(errno.ESTALE, "a folder was moved away while it was gone through", self.path)

    def remove(self, name: str, *, is_folder: bool) -> None:
        """Remove an entry: a file at once, a folder by descending into it; its kind may have changed since it was listed."""
        if not is_folder:
            try:
                os.unlink(name, dir_fd=self.folder)
                return
            except OSError as why:
                if why.errno not in (errno.EISDIR, errno.EPERM):
                    raise
        try:
            self.enter(name)
        except OSError as why:
            if why.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            os.unlink(name, dir_fd=self.folder)

    def _arrive(self, name: str) -> None:
        status = os.fstat(self.folder)
        level = _Level(name, _identity(status))
        self.levels.append(level)
        if self._unlocks and status.st_mode & _ALL_FOR_OWNER != _ALL_FOR_OWNER:
            os.fchmod(self.folder, _ALL_FOR_OWNER)
        with os.scandir(self.folder) as entries:
            level.todo = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if not self._unlocks:
            level.todo.sort(reverse=True)


def _descend(root: int, path: str, mode: int | None, avoid: Identity | None = None) -> int:
    here = os.dup(root)
    try:
        for part in _parts(path):
            if mode is not None:
                _make(here, part, mode)
            child = _open_child(here, part, path)
            os.close(here)
            here = child
            if avoid is not None and _identity(os.fstat(here)) == avoid:
                raise OSError(errno.EPERM, "leads into a folder that is not to be touched", path)
    except BaseException:
        os.close(here)
        raise
    return here


def _make(folder: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=folder)
    except FileExistsError:  # what it is shows when it is opened
        return


def _parent(root: int, path: str) -> tuple[int, str]:
    parent, _, name = path.strip("/").rpartition("/")
    _one(name, path)
    return open_folder(root, parent), name


def _parts(path: str) -> list[str]:
    return [_one(part, path) for part in path.split("/") if part not in ("", ".")]


def _one(part: str, path: str) -> str:
    if part in ("", ".", ".."):
        raise OSError(errno.EINVAL, "leads out of its folder", path)
    return part


def _open_child(folder: int, name: str, path: str) -> int:
    try:
        return os.open(name, _CHILD, dir_fd=folder)
    except OSError as why:
        raise _not_followed(folder, name, path) or why from None


def _open_regular(folder: int, name: str, path: str) -> int:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    except OSError as why:
        raise _not_followed(folder, name, path) or why from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", path)
    os.set_blocking(descriptor, True)
    return descriptor


def _not_followed(folder: int, name: str, path: str) -> OSError | None:
    """The error ELOOP if an entry is a link, else None; systems report links in different ways."""
    try:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return OSError(errno.ELOOP, "a link on the way, which is not followed", path)
    except OSError:
        pass
    return None


def _open_anyway(folder: int, name: str) -> int:
    """Open a folder that is to be removed, giving its owner the right to read it if that is missing."""
    try:
        return os.open(name, _CHILD, dir_fd=folder)
    except PermissionError:
        _unlock(folder, name)
        return os.open(name, _CHILD, dir_fd=folder)


def _unlock(folder: int, name: str) -> None:
    if not _ON_LINUX:
        os.chmod(name, _ALL_FOR_OWNER, dir_fd=folder, follow_symlinks=False)
        return
    # Linux changes the mode of what a name stands for without following it only since 6.6, and Python not yet.
    held = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{held}", _ALL_FOR_OWNER)
    finally:
        os.close(held)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
