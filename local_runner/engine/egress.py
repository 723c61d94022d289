"""Copies the files of a job's output commit into a folder of this machine (reference pps 4.7)."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_runner import beneath
from local_runner.errors import LocalRunnerError
from local_runner.model.refs import JobRef
from local_runner.repos.nodes import files_below
from local_runner.storage.database import Database
from local_runner.storage.trees import Root


@dataclass(frozen=True, slots=True)
class Copied:
    """The files of a job are copied, or `error` says why they are not."""

    job: JobRef
    error: str


class Egress(threading.Thread):
    """Copies the files of a tree below `target`, over what is there; what else lies there stays. Ends in a report.

    The author of the spec chooses the target, but not what lies below it: no link there is followed, and no path leads into the home.
    """

    def __init__(self, database: Database, job: JobRef, root: Root, target: Path, report: Callable[[Copied], None]) -> None:
        super().__init__(name=f"egress {job}", daemon=True)
        self._database, self._job, self._root, self._target, self._report = database, job, root, target, report
        self._given_up = False
        self._at = ""  # the file, by its path below the target

    def give_up(self) -> None:
        """Stop after the present file; returns when it is done."""
        self._given_up = True
        self.join()

    def run(self) -> None:
        error = ""
        try:
            self._copy()
        except (LocalRunnerError, OSError, ValueError) as why:  # ValueError: a path with a null character
            error = f"egress to {self._target}{self._at}: {getattr(why, 'strerror', None) or why}"
        finally:
            self._database.close_thread()
        self._report(Copied(self._job, error))

    def _copy(self) -> None:
        home = beneath.identity(self._database.home.path)
        root, draft = _open_target(self._target, home), f".egress-{os.urandom(8).hex()}"
        try:
            with self._database.read() as session:
                for node in files_below(session.trees, self._root):
                    if self._given_up:
                        return
                    self._at = node.path
                    with os.fdopen(beneath.create_file(root, draft), "wb") as file:
                        file.writelines(session.objects.read(node.hash))
                    # Readers there see the old file or the new one.
                    beneath.replace(root, draft, node.path, avoid=home)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=root)
            os.close(root)


def _open_target(target: Path, home: beneath.Identity) -> int:
    """A descriptor of the folder, which is made if it is not there. Raises OSError, also where it would be in the home."""
    target = Path(os.path.abspath(target))
    there = next(folder for folder in (target, *target.parents) if folder.exists())
    root = beneath.open_root(there)
    try:
        if beneath.is_within(root, home):
            raise OSError(errno.EPERM, "leads into the home")
        return beneath.make_folders(root, str(target.relative_to(there)))
    finally:
        os.close(root)
