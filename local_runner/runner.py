"""The public Python API: open a home, and do with it what the commands do, in the same words. The one place that knows everybody below."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from local_runner.engine import cron, jobs, pipelines
from local_runner.engine.logs import last_lines, read_logs
from local_runner.engine.prepare import has_work
from local_runner.engine.specs_at_rest import pipeline_info
from local_runner.engine.transactions import apply, find_pending, to_document
from local_runner.engine.triggers import fire_triggers, settle
from local_runner.errors import Refused
from local_runner.model.datums import DatumInfo
from local_runner.model.ids import new_id
from local_runner.model.jobs import JobInfo, JobSetInfo
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import SPEC, BranchRef, CommitQuery, CommitRef, FileQuery, JobRef, PipelineRef, RepoRef
from local_runner.model.repos import BranchInfo, CommitInfo, CommitSetInfo, FileInfo, ProjectInfo, RepoInfo, Trigger
from local_runner.repos import branches, commits, files, lifecycle
from local_runner.repos.check import Finding, check
from local_runner.repos.file_changes import FileChanges
from local_runner.repos.transaction import Transaction
from local_runner.storage.bell import Bell
from local_runner.storage.database import Database, Session
from local_runner.storage.home import VARIABLE, find_home, open_home
from local_runner.storage.locks import FileLock
from local_runner.storage.pipeline_records import PendingRow

_CURRENT_PROJECT, _ACTIVE_TRANSACTION = "current project", "active transaction"  # settings
_WATCH_SECONDS = 5.0  # how often somebody who waits makes sure that an engine lives

_T = TypeVar("_T")


class Runner:
    """A home, opened. Methods raise `LocalRunnerError`; those that cause work return at once, and an engine does it.

    Safe for several threads and processes. Use as a context manager, or `close` it.
    """

    def __init__(self, database: Database, *, background: bool, transactional: bool) -> None:
        self.database = database
        self._background = background
        self._transactional = transactional
        self._spec_commit = _spec_commit_here()

    @classmethod
    def open(
        cls,
        home: Path | None = None,
        *,
        background: bool = True,
        transactional: bool = False,
        create: bool = True,
        waiting: Callable[[str], None] = lambda holder: None,
    ) -> Runner:
        """Open a home: the one given, or the one `find_home` finds; it is made if it is not there (and `create`).

        With `background`, an engine is started in a process of its own when there is work and none runs; without, call
        `foreground.work`. With `transactional`, verbs that can join the active transaction do. `waiting` is told whom a write waits for.
        """
        return cls(Database(open_home(home or find_home(), create), waiting), background=background, transactional=transactional)

    @property
    def home(self) -> Path:
        return self.database.home.path

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- how changes are made ------------------------------------------------------------------------------------------

    def change(self, work: Callable[[Transaction], _T], set_id: str = "") -> _T:
        """Do some work as one change: all of it under one commit set id, or none of it; then see that an engine takes up what follows."""
        with self.database.write() as session:
            txn = Transaction(session, set_id or new_id(), time.time(), spout=self._spec_commit)
            result = work(txn)
            settle(txn)
        fire_triggers(self.database, txn.finished)
        self.ensure_engine()
        return result

    def _verb(self, verb: str, **arguments: object) -> Any:
        """A verb that can be part of a transaction: done at once, or tried and kept if one is active."""
        document = to_document(arguments)
        active = self.active_transaction() if self._transactional else ""
        return self._append(active, verb, document) if active else self.change(lambda txn: apply(txn, verb, document))

    def _append(self, transaction: str, verb: str, document: dict[str, Any]) -> Any:
        """Try a verb on top of what the transaction has, take everything back, and remember the verb."""
        with self.database.read() as session:
            row = find_pending(session, transaction)
        result: list[Any] = []

        class TakeBack(Exception):
            pass

        with contextlib.suppress(TakeBack), self.database.write() as session:
            txn = Transaction(session, transaction, time.time(), spout=self._spec_commit)
            for request in row.requests:
                apply(txn, request["verb"], request["arguments"])
            result.append(apply(txn, verb, document))
            settle(txn)
            raise TakeBack
        with self.database.write() as session:
            row = find_pending(session, transaction)
            session.pipelines.put_pending(row._replace(requests=[*row.requests, {"verb": verb, "arguments": document}]))
        return result[0]

    def _look(self, look: Callable[[Session], _T]) -> _T:
        with self.database.read() as session:
            return look(session)

    def _stream(self, look: Callable[[Session], Iterator[_T]]) -> Iterator[_T]:
        """An iterator that holds one view of the records until it is used up or closed; its user may change them meanwhile."""
        with self.database.read_apart() as session:
            yield from look(session)

    def wait_until(self, look: Callable[[Session], _T | None]) -> _T:
        """Look at the records, and again whenever they change, until there is an answer."""
        with Bell(self.database.home.bells) as bell:
            while True:
                found = self._look(look)
                if found is not None:
                    return found
                self.ensure_engine()
                bell.wait(_WATCH_SECONDS)

    def ensure_engine(self) -> None:
        """Start an engine in the background if there is unfinished work and none runs."""
        if not self._background or FileLock(self.database.home.engine_lock).is_taken() or not self.has_work():
            return
        import subprocess  # 6 ms, and an engine is seldom missing

        env = {**os.environ, VARIABLE: str(self.home)}
        package = str(Path(__file__).parent.parent)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        with self.database.home.engine_log.open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "local_runner", "engine"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd=self.home,
                start_new_session=True,
            )

    def has_work(self, residents: bool = True) -> bool:
        """Whether there is something for an engine to do; with `residents`, also if that is only to let spouts and services run."""
        return self._look(lambda session: has_work(session, residents))

    # -- projects ------------------------------------------------------------------------------------------------------

    @property
    def current_project(self) -> str:
        """The project of names that mention none."""
        return self._look(lambda session: session.repos.setting(_CURRENT_PROJECT)) or DEFAULT_PROJECT

    def set_current_project(self, name: str) -> None:
        self.inspect_project(name)
        with self.database.write() as session:
            session.repos.set_setting(_CURRENT_PROJECT, name)

    def create_project(self, name: str, description: str = "", update: bool = False) -> None:
        self.change(lambda txn: lifecycle.create_project(txn, name, description, update))

    def inspect_project(self, name: str) -> ProjectInfo:
        return self._look(lambda session: lifecycle.inspect_project(session, name))

    def list_project(self) -> list[ProjectInfo]:
        return self._look(lambda session: session.repos.projects())

    def delete_project(self, name: str, force: bool = False) -> None:
        self.change(lambda txn: lifecycle.delete_project(txn, name, force))

    # -- repos ---------------------------------------------------------------------------------------------------------

    def create_repo(self, repo: RepoRef, description: str = "", update: bool = False) -> None:
        self._verb("create_repo", repo=repo, description=description, update=update)

    def inspect_repo(self, repo: RepoRef) -> RepoInfo:
        return self._look(lambda session: lifecycle.inspect_repo(session, repo))

    def list_repo(self, projects: Sequence[str] | None = None, type: str = "user") -> list[RepoInfo]:
        """Sorted by project and name; `type` "" is all types."""
        return self._look(lambda session: lifecycle.list_repo(session, projects, type))

    def delete_repo(self, repo: RepoRef, force: bool = False) -> bool:
        """False if there was none."""
        return bool(self._verb("delete_repo", repo=repo, force=force))

    # -- branches ------------------------------------------------------------------------------------------------------

    def create_branch(
        self, branch: BranchRef, head: CommitQuery | None = None, provenance: Sequence[BranchRef] = (), trigger: Trigger | None = None
    ) -> None:
        self._verb("create_branch", branch=branch, head=head, provenance=list(provenance), trigger=trigger)

    def inspect_branch(self, branch: BranchRef) -> BranchInfo:
        return self._look(lambda session: branches.inspect_branch(session, branch))

    def list_branch(self, repo: RepoRef, reverse: bool = False) -> list[BranchInfo]:
        return self._look(lambda session: branches.list_branch(session, commits.find_repo(session, repo), reverse))

    def delete_branch(self, branch: BranchRef, force: bool = False) -> None:
        self._verb("delete_branch", branch=branch, force=force)

    # -- commits -------------------------------------------------------------------------------------------------------

    def start_commit(self, branch: BranchRef, parent: CommitQuery | None = None, description: str = "") -> CommitRef:
        found: CommitRef = self._verb("start_commit", branch=branch, parent=parent, description=description)
        return found

    def finish_commit(self, commit: CommitQuery, description: str = "", error: str = "", force: bool = False) -> None:
        self._verb("finish_commit", commit=commit, description=description, error=error, force=force)

    def inspect_commit(self, commit: CommitQuery, wait: bool = False) -> CommitInfo:
        """With `wait`, block until it is finished: an output commit when its job is over."""
        if not wait:
            return self._look(lambda session: commits.commit_info(session, commits.resolve(session, commit)))
        ref = self._look(lambda session: commits.resolve(session, commit).ref)
        exact = CommitQuery(ref.repo, id=ref.id)

        def finished(session: Session) -> CommitInfo | None:
            row = commits.resolve(session, exact)
            return commits.commit_info(session, row) if row.finished is not None else None

        return self.wait_until(finished)

    def list_commit(
        self,
        repo: RepoRef,
        to: CommitQuery | None = None,
        from_: CommitQuery | None = None,
        number: int = 0,
        reverse: bool = False,
        origin: str = "",
    ) -> Iterator[CommitInfo]:
        return self._stream(lambda session: commits.list_commit(session, repo, to, from_, number, reverse, origin))

    def inspect_commit_set(self, id: str, wait: bool = False) -> CommitSetInfo:
        """With `wait`, block until all its commits are finished."""

        def finished(session: Session) -> CommitSetInfo | None:
            found = commits.commit_set(session, id)
            return found if not wait or all(commit.finished is not None for commit in found.commits) else None

        return self.wait_until(finished)

    def list_commit_set(self, project: str = "") -> list[CommitSetInfo]:
        return self._look(lambda session: commits.list_commit_set(session, project))

    def squash_commit_set(self, id: str) -> None:
        self._verb("squash_commit_set", id=id)

    def drop_commit_set(self, id: str) -> None:
        self._verb("drop_commit_set", id=id)

    def squash_commit(self, commit: CommitQuery, recursive: bool = False) -> None:
        self._verb("remove_commit", commit=commit, recursive=recursive, squash=True)

    def drop_commit(self, commit: CommitQuery, recursive: bool = False) -> None:
        self._verb("remove_commit", commit=commit, recursive=recursive, squash=False)

    def clear_commit(self, commit: CommitQuery) -> None:
        self.change(lambda txn: commits.clear_commit(txn, commits.resolve(txn.session, commit)))

    def find_commit(self, file: FileQuery, limit: int = 0) -> Iterator[tuple[str, CommitRef, int]]:
        """("found", commit, searched) for each commit that changed the file, from the given one back; then ("last", commit, searched)."""
        found = self._stream(lambda session: files.find_commit(session, file, limit))
        return ((what, row.ref, searched) for what, row, searched in found)

    def subscribe_commit(self, repo: RepoRef, branch: str, from_: CommitQuery | None = None, origin: str = "") -> Iterator[CommitInfo]:
        """Finished commits of a branch, oldest first, and those to come, for ever."""
        seen = {self.inspect_commit(from_).commit.id} if from_ else set()

        def fresh(session: Session) -> list[CommitInfo] | None:
            found = list(commits.list_commit(session, repo, None, None, 0, True, origin))
            new = [c for c in found if c.commit.id not in seen and c.branch == branch and c.finished is not None]
            return new or None

        while True:
            for info in self.wait_until(fresh):
                seen.add(info.commit.id)
                yield info

    # -- files ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def modify_file(self, commit: CommitQuery) -> Iterator[FileChanges]:
        """Put, copy and delete files: into an open commit, or as a commit of their own on a branch.

        with runner.modify_file(parse_commit("data@master")) as change:
            change.put("/a", b"content")
        """
        self._look(lambda session: commits.find_repo(session, commit.repo))
        changes = FileChanges(self.database)
        yield changes
        self.change(lambda txn: files.modify(txn, commit, changes.changes))

    def list_file(self, file: FileQuery) -> Iterator[FileInfo]:
        return self._stream(lambda session: files.list_file(session, file))

    def walk_file(self, file: FileQuery) -> Iterator[FileInfo]:
        return self._stream(lambda session: files.walk_file(session, file))

    def glob_file(self, commit: CommitQuery, pattern: str) -> Iterator[FileInfo]:
        return self._stream(lambda session: files.glob_file(session, commit, pattern))

    def inspect_file(self, file: FileQuery) -> FileInfo:
        return self._look(lambda session: files.inspect_file(session, file))

    def diff_file(self, new: FileQuery, old: FileQuery | None = None) -> Iterator[tuple[FileInfo | None, FileInfo | None]]:
        """Files and folders that differ, as (new, old); `old` defaults to the same path in the parent commit."""
        return self._stream(lambda session: files.diff_file(session, new, old))

    def get_file(self, file: FileQuery, offset: int = 0) -> Iterator[bytes]:
        """The content of the one regular file that a path, taken as a pattern, matches."""

        def blocks(session: Session) -> Iterator[bytes]:
            return session.objects.read(files.find_content(session, file).hash, offset)

        return self._stream(blocks)

    def get_files(self, file: FileQuery) -> Iterator[tuple[FileInfo, Iterator[bytes]]]:
        """All that a path, taken as a pattern, matches, folders with everything below; read each content before the next."""

        def contents(session: Session) -> Iterator[tuple[FileInfo, Iterator[bytes]]]:
            for info in files.find_contents(session, file):
                yield info, iter(()) if info.is_folder else session.objects.read(info.hash)

        return self._stream(contents)

    def file_history(self, file: FileQuery, limit: int = -1) -> Iterator[FileInfo]:
        return self._stream(lambda session: files.file_history(session, file, limit))

    # -- pipelines -----------------------------------------------------------------------------------------------------

    def create_pipeline(
        self,
        document: Mapping[str, Any],
        *,
        project: str,
        update: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
        code: str = "",
    ) -> dict[str, Any]:
        """Create a pipeline, or a new version of one; returns its effective spec. With `dry_run` nothing else happens."""
        effective = self._look(lambda session: pipelines.effective(session, document, project))
        if not dry_run:
            request = pipelines.Request(document, project, update, reprocess, code)
            self._verb("create_pipeline", request=request)
        return effective

    def inspect_pipeline(self, pipeline: PipelineRef, back: int = 0) -> PipelineInfo:
        """The newest version, or the one `back` updates before it."""
        return self._look(lambda session: pipeline_info(session, pipelines.find_pipeline(session, pipeline, back)))

    def list_pipeline(
        self, projects: Sequence[str] | None = None, pipeline: PipelineRef | None = None, history: int = 0
    ) -> list[PipelineInfo]:
        return self._look(lambda session: pipelines.list_pipeline(session, projects, pipeline, history))

    def start_pipeline(self, pipeline: PipelineRef) -> None:
        self.change(lambda txn: pipelines.start_pipeline(txn, pipeline))

    def stop_pipeline(self, pipeline: PipelineRef) -> None:
        self.change(lambda txn: pipelines.stop_pipeline(txn, pipeline))

    def delete_pipeline(self, pipeline: PipelineRef, force: bool = False, keep_repo: bool = False, must_exist: bool = False) -> None:
        """Stop it, then remove it; if it cannot be removed it stays stopped, as on a cluster."""
        if not must_exist and self._look(lambda session: session.pipelines.pipeline(pipeline)) is None:
            return
        self.stop_pipeline(pipeline)
        self.change(lambda txn: pipelines.delete_pipeline(txn, pipeline, force, keep_repo))

    def rerun_pipeline(self, pipeline: PipelineRef, reprocess: bool = False) -> None:
        self.change(lambda txn: pipelines.rerun_pipeline(txn, pipeline, reprocess))

    def run_cron(self, pipeline: PipelineRef) -> None:
        cron.run_cron(self.database, pipeline)
        self.ensure_engine()

    def get_defaults(self, project: str | None = None) -> str:
        """Defaults of a project, or of everything, as JSON."""
        return self._look(lambda session: pipelines.get_defaults(session, project))

    def set_defaults(
        self,
        document: Mapping[str, Any] | None,
        project: str | None = None,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[PipelineRef]:
        """Replace defaults; returns the pipelines whose specs that changes, which `regenerate` updates."""

        def work(txn: Transaction) -> list[PipelineRef]:
            affected = pipelines.set_defaults(txn, document, project)
            if regenerate and not dry_run:
                for pipeline in affected:
                    pipelines.rerun_pipeline(txn, pipeline, reprocess)
            if dry_run:
                raise _DryRun(affected)
            return affected

        try:
            return self.change(work)
        except _DryRun as found:
            return found.affected

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def inspect_job(self, job: JobRef, wait: bool = False) -> JobInfo:
        """With `wait`, block until it is over."""

        def over(session: Session) -> JobInfo | None:
            info = jobs.find_job(session, job)
            return info if not wait or info.state.is_final else None

        return self.wait_until(over)

    def list_job(
        self,
        projects: Sequence[str] | None = None,
        pipeline: PipelineRef | None = None,
        inputs: Sequence[CommitQuery] = (),
        history: int = 0,
    ) -> Iterator[JobInfo]:
        return self._stream(lambda session: jobs.list_job(session, projects, pipeline, inputs, history))

    def inspect_job_set(self, id: str, wait: bool = False) -> JobSetInfo:
        """With `wait`, block until all its jobs are over; a set without jobs is empty, not an error."""

        def over(session: Session) -> JobSetInfo | None:
            found = jobs.job_set(session, id)
            return found if not wait or all(info.state.is_final for info in found.jobs) else None

        return self.wait_until(over)

    def list_job_set(self, projects: Sequence[str] | None = None) -> list[JobSetInfo]:
        return self._look(lambda session: jobs.list_job_set(session, projects))

    def stop_job(self, job: JobRef, reason: str = "") -> None:
        self._verb("stop_job", job=job, reason=reason)

    def stop_job_set(self, id: str) -> None:
        for info in self.inspect_job_set(id).jobs:
            self.stop_job(info.job)

    def delete_job(self, job: JobRef) -> None:
        self.change(lambda txn: jobs.delete_job(txn, job))

    def restart_datum(self, job: JobRef, filters: Sequence[str]) -> None:
        self.change(lambda txn: jobs.restart_datum(txn, job, filters))

    def job_pipeline(self, job: JobRef) -> PipelineInfo:
        """The version of the pipeline that a job runs."""

        def look(session: Session) -> PipelineInfo:
            info = jobs.find_job(session, job)
            row = session.pipelines.version(job.pipeline, info.pipeline_version)
            return pipeline_info(session, row or pipelines.find_pipeline(session, job.pipeline))

        return self._look(look)

    def resolve_job(self, text: str, project: str) -> JobRef:
        """A job from `pipeline@id`."""
        name, _, job_id = text.partition("@")
        head, slash, tail = name.rpartition("/")
        pipeline = PipelineRef(head if slash else project, tail)
        return self._look(lambda session: jobs.resolve_job(session, pipeline, job_id))

    # -- datums and logs -----------------------------------------------------------------------------------------------

    def list_datum(self, job: JobRef) -> Iterator[DatumInfo]:
        return self._stream(lambda session: jobs.list_datum(session, job))

    def list_datum_of(self, document: Mapping[str, Any], project: str) -> Iterator[DatumInfo]:
        """The datums that a spec would make of the present heads; only its input counts."""
        return iter(self._look(lambda session: pipelines.possible_datums(session, document, project)))

    def inspect_datum(self, job: JobRef, datum_id: str) -> DatumInfo:
        return self._look(lambda session: jobs.inspect_datum(session, job, datum_id))

    def logs(
        self,
        pipeline: PipelineRef | None = None,
        job: JobRef | None = None,
        datum: str = "",
        inputs: Sequence[str] = (),
        since: float | None = None,
        follow: bool = False,
    ) -> Iterator[Mapping[str, Any]]:
        """What user code printed, as the lines a cluster would log. With `follow` also what is to come, for ever."""
        folder = self.database.home.logs
        chosen = [job] if job else []
        shown = 0
        with Bell(self.database.home.bells) as bell:
            while True:
                found = list(read_logs(folder, pipeline, chosen, datum=datum, inputs=inputs, since=since))
                yield from found[shown:]
                shown = len(found)
                if not follow:
                    return
                bell.wait(1.0)

    def last_lines(self, job: JobRef, datum: str) -> list[str]:
        """The last lines a datum printed."""
        return last_lines(self.database.home.logs, job, datum)

    # -- transactions --------------------------------------------------------------------------------------------------

    def active_transaction(self) -> str:
        """The id of the transaction that verbs are appended to, "" if there is none."""
        return self._look(lambda session: session.repos.setting(_ACTIVE_TRANSACTION)) or ""

    def start_transaction(self) -> str:
        active = self.active_transaction()
        if active:
            raise Refused(
                f"cannot start a new transaction, since transaction with ID {active} already exists", hint="finish or stop it first"
            )
        row = PendingRow(new_id(), time.time(), [])
        with self.database.write() as session:
            session.pipelines.put_pending(row)
            session.repos.set_setting(_ACTIVE_TRANSACTION, row.id)
        return row.id

    def resume_transaction(self, id: str) -> None:
        with self.database.write() as session:
            find_pending(session, id)
            session.repos.set_setting(_ACTIVE_TRANSACTION, id)

    def finish_transaction(self, id: str = "") -> PendingRow:
        """Do everything in it as one change, whose commit set has the transaction's id."""
        row = self.inspect_transaction(id)

        def work(txn: Transaction) -> None:
            for request in row.requests:
                apply(txn, request["verb"], request["arguments"])
            self._end_transaction(txn.session, row.id)

        self.change(work, row.id)
        return row

    def stop_transaction(self) -> str:
        """Leave the active transaction, which stays listed with what it has collected; returns its id. Raises `Refused` without one."""
        row = self.inspect_transaction()
        with self.database.write() as session:
            session.repos.set_setting(_ACTIVE_TRANSACTION, None)
        return row.id

    def delete_transaction(self, id: str = "") -> str:
        """Forget it; nothing of it was done. Returns its id."""
        row = self.inspect_transaction(id)
        with self.database.write() as session:
            self._end_transaction(session, row.id)
        return row.id

    def _end_transaction(self, session: Session, id: str) -> None:
        session.pipelines.remove_pending(id)
        if session.repos.setting(_ACTIVE_TRANSACTION) == id:
            session.repos.set_setting(_ACTIVE_TRANSACTION, None)

    def inspect_transaction(self, id: str = "") -> PendingRow:
        """The one with this id, or the active one."""
        chosen = id or self.active_transaction()
        if not chosen:
            raise Refused("no transaction is active", hint="start transaction begins one")
        return self._look(lambda session: find_pending(session, chosen))

    def list_transaction(self) -> list[PendingRow]:
        return self._look(lambda session: session.pipelines.all_pending())

    # -- the rest ------------------------------------------------------------------------------------------------------

    def fsck(self, *, contents: bool = True) -> list[Finding]:
        """All that is wrong with the home; `contents` reads every byte of every file once, which is what takes time."""
        return self._look(lambda session: check(session, contents=contents))

    def create_secret(self, document: Mapping[str, Any]) -> None:
        """A Kubernetes secret document: metadata.name, and data (base64) or stringData."""
        name = (document.get("metadata") or {}).get("name", "")
        if not name:
            raise Refused("a secret needs metadata.name")
        with self.database.write() as session:
            session.pipelines.put_secret(name, time.time(), document)

    def list_secret(self) -> list[tuple[str, float]]:
        """Names and times of creation."""
        return self._look(lambda session: session.pipelines.secrets())

    def inspect_secret(self, name: str) -> Mapping[str, Any]:
        found = self._look(lambda session: session.pipelines.secret(name))
        if found is None:
            raise Refused(f"secret {name} not found")
        return found

    def delete_secret(self, name: str) -> None:
        self.inspect_secret(name)
        with self.database.write() as session:
            session.pipelines.remove_secret(name)

    def delete_all(self) -> None:
        """Empty the home: every pipeline, repo, project, transaction, secret and default."""
        for info in self.list_pipeline():
            self.stop_pipeline(info.pipeline)

        def work(txn: Transaction) -> None:
            for row in txn.session.pipelines.pipelines():
                txn.session.pipelines.remove_pipeline(row.pipeline)
            lifecycle.remove_repos(txn, txn.session.repos.repos(), force=True)
            for project in txn.session.repos.projects():
                lifecycle.delete_project(txn, project.name, force=True)
            for pending in txn.session.pipelines.all_pending():
                self._end_transaction(txn.session, pending.id)
            for name, _ in txn.session.pipelines.secrets():
                txn.session.pipelines.remove_secret(name)
            txn.session.repos.set_setting(pipelines.CLUSTER_DEFAULTS, None)
            txn.session.repos.set_setting(_CURRENT_PROJECT, None)

        self.change(work)


def _spec_commit_here() -> CommitRef | None:
    """The spec commit of the pipeline in whose worker this process runs, by its environment (reference pps 3.2)."""
    project, pipeline, commit = (os.environ.get(f"PPS_{name}", "") for name in ("PROJECT_NAME", "PIPELINE_NAME", "SPEC_COMMIT"))
    return CommitRef(RepoRef(project or DEFAULT_PROJECT, pipeline, SPEC), commit) if pipeline and commit else None


class _DryRun(Exception):
    """Carries an answer out of a change that is to be taken back."""

    def __init__(self, affected: list[PipelineRef]) -> None:
        super().__init__()
        self.affected = affected
