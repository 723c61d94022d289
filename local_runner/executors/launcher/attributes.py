"""The attributes by which files and folders are known to be as they were made. Imports next to nothing, as the launcher imports it."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from typing import NamedTuple

_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS of linux/fs.h, on machines of 64 bits


class NewAttributes:
    """The attributes of newly made folders and files; one that differs is not used for another datum."""

    def __init__(self) -> None:
        self._folder: Attributes | None = None
        self._file: Attributes | None = None
        self._owner = -1, -1
        self._size = 0  # of an empty folder: on ext4 one keeps the size it grew to

    def note_folder(self, path: str) -> None:
        if self._folder is None:
            self._owner = os.geteuid(), os.getegid()
            with opened_folder(path) as descriptor:
                self._folder, self._size = attributes_of(descriptor), os.fstat(descriptor).st_size

    def note_file(self, descriptor: int) -> None:
        if self._file is None:
            self._file = attributes_of(descriptor)

    def is_folder(self, descriptor: int, status: os.stat_result, mode: int) -> bool:
        """Whether an open folder, made with a mode, is as it was made."""
        return (
            stat.S_IMODE(status.st_mode) == mode & 0o755
            and (status.st_uid, status.st_gid) == self._owner
            and status.st_size <= max(self._size, 4096)
            and attributes_of(descriptor) == self._folder
        )

    def is_file(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether an open file is as it was made, whatever its content."""
        return (
            status.st_mode == stat.S_IFREG | 0o644
            and status.st_nlink == 1
            and (status.st_uid, status.st_gid) == self._owner
            and attributes_of(descriptor) == self._file
        )


class FileStatus(NamedTuple):
    """Identity and state of a file that was brought, which tell whether it was replaced or changed."""

    mode: int
    inode: int
    links: int
    size: int
    changed_ns: int


def status_of(status: os.stat_result) -> FileStatus:
    return FileStatus(status.st_mode, status.st_ino, status.st_nlink, status.st_size, status.st_ctime_ns)


Attributes = tuple[int, tuple[tuple[str, bytes], ...]]  # flags of its inode, and attributes: access lists are among them


def attributes_of(descriptor: int) -> Attributes:
    """Flags and extended attributes of a file or folder; empty where the system has none."""
    flags = 0
    if sys.platform == "linux":
        try:
            flags = int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4], sys.byteorder)
        except OSError:
            flags = 0
        return flags, tuple((name, os.getxattr(descriptor, name)) for name in sorted(os.listxattr(descriptor)))
    return flags, ()


class opened_folder:  # a context manager; contextlib would cost the launcher 3 ms
    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
