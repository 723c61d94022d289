"""Methods of `Runner` about versioned data: projects, repos, branches, commits, files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice

from local_runner.api.access import Access
from local_runner.errors import ContentLost, NotEmpty
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.refs import FILE_SETS, BranchRef, CommitQuery, CommitRef, FileQuery, RepoRef
from local_runner.model.repos import BranchInfo, CommitInfo, CommitSetInfo, CommitState, FileInfo, ProjectInfo, RepoInfo, Trigger
from local_runner.pipelines import verbs
from local_runner.repos import branches, commit_sets, commits, files
from local_runner.repos import repos as lifecycle
from local_runner.repos.file_changes import FileChanges
from local_runner.repos.repos import CURRENT_PROJECT
from local_runner.repos.scan import scan_file
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session
from local_runner.storage.objects import INLINE_BYTES

_AT_ONCE = 100  # files whose small contents are read together: at most 6.4 MB


class Versions(Access):
    """Methods about projects, repos, branches, commits and files."""

    # -- projects ------------------------------------------------------------------------------------------------------

    @property
    def current_project(self) -> str:
        """The project of names that mention none."""
        return self._look(lambda session: session.repos.setting(CURRENT_PROJECT)) or DEFAULT_PROJECT

    def set_current_project(self, name: str) -> None:
        """Choose the project of names that mention none. Raises `NotFound`."""
        self.inspect_project(name)
        with self.database.write() as session:
            session.repos.set_setting(CURRENT_PROJECT, name)

    def create_project(self, name: str, description: str = "", *, update: bool = False) -> None:
        """Create a project, or with `update` change its description. Raises `AlreadyExists`, or `NotFound` for an update."""
        self.change(lambda txn: lifecycle.create_project(txn, name, description, update=update))

    def inspect_project(self, name: str) -> ProjectInfo:
        """One project. Raises `NotFound`."""
        return self._look(lambda session: lifecycle.inspect_project(session, name))

    def list_project(self) -> list[ProjectInfo]:
        """All projects."""
        return self._look(lifecycle.list_project)

    def delete_project(self, name: str, *, force: bool = False) -> None:
        """Delete a project. Raises `NotFound`, and `Refused` while repos are in it; `force` deletes those and their pipelines, too."""
        self.change(lambda txn: lifecycle.delete_project(txn, name, force=force))

    # -- repos ---------------------------------------------------------------------------------------------------------

    def create_repo(self, repo: RepoRef, description: str = "", *, update: bool = False) -> None:
        """Create a repo; with `update`, one that is there gets this description. Raises `AlreadyExists`, `NotFound` for the project."""
        self._do(verbs.CreateRepo(repo, description, update))

    def inspect_repo(self, repo: RepoRef) -> RepoInfo:
        """One repo, with its exact size in bytes. Raises `NotFound`."""
        return self._look(lambda session: lifecycle.inspect_repo(session, repo))

    def list_repo(self, projects: Sequence[str] | None = None, type: str = "user") -> list[RepoInfo]:
        """Sorted by project and name; `type` "" is all types."""
        return self._look(lambda session: lifecycle.list_repo(session, projects, type))

    def delete_repo(self, repo: RepoRef, *, force: bool = False) -> bool:
        """Delete a repo; returns False if there was none."""
        return self._do(verbs.DeleteRepo(repo, force))

    def delete_repos(self, projects: Sequence[str] | None = None, *, force: bool = False) -> list[RepoRef]:
        """Delete all repos, or those of some projects: all of them or, on an error, none. Returns what was deleted."""
        return self.change(lambda txn: lifecycle.delete_repos(txn, projects, force=force))

    # -- branches ------------------------------------------------------------------------------------------------------

    def create_branch(
        self,
        branch: BranchRef,
        head: CommitQuery | None = None,
        provenance: Sequence[BranchRef] = (),
        trigger: Trigger | None = None,
        never: Sequence[BranchRef] = (),
    ) -> None:
        """Create or change a branch. It stands on `provenance`, of which those in `never` do not give it new commits."""
        self._do(verbs.CreateBranch(branch, head, tuple(provenance), trigger, tuple(never)))

    def inspect_branch(self, branch: BranchRef) -> BranchInfo:
        """One branch, with those it stands on and those that stand on it. Raises `NotFound`."""
        return self._look(lambda session: branches.inspect_branch(session, branch))

    def list_branch(self, repo: RepoRef, *, reverse: bool = False) -> list[BranchInfo]:
        """The branches of a repo, newest first, or oldest first. Raises `NotFound`."""
        return self._look(lambda session: branches.list_branch(session, commits.find_repo(session, repo), reverse=reverse))

    def delete_branch(self, branch: BranchRef, *, force: bool = False) -> None:
        """Delete a branch; its commits stay. Raises `NotFound`, and unless by `force` `Refused` if others or a trigger depend on it."""
        self._do(verbs.DeleteBranch(branch, force))

    def delete_empty_branch(self, branch: BranchRef) -> None:
        """Delete a branch that shows no files, and with the last one its repo. Raises `NotFound`, `NotEmpty`, and as `delete_branch`."""

        def work(txn: Transaction) -> None:
            session = txn.session
            row = branches.find_branch(session, branch)
            head = session.commits.at(row.head) if row.head is not None else None
            if head and session.trees.totals(commits.content_root(session, head)).entries:
                raise NotEmpty(branch)
            branches.delete_branch(txn, branch)
            if not session.repos.branches(row.repo):
                lifecycle.delete_repo(txn, branch.repo)

        self.change(work)

    # -- commits -------------------------------------------------------------------------------------------------------

    def start_commit(self, branch: BranchRef, parent: CommitQuery | None = None, description: str = "") -> CommitRef:
        """Start a commit on a branch, which is made if it is not there, on top of its head or of `parent`. Raises `NotFound`, `Refused`."""
        return self._do(verbs.StartCommit(branch, parent, description))

    def finish_commit(self, commit: CommitQuery, description: str = "", error: str = "", *, force: bool = False) -> None:
        """Close a commit; what is wrong with its content, or `error`, is noted as its error (reference pfs 1.3).

        Raises `Refused` if it is closed, or the output of a pipeline, unless by `force`.
        """
        self._do(verbs.FinishCommit(commit, description, error, force))

    def inspect_commit(self, commit: CommitQuery, *, wait: bool | CommitState = False) -> CommitInfo:
        """With `wait`, block until it is in that state, or finished: an output commit when its job is over."""
        state = CommitState.FINISHED if wait is True else wait or CommitState.STARTED
        if commit.repo.name == FILE_SETS:
            return self._look(lambda session: commits.commit_info(session, commits.resolve_readable(session, commit)))
        ref = self._look(lambda session: commits.resolve(session, commit).ref)
        exact = CommitQuery(ref.repo, id=ref.id)

        def reached(session: Session) -> CommitInfo | None:
            row = commits.resolve(session, exact)
            return commits.commit_info(session, row) if commits.has_reached(session, row, state) else None

        return self._look(reached) or self.wait_until(reached)

    def list_commit(
        self,
        repo: RepoRef,
        to: CommitQuery | None = None,
        from_: CommitQuery | None = None,
        number: int = 0,
        *,
        reverse: bool = False,
        origin: str = "",
    ) -> Iterator[CommitInfo]:
        """The commits of a repo, newest first; with `to`, it and its ancestors down to `from_`, which is left out.

        At most `number` of them if that is not 0; of one `origin` ("USER", "AUTO", "FSCK") if one is given. Raises `NotFound`, and
        `Invalid` for `from_` without `to` and for `reverse` with it.
        """
        return self._stream(lambda session: commits.list_commit(session, repo, to, from_, number, reverse=reverse, origin=origin))

    def list_commits(self, origin: str = "", *, reverse: bool = False) -> Iterator[CommitInfo]:
        """Those of all repos, newest first."""
        return self._stream(lambda session: commits.list_commits(session, origin, reverse=reverse))

    def inspect_commit_set(self, id: str, *, wait: bool = False) -> CommitSetInfo:
        """With `wait`, block until all its commits are finished."""

        def finished(session: Session) -> CommitSetInfo | None:
            found = commit_sets.commit_set(session, id)
            return found if not wait or all(commit.finished is not None for commit in found.commits) else None

        return self.wait_until(finished)

    def list_commit_set(self, project: str = "") -> Iterator[CommitSetInfo]:
        """All commit sets, newest first; with `project`, those that have a commit there."""
        return self._stream(lambda session: commit_sets.list_commit_set(session, project))

    def squash_commit_set(self, id: str) -> None:
        """Remove the commits of a set; what they changed stays in their children (reference pfs 1.3). Raises `NotFound`, `Refused`."""
        self._do(verbs.SquashCommitSet(id))

    def drop_commit_set(self, id: str) -> None:
        """Remove the commits of a set and what they changed; they must be the newest everywhere. Raises `NotFound`, `Refused`."""
        self._do(verbs.DropCommitSet(id))

    def squash_commit(self, commit: CommitQuery, *, recursive: bool = False) -> None:
        """Remove one commit, with `recursive` those that stand on it, too; their children keep what they changed.

        Raises `NotFound`, `Refused`.
        """
        self._do(verbs.RemoveCommit(commit, recursive, squash=True))

    def drop_commit(self, commit: CommitQuery, *, recursive: bool = False) -> None:
        """Remove one commit and what it changed, with `recursive` all that stand on it. Raises `NotFound`, `Refused`."""
        self._do(verbs.RemoveCommit(commit, recursive, squash=False))

    def clear_commit(self, commit: CommitQuery) -> None:
        """Take back everything written to an open commit. Raises `NotFound`, and `Refused` for a finished one or the output of a job."""
        self.change(lambda txn: commits.clear_commit(txn, commits.resolve(txn.session, commit)))

    def find_commit(self, file: FileQuery, limit: int = 0) -> Iterator[tuple[str, CommitRef, int]]:
        """("found", commit, searched) for each commit that changed the file, from the given one back; then ("last", commit, searched)."""
        found = self._stream(lambda session: files.find_commit(session, file, limit))
        return ((what, row.ref, searched) for what, row, searched in found)

    def subscribe_commit(
        self, repo: RepoRef, branch: str = "", from_: CommitQuery | None = None, origin: str = "", *, only_new: bool = False
    ) -> Iterator[CommitInfo]:
        """Commits of a branch, or of the whole repo, oldest first and once each, and those to come as they are started, for ever.

        With `from_` only those that were started after it, with `only_new` after now. Raises `NotFound`.
        """
        last = self._look(lambda session: commits.last_key(session, repo, from_, only_new=only_new))

        def fresh(session: Session) -> tuple[int, list[CommitInfo]] | None:
            key, found = commits.newer_commits(session, repo, last, branch, origin)
            return (key, found) if key != last else None

        while True:
            last, found = self.wait_until(fresh)
            yield from found

    # -- files ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def modify_file(self, commit: CommitQuery, *, as_job: bool = False) -> Iterator[FileChanges]:
        """Put, copy and delete files: into an open commit, or as a commit of their own on a branch.

        with runner.modify_file(parse_commit("data@master")) as change:
            change.put("/a", b"content")

        With `as_job`, also into the open output of a job, as its own user code does.
        """
        self._look(lambda session: commits.find_repo(session, commit.repo))
        changes = FileChanges(self.database)
        try:
            yield changes
            changes.commit = self.change(lambda txn: files.modify(txn, commit, changes.changes, as_job=as_job)).ref
        except BaseException:
            changes.give_up()
            raise

    def scan_file(self, commit: CommitQuery, prefix: str = "/", after: str = "", delimiter: str = "") -> Iterator[FileInfo | str]:
        """Files whose path begins with `prefix`, in byte order of paths, from after a path on; costs what is taken of it.

        With a `delimiter`, those that have it after the prefix are told as one: as the text up to and with it.
        """
        return self._stream(lambda session: scan_file(session, commit, prefix, after, delimiter))

    @contextlib.contextmanager
    def write_commit(self, branch: BranchRef, description: str, *, project_description: str = "") -> Iterator[FileChanges]:
        """Put and delete files as one finished commit with a description; the project and the repo are made if they are not there."""
        changes = FileChanges(self.database)

        def work(txn: Transaction) -> None:
            if txn.session.repos.project(branch.repo.project) is None:
                lifecycle.create_project(txn, branch.repo.project, project_description)
            if txn.session.repos.repo(branch.repo) is None:
                lifecycle.create_repo(txn, branch.repo)
            begun = commits.start_commit(txn, branch, description=description)
            commits.finish_commit(txn, files.modify(txn, CommitQuery(branch.repo, id=begun.ref.id), changes.changes))

        try:
            yield changes
            self.change(work)
        except BaseException:
            changes.give_up()
            raise

    def list_file(self, file: FileQuery, after: str = "") -> Iterator[FileInfo]:
        """What lies directly in a folder, or the file itself; nothing for a path that is not there. Raises `NotFound` for the commit.

        With `after` only what follows that path, which costs nothing for what stands before it.
        """
        return self._stream(lambda session: files.list_file(session, file, after))

    def walk_file(self, file: FileQuery) -> Iterator[FileInfo]:
        """A file, or a folder with everything below it. Raises `NotFound`, but not for `/` of an empty commit."""
        return self._stream(lambda session: files.walk_file(session, file))

    def glob_file(self, commit: CommitQuery, pattern: str) -> Iterator[FileInfo]:
        """The files and folders that a pattern matches. Raises `NotFound` for the commit, `Invalid` for a pattern that is none."""
        return self._stream(lambda session: files.glob_file(session, commit, pattern))

    def inspect_file(self, file: FileQuery) -> FileInfo:
        """One file or folder. Raises `NotFound`."""
        return self._look(lambda session: files.inspect_file(session, file))

    def diff_file(self, new: FileQuery, old: FileQuery | None = None) -> Iterator[tuple[FileInfo | None, FileInfo | None]]:
        """Files and folders that differ, as (new, old); `old` defaults to the same path in the parent commit."""
        return self._stream(lambda session: files.diff_file(session, new, old))

    def get_file(self, file: FileQuery, offset: int = 0) -> Iterator[bytes]:
        """The content of the one regular file that a path, taken as a pattern, matches."""

        def blocks(session: Session) -> Iterator[bytes]:
            info = files.find_content(session, file)
            return _named(session.objects.read(info.hash, offset), info)

        return self._content(blocks)

    def read_content(self, info: FileInfo, offset: int = 0) -> Iterator[bytes]:
        """The content of a file that was listed or inspected, whatever became of its commit since."""
        return self._content(lambda session: _named(session.objects.read(info.hash, offset), info))

    def get_files(self, file: FileQuery) -> Iterator[tuple[FileInfo, Iterator[bytes]]]:
        """All that a path, taken as a pattern, matches, folders with everything below; read each content before the next."""

        return self._stream(lambda session: _contents(session, files.find_contents(session, file)))

    def get_below(self, file: FileQuery) -> Iterator[tuple[FileInfo, Iterator[bytes]]]:
        """The files below a folder, or a file itself; read each content before the next."""
        return self._stream(lambda session: _contents(session, files.files_below(session, file)))

    def file_history(self, file: FileQuery, limit: int = -1) -> Iterator[FileInfo]:
        """The versions of a file in a commit and its ancestors, newest first, once for each content.

        At most `limit` older ones, if that is not negative. Raises `NotFound` for the commit.
        """
        return self._stream(lambda session: files.file_history(session, file, limit))


def _contents(session: Session, infos: Iterator[FileInfo]) -> Iterator[tuple[FileInfo, Iterator[bytes]]]:
    """Each with its content; folders have none."""
    for few in _few(infos):
        small = session.objects.small([info.hash for info in few if info.size <= INLINE_BYTES])
        for info in few:
            if info.is_folder:
                yield info, iter(())
            elif info.hash in small:
                yield info, iter((small[info.hash],))
            else:
                yield info, _named(session.objects.read(info.hash), info)


def _few(infos: Iterator[FileInfo]) -> Iterator[list[FileInfo]]:
    while few := list(islice(infos, _AT_ONCE)):
        yield few


def _named(content: Iterator[bytes], info: FileInfo) -> Iterator[bytes]:
    """The content of a file; errors while reading it name the file."""
    try:
        yield from content
    except ContentLost as error:
        raise error.of(f"{info.commit}:{info.path}") from None
