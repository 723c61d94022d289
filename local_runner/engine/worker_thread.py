"""The thread of a worker: opens the worker, runs one set of datums after another, and reports their outcomes."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from local_runner import beneath
from local_runner.engine.attempt import JobContext
from local_runner.engine.batching.client import NextDatumServers
from local_runner.engine.datum_run import DatumRunner
from local_runner.engine.run_control import DatumStopped
from local_runner.engine.s3_gateway import S3Gateway, s3_env, s3_gateway
from local_runner.engine.stored_contents import StoredContents
from local_runner.engine.worker_request import MakeRequest
from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Executor, Worker, workers_disk_full
from local_runner.executors.launcher.removal import remove_leftover
from local_runner.executors.parts import Scratch
from local_runner.model.datums import Datum
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef
from local_runner.pipelines.outcome import Outcome
from local_runner.storage.database import Database


@dataclass(frozen=True, slots=True)
class DatumEnded:
    """A datum ended."""

    job: JobRef
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Free:
    """A worker has done with the set it was given, or gave it up."""

    worker: WorkerThread


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The thread of a worker ended: it was told to, or because of `error`, which befell `datum` if it was at one."""

    worker: WorkerThread
    error: LocalRunnerError | None
    datum: Datum | None


Event = DatumEnded | Free | WorkerEnded


class OpenWorker(NamedTuple):
    """A worker and where its datums lie; `owner` is the user and group id its processes run as, if `transform.user` names one."""

    worker: Worker
    scratch: Scratch
    owner: tuple[int, int] | None


@contextlib.contextmanager
def open_worker(
    database: Database,
    executor: Executor,
    make_request: MakeRequest,
    name: str,
    port: int = 0,
    places: Sequence[Path] = (),
    s3_port: int = 0,
) -> Iterator[OpenWorker]:
    """A worker in folders of its own, which go with it; below `places`, else where workers of the engine have theirs.

    `port` and `s3_port` are where its processes reach NextDatum and their S3 gateway, 0 for none.

    Raises `Unavailable`.
    """
    folders = [place / f"{name}-{uuid.uuid4().hex[:8]}" for place in places or database.home.workers]
    pfs = folders[0] / "pfs"
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True)  # before secrets are written there
        pfs.mkdir()
        request = make_request(name, pfs, folders[-1], port)
        if s3_port:
            request = replace(request, env={**request.env, **s3_env(s3_port)})
        request = replace(request, contents=StoredContents(database))
        request.scratch.mkdir(parents=True)
        owner = executor.owner(request)
        for folder in folders:
            if owner:
                os.chown(folder, *owner)
        scratch = beneath.open_root(request.scratch)
        try:
            with executor.worker(request) as worker:
                yield OpenWorker(worker, Scratch(scratch, request.scratch), owner)
        finally:
            os.close(scratch)
    finally:
        for folder in folders:
            remove_leftover(str(folder))


@dataclass(frozen=True, slots=True)
class Assignment:
    """A set of datums of a job, for one worker."""

    context: JobContext
    datums: tuple[Datum, ...]

    @property
    def job(self) -> JobRef:
        return self.context.job


@dataclass(frozen=True, slots=True)
class _Warm:
    context: JobContext


@dataclass(frozen=True, slots=True)
class _Cool:
    pass


_Request = Assignment | _Warm | _Cool


