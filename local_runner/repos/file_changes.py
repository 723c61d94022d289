"""Collects changes of files for a commit: stores contents as they come, and applies all changes at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from local_runner.model.names import check_path
from local_runner.model.refs import CommitRef, FileQuery
from local_runner.repos.files import Change, Copy, Delete, Expect, Put, check_change, check_tag
from local_runner.storage.database import Database
from local_runner.storage.intake import Source

_INLINE_BUDGET = 32 * 1024 * 1024  # small contents held in memory before they are stored


class FileChanges:
    """Changes of files, collected in the block of `modify_file` and applied at its end: all of them, or none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes: list[Change] = []
        self.commit: CommitRef | None = None  # that has them, once they are applied
        self._held = 0

    def put(self, path: str, content: bytes | Path | Source, *, append: bool = False, tag: str = "") -> bytes:
        """Write a file, or with `append` what follows its present content. Returns the hash of what was given. Raises `Invalid`.

        `tag` names the datum whose file it is: a path may be written once for each, until the commit is finished.
        """
        change = Put(check_path(path), self._database.files.take(content), append, check_tag(tag))
        taken = change.content
        self.changes.append(change)
        self._held += len(taken.inline or b"")
        if self._held > _INLINE_BUDGET:
            self._store()
        return taken.name

    def delete(self, path: str, *, recursive: bool = False, tag: str = "") -> None:
        """Take away a file; with `recursive`, or a trailing slash, a folder. What is not there is no error."""
        folder = recursive and not path.endswith("/")
        self.changes.append(check_change(Delete(path + "/" if folder else path, check_tag(tag))))

    def copy(self, source: FileQuery, path: str, *, append: bool = False, tag: str = "") -> None:
        """Write a file or folder of some commit under another path; a missing source copies nothing."""
        self.changes.append(check_change(Copy(source, path, append, check_tag(tag))))

    def expect(self, path: str, hash: bytes | None) -> None:
        """Apply nothing, and raise `ChangedMeanwhile`, unless the file now there has this hash, or with None there is none."""
        self.changes.append(check_change(Expect(path, hash)))

    def give_up(self) -> None:
        """Release the stored contents, as no commit will refer to them."""
        brought = (change.content for change in self.changes if isinstance(change, Put))
        self._database.files.arrivals.release(content.name for content in brought if content.inline is None)

    def _store(self) -> None:
        """Store the small contents held in memory."""
        small = [change.content for change in self.changes if isinstance(change, Put) and change.content.inline is not None]
        self._database.files.arrivals.hold(content.name for content in small)
        with self._database.write() as session:
            session.objects.add(small)
            session.objects.added.clear()  # they are in no commit yet
        self.changes = [replace(c, content=c.content._replace(inline=None)) if isinstance(c, Put) else c for c in self.changes]
        self._held = 0
