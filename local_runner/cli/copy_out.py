"""Writes files of a repo into a folder, over existing ones and never through a link."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from local_runner import beneath
from local_runner.errors import Unavailable
from local_runner.storage.atomic import write_all

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Below:
    """A folder into which files are written, best in the order of their paths. No link in it leads outside: none is followed.

    A file that stands there is replaced when the new one is whole; of a file that could not be written nothing is left.
    """

    def __init__(self, target: Path) -> None:
        self._target, self._draft = target, f".get-{os.urandom(8).hex()}"
        self._root = beneath.open_root(target)
        self._parent, self._folder = "", os.dup(self._root)  # the folder of the last file, kept open for the next

    def __enter__(self) -> Below:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)
        os.close(self._root)

    def put(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file, and the folders on its way. Raises `Unavailable`."""
        try:
            parent, _, name = path.strip("/").rpartition("/")
            if parent != self._parent:
                self._enter(parent)
            try:
                file = os.open(name, _NEW, 0o666, dir_fd=self._folder)
            except FileExistsError:
                self._replace(path, chunks)
            else:
                _fill(file, chunks, name, self._folder)
        except OSError as error:
            raise Unavailable(f"cannot write {self._target / path.strip('/')}: {error.strerror}") from None

    def _enter(self, parent: str) -> None:
        folder = beneath.make_folders(self._root, parent)
        os.close(self._folder)
        self._parent, self._folder = parent, folder

    def _replace(self, path: str, chunks: Iterable[bytes]) -> None:
        _fill(beneath.create_file(self._root, self._draft), chunks, self._draft, self._root)
        try:
            beneath.replace(self._root, self._draft, path)
        except BaseException:
            os.unlink(self._draft, dir_fd=self._root)
            raise


def _fill(file: int, chunks: Iterable[bytes], name: str, folder: int) -> None:
    """Write a new file and close it; what is not whole is removed."""
    try:
        try:
            for chunk in chunks:
                write_all(file, chunk)
        finally:
            os.close(file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        raise
