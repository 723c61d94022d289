"""Methods of `Runner` about file sets: changes of files that are in no commit yet, kept for some minutes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from local_runner.api.access import Access
from local_runner.model.refs import CommitQuery
from local_runner.model.repos import FileSet, PathRange
from local_runner.repos import file_sets, files
from local_runner.repos.file_changes import FileChanges


class NewFileSet(FileChanges):
    """Changes as of `modify_file`; at the end of the block, `file_set` is what keeps them."""

    file_set: FileSet | None = None

    @property
    def id(self) -> str:
        """That of the file set, once there is one."""
        return self.file_set.id if self.file_set else ""


class FileSets(Access):
    """Methods about file sets. To those who read, one is a commit of the repo `__filesets__` whose id is its own."""

    @contextlib.contextmanager
    def create_file_set(self) -> Iterator[NewFileSet]:
        """Put, copy and delete files as in `modify_file`, and keep what that does, for ten minutes, without doing it."""
        changes = NewFileSet(self.database)
        try:
            yield changes
            with self.database.write() as session:
                changes.file_set = file_sets.create_file_set(session, changes.changes)
        except BaseException:
            changes.give_up()
            raise

    def get_file_set(self, commit: CommitQuery, *, only_changes: bool = False) -> FileSet:
        """The files of a commit as a file set, or with `only_changes` how they differ from those it builds on. Raises `NotFound`."""
        with self.database.write() as session:
            return file_sets.file_set_of(session, commit, only_changes=only_changes)

    def add_file_set(self, commit: CommitQuery, id: str) -> None:
        """Make the changes of a file set: in an open commit, or as one of their own on a branch. Raises `NotFound`, `Refused`."""
        self.change(lambda txn: files.modify(txn, commit, file_sets.changes_of(txn.session, id)))

    def compose_file_set(self, ids: Sequence[str], seconds: float = 0.0) -> FileSet:
        """Several as one, each laid over those before it, kept for so long; 0 for ten minutes. Raises `NotFound`, `Invalid`."""
        with self.database.write() as session:
            return file_sets.compose_file_set(session, ids, seconds)

    def renew_file_set(self, id: str, seconds: float) -> None:
        """Keep one for so long from now on, up to half an hour. Raises `NotFound`, `Invalid`."""
        with self.database.write() as session:
            file_sets.renew_file_set(session, id, seconds)

    def shard_file_set(self, id: str, files: int = 0, size: int = 0) -> list[PathRange]:
        """Ranges of paths that hold about so many files, or bytes, each, and together every path; 0 for a million, a gigabyte."""
        return self._look(lambda session: list(file_sets.shard_file_set(session, id, files, size)))
