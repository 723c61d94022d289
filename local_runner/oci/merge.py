"""Lays the layers of an image over each other in one folder, for where Linux does not stack them: files are shared by hard links."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_runner import beneath
from local_runner.errors import DiskFull, Unavailable
from local_runner.oci.unpack import Layer

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NOT_SHARED = (errno.EXDEV, errno.EMLINK, errno.EPERM)  # another disk, too many links, a file system without them
_MODE, _CHUNK = 0o7777, 1 << 30


def merge(layers: Sequence[tuple[Path, Layer]], target: Path) -> None:
    """Fill an empty folder from the folders of layers, the lowest first. Nothing in it may be changed afterwards: its files are theirs.

    Raises `DiskFull`, `Unavailable`.
    """
    root = beneath.open_root(target)
    try:
        for tree, layer in layers:
            for path in layer.whiteouts:
                _remove(root, path)
            for path in layer.opaque:
                _empty(root, path)
            with _opened(tree) as source:
                _add(source, root)
    except OSError as why:
        if why.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "there is no room for a merged copy of an image", hint="free some space, or set XDG_CACHE_HOME to another disk"
            ) from None
        raise Unavailable(
            f"the layers of an image cannot be merged: {why}", hint="remove it and pull it again: image rm, image pull"
        ) from None
    finally:
        os.close(root)


def _add(source: int, root: int) -> None:
    """Everything of a layer, folder by folder."""
    folders = [("", os.fstat(source))]
    for entry in beneath.walk(source):
        status = entry.status()
        parent, _, name = entry.path.rpartition("/")
        if stat.S_ISCHR(status.st_mode):
            continue  # a whiteout: layers have no other devices
        with _at(root, parent) as folder:
            if entry.is_folder:
                _make_folder(folder, name)
                folders.append((entry.path, status))
            else:
                with contextlib.suppress(FileNotFoundError):
                    beneath.remove_tree(folder, name)
                _share(entry, folder, name, status)
    for path, status in reversed(folders):  # what is in them first: they may be read-only
        with _at(root, path) as folder:
            with contextlib.suppress(PermissionError):
                os.fchown(folder, status.st_uid, status.st_gid)
            os.fchmod(folder, status.st_mode & _MODE)
            os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))


def _make_folder(folder: int, name: str) -> None:
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    os.mkdir(name, 0o700, dir_fd=folder)


def _share(entry: beneath.FolderEntry, folder: int, name: str, status: os.stat_result) -> None:
    try:
        os.link(entry.name, name, src_dir_fd=entry.folder, dst_dir_fd=folder, follow_symlinks=False)
        return
    except OSError as why:
        if why.errno not in _NOT_SHARED:
            raise
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(entry.name, dir_fd=entry.folder), name, dir_fd=folder)
        return
    source = entry.open()
    try:
        copy = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            while os.copy_file_range(source, copy, _CHUNK):  # shares blocks where the file system can
                pass
            with contextlib.suppress(PermissionError):
                os.fchown(copy, status.st_uid, status.st_gid)
            os.fchmod(copy, status.st_mode & _MODE)
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(copy)
    finally:
        os.close(source)


def _remove(root: int, path: str) -> None:
    parent, _, name = path.rpartition("/")
    if _is_folder(root, parent):
        with contextlib.suppress(FileNotFoundError), _at(root, parent) as folder:
            beneath.remove_tree(folder, name)


def _empty(root: int, path: str) -> None:
    if _is_folder(root, path):
        with _at(root, path) as folder:
            for name in os.listdir(folder):
                beneath.remove_tree(folder, name)


def _is_folder(root: int, path: str) -> bool:
    try:
        os.close(beneath.open_folder(root, path))
    except OSError as why:
        if why.errno not in _ABSENT:
            raise
        return False
    return True


@contextlib.contextmanager
def _at(root: int, path: str) -> Iterator[int]:
    folder = beneath.open_folder(root, path)
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    folder = beneath.open_root(path)
    try:
        yield folder
    finally:
        os.close(folder)
