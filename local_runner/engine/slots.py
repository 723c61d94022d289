"""Workers of pipelines as threads: each owns a place to run commands in, takes a set of datums at a time, and says what became of them."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from local_runner.engine.batching import Attendants
from local_runner.engine.datum_run import DatumRunner, JobContext, Outcome, Stopped
from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Executor, Worker, WorkerRequest
from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef
from local_runner.storage.database import Database


@dataclass(frozen=True, slots=True)
class Done:
    """A datum ended."""

    job: JobRef
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SetDone:
    """A worker is free again; `left` counts datums of its set that it did not get to."""

    job: JobRef
    slot: Slot
    left: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """A worker cannot work: the executor or the store failed, not user code."""

    job: JobRef
    slot: Slot
    error: LocalRunnerError


Event = Done | SetDone | Broken
MakeRequest = Callable[[str, Path, Path, int], WorkerRequest]  # worker name, its /pfs, its folder on a disk, port of NextDatum


class Hired(NamedTuple):
    """A worker and where its datums lie; `owner` is the user and group id its processes run as, if `transform.user` names one."""

    worker: Worker
    pfs: Path
    scratch: Path
    owner: tuple[int, int] | None


@contextlib.contextmanager
def hired(
    database: Database, executor: Executor, make_request: MakeRequest, name: str, port: int = 0, places: Sequence[Path] = ()
) -> Iterator[Hired]:
    """A worker in folders of its own, which go with it; below `places`, else where workers of the engine have theirs.

    Raises `Unavailable`.
    """
    folders = [place / f"{name}-{uuid.uuid4().hex[:8]}" for place in places or database.home.workers]
    pfs = folders[0] / "pfs"
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True)  # before secrets are written there
        pfs.mkdir()
        request = make_request(name, pfs, folders[-1], port)
        request.scratch.mkdir(parents=True)
        owner = executor.owner(request)
        for folder in folders:
            if owner:
                os.chown(folder, *owner)
        with executor.worker(request) as worker:
            yield Hired(worker, pfs, request.scratch.resolve(), owner)
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Set:
    context: JobContext
    datums: tuple[Datum, ...]


@dataclass(frozen=True, slots=True)
class _Warm:
    context: JobContext


@dataclass(frozen=True, slots=True)
class _Cool:
    pass


_Request = _Set | _Warm | _Cool


class Slot(threading.Thread):
    """One worker of one version of a pipeline, which has `attendants` if it batches. The engine's thread calls everything but `run`."""

    def __init__(
        self,
        name: str,
        database: Database,
        executor: Executor,
        make_request: MakeRequest,
        attendants: Attendants | None,
        report: Callable[[Event], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._database = database
        self._executor = executor
        self._make_request = make_request
        self._attendants = attendants
        self._report = report
        self._inbox: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._runner: DatumRunner | None = None
        self.job: JobRef | None = None  # whose set it has; None while it is free
        self.current: tuple[Datum, float] | None = None  # what it runs, and since when
        self._abandoned = False

    def work(self, context: JobContext, datums: tuple[Datum, ...]) -> None:
        """Run a set of datums; ends in `SetDone` or `Broken`."""
        self.job = context.job
        self._abandoned = False
        self._inbox.put(_Set(context, datums))

    def warm(self, context: JobContext) -> None:
        """Be ready for a job whose datums are not known yet: with its process started, if it is one that batches."""
        self._inbox.put(_Warm(context))

    def cool(self) -> None:
        """End a batching process that waits for nothing any more."""
        if self._attendants:
            self._inbox.put(_Cool())

    def abandon(self) -> None:
        """Give up the present set at once; what was not finished counts for nothing."""
        self._abandoned = True
        if self._runner is not None:
            self._runner.interrupt()

    def restart(self, datum: str) -> None:
        """Make the present attempt of a datum a failed one, if it is the one that runs."""
        if self._runner is not None and self.current is not None and self.current[0].id == datum:
            self._runner.interrupt(restart=True)

    def close(self) -> None:
        """End what runs and the worker itself; `join` to wait for it."""
        self.abandon()
        self._inbox.put(None)

    # -- in its own thread ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        request: _Request | None = self._inbox.get()
        if request is None:
            return
        try:
            with self._worker() as runner:
                self._runner = runner
                while request is not None:
                    self._serve(runner, request)
                    request = self._inbox.get()
        except LocalRunnerError as error:
            self._break(request, error)
        except Exception as error:
            # Whatever it was: the engine waits for this worker's word, and the job has to end.
            self._break(request, LocalRunnerError(f"worker {self.name}: {error!r}"))
        finally:
            self._database.close_thread()

    def _break(self, request: _Request | None, error: LocalRunnerError) -> None:
        # Requests that come after this are answered by the engine, which forgets a broken slot.
        if isinstance(request, (_Set, _Warm)):
            self._report(Broken(request.context.job, self, error))

    @contextlib.contextmanager
    def _worker(self) -> Iterator[DatumRunner]:
        attendant = self._attendants.hire() if self._attendants else None
        try:
            with hired(self._database, self._executor, self._make_request, self.name, attendant.port if attendant else 0) as place:
                if attendant:
                    attendant.settle(place.worker, place.pfs, place.scratch, place.owner)
                yield DatumRunner(self._database, place.worker, self.name, place.scratch, attendant, place.owner)
        finally:
            if attendant:
                attendant.close()

    def _serve(self, runner: DatumRunner, request: _Request) -> None:
        if isinstance(request, _Warm):
            if self._attendants and not self._abandoned:
                runner.start_batch(request.context)
            return
        if isinstance(request, _Cool):
            runner.end_batch()
            return
        runner.resume()
        if self._abandoned:
            runner.interrupt()
        runner.begin_set(uuid.uuid4().hex, request.datums)
        context, left = request.context, len(request.datums)
        try:
            for datum in request.datums:
                self.current = (datum, time.time())
                outcome = runner.run_batched(context, datum) if self._attendants else runner.run(context, datum)
                left -= 1
                self._report(Done(request.context.job, outcome))
        except Stopped:
            pass
        finally:
            self.current = None
            if self._attendants:
                runner.end_batch()
            runner.clear()
        self._report(SetDone(request.context.job, self, left))