class WorkerThread(threading.Thread):
    """The thread of one worker of one version of a pipeline. The engine's thread calls all methods but `run`.

    Its last word is `WorkerEnded`, whatever ended it.
    """

    def __init__(
        self,
        version: str,
        number: int,
        database: Database,
        executor: Executor,
        make_request: MakeRequest,
        next_datum_servers: NextDatumServers | None,
        spec: PipelineSpec,
        report: Callable[[Event], None],
    ) -> None:
        super().__init__(name=f"{version}-{number}", daemon=True)
        self.number = number  # among the workers of its version
        self._database = database
        self._executor = executor
        self._make_request = make_request
        self._next_datum_servers = next_datum_servers
        self._spec = spec
        self._gateway: S3Gateway | None = None
        self._report = report
        self._inbox: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._runner: DatumRunner | None = None
        self._warm_for: JobContext | None = None  # the job for which its process was started before a set came
        self.assigned: Assignment | None = None  # what the pool gave it and it did not report on yet; written by the pool alone
        self.where = ""  # the machine it is on, once it is open; "" is this one
        self.current: tuple[Datum, float] | None = None  # what it runs, and since when; written by its own thread alone
        self._abandoned = False

    @property
    def full_name(self) -> str:
        """Its name, and the machine it is on if that is another."""
        return f"{self.name} on {self.where}" if self.where else self.name

    def work(self, assignment: Assignment) -> None:
        """Run a set of datums; ends in `Free` or `WorkerEnded`."""
        self._abandoned = False
        self._inbox.put(assignment)

    def warm(self, context: JobContext) -> None:
        """Be ready for a job whose datums are not known yet: with its process started, if it is one that batches."""
        self._inbox.put(_Warm(context))

    def cool(self) -> None:
        """End a batching process that waits for nothing any more."""
        if self._next_datum_servers:
            self._inbox.put(_Cool())

    def abandon(self) -> None:
        """Give up the present set at once; unfinished datums do not count."""
        self._abandoned = True
        if self._runner is not None:
            self._runner.interrupt()

    def restart(self, datum: str) -> None:
        """Make the present attempt of a datum a failed one, if it is the one that runs."""
        if self._runner is not None:
            self._runner.restart(datum)

    def close(self) -> None:
        """End what runs and the worker itself; `join` to wait for it."""
        self.abandon()
        self._inbox.put(None)

    # -- in its own thread ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        error: LocalRunnerError | None = None
        try:
            request = self._inbox.get()
            if request is not None:
                with self._worker() as runner:
                    self._runner = runner
                    while request is not None:
                        self._serve(runner, request)
                        request = self._inbox.get()
        except Exception as why:
            # Whatever it was: the engine waits for this worker's word, and the job has to end.
            error = self._in_words(why)
        finally:
            self._close_warm_log()
            self._database.close_thread()
            self._report(WorkerEnded(self, error, self.current[0] if self.current else None))

    def _in_words(self, error: Exception) -> LocalRunnerError:
        if isinstance(error, LocalRunnerError):
            return error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return workers_disk_full()
        return LocalRunnerError(f"worker {self.name}: {error!r}")

    @contextlib.contextmanager
    def _worker(self) -> Iterator[DatumRunner]:
        client = self._next_datum_servers.open() if self._next_datum_servers else None
        with contextlib.ExitStack() as stack:
            if client:
                stack.callback(client.close)
            self._gateway = stack.enter_context(s3_gateway(self._database.home.path, self._spec))
            ports = client.port if client else 0, self._gateway.port if self._gateway else 0
            with open_worker(self._database, self._executor, self._make_request, self.name, ports[0], s3_port=ports[1]) as opened:
                self.where = opened.worker.where
                if client:
                    client.attach(opened.worker)
                if self._gateway:
                    self._gateway.attach(opened.worker)
                runner = DatumRunner(self._database, opened.worker, self.full_name, opened.scratch, client, opened.owner)
                try:
                    yield runner
                finally:
                    if runner.batch:
                        runner.batch.put_back()

    def _serve(self, runner: DatumRunner, request: _Request) -> None:
        if isinstance(request, _Warm):
            if runner.batch and not self._abandoned:
                self._forget_warm(runner, request.context.job)
                self._warm_for = request.context
                runner.batch.start(request.context)
            return
        if isinstance(request, Assignment):
            self._forget_warm(runner, request.job)
            self._run_set(runner, request)
        if runner.batch:
            runner.batch.end()
        self._close_warm_log()
        if isinstance(request, Assignment):
            runner.clear()
            self._report(Free(self))

    def _forget_warm(self, runner: DatumRunner, job: JobRef) -> None:
        """End a batching process that was started for another job than this one, as its variables name that."""
        if runner.batch and self._warm_for and self._warm_for.job != job:
            runner.batch.end()
            self._close_warm_log()

    def _run_set(self, runner: DatumRunner, assignment: Assignment) -> None:
        runner.resume()
        if self._abandoned:
            runner.interrupt()
        runner.begin_set(uuid.uuid4().hex, assignment.datums)
        if self._gateway:
            self._gateway.serve(assignment.datums, assignment.job if assignment.context.spec.s3_out else None)
        with contextlib.suppress(DatumStopped):
            for datum in assignment.datums:
                self.current = (datum, self._database.clock())
                self._report(DatumEnded(assignment.job, runner.run(assignment.context, datum)))
        self.current = None  # it stays where an error came between: that is the datum it befell

    def _close_warm_log(self) -> None:
        """Close the log for what a batching process printed before its first datum."""
        if self._warm_for is not None:
            self._warm_for.log.close()
            self._warm_for = None
