"""What a job copies out of its output commit into a folder of this machine (reference pps 4.7)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    """Copies the files of a tree below `target`, over what is there; what else lies there stays. Ends in a report."""

    def __init__(self, database: Database, job: JobRef, root: Root, target: Path, report: Callable[[Copied], None]) -> None:
        super().__init__(name=f"egress {job}", daemon=True)
        self._database, self._job, self._root, self._target, self._report = database, job, root, target, report
        self._given_up = False

    def give_up(self) -> None:
        """Stop after the present file; returns when it is done."""
        self._given_up = True
        self.join()

    def run(self) -> None:
        error = ""
        try:
            self._copy()
        except (LocalRunnerError, OSError, ValueError) as why:  # ValueError: a path with a null character
            error = f"egress to {self._target}: {getattr(why, 'strerror', None) or why}"
        finally:
            self._database.close_thread()
        self._report(Copied(self._job, error))

    def _copy(self) -> None:
        self._target.mkdir(parents=True, exist_ok=True)
        draft = self._target / f".egress-{os.urandom(8).hex()}"
        try:
            with self._database.read() as session:
                for node in files_below(session.trees, self._root):
                    if self._given_up:
                        return
                    path = self._target / node.path[1:]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    session.objects.place(node.hash, draft)
                    draft.replace(path)  # whoever reads there sees the old file or the new one
        finally:
            draft.unlink(missing_ok=True)
