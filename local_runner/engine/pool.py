"""The workers of all pipelines: started when there is work for them, kept for the next job, ended when their version is gone."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from local_runner.engine.attempt import JobContext
from local_runner.engine.config import EngineConfig
from local_runner.engine.job_run import JobRun
from local_runner.engine.worker_request import WorkerRequests
from local_runner.engine.worker_thread import Assignment, Event, WorkerThread
from local_runner.errors import LocalRunnerError
from local_runner.model.jobs import JobInfo, RunningDatum
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.storage.database import Database
from local_runner.storage.job_log import JobLog
from local_runner.storage.pipeline_records import PipelineRow


class Pool:
    """The workers of all pipelines. Called from the engine's thread alone; workers answer by `report`.

    It alone says who is assigned what: `dispatch` gives a set, `freed` and `forget` take it back.
    """

    def __init__(self, database: Database, config: EngineConfig, requests: WorkerRequests, report: Callable[[Event], None]) -> None:
        self._database, self._config, self._requests, self._report = database, config, requests, report
        self._workers: dict[tuple[PipelineRef, int], list[WorkerThread]] = {}
        self._leaving: list[WorkerThread] = []  # of former versions: told to go, and not gone yet
        self._created: dict[PipelineRef, float] = {}  # of each pipeline: when it was created

    @property
    def all(self) -> list[WorkerThread]:
        return [worker for workers in self._workers.values() for worker in workers] + self._leaving

    @property
    def busy(self) -> int:
        """The number of workers that have a set of datums."""
        return sum(worker.assigned is not None for worker in self.all)

    def close(self) -> None:
        """End what runs and all workers; `join` to wait for them."""
        for worker in self.all:
            worker.close()

    def join(self) -> None:
        for worker in self.all:
            worker.join()
        self._config.next_datum_servers.close()

    @property
    def has_room(self) -> bool:
        """Whether another worker may run at once."""
        return self.busy < self._config.jobs

    def dispatch(self, run: JobRun) -> None:
        """Give a waiting set of a job to a worker, if one is free or may be started."""
        worker = self._free(run.info, run.spec)
        if worker is not None:
            worker.assigned = Assignment(run.context, run.sets.popleft())
            worker.work(worker.assigned)

    def freed(self, worker: WorkerThread) -> Assignment | None:
        """Note that a worker has no set any more; returns the set it had."""
        assigned, worker.assigned = worker.assigned, None
        return assigned

    def warm_up(self, info: JobInfo, row: PipelineRow, spec: PipelineSpec) -> None:
        """Set up workers while the stage before still works: one, or all if they batch; then their processes import what they need."""
        if not spec.transform.cmd:
            return
        wanted = min(spec.parallelism, self._config.jobs) if spec.transform.datum_batching else 1
        workers = self._workers.setdefault((info.job.pipeline, row.version), [])
        context = JobContext(info.job, spec, {}, JobLog(self._database.home.logs, info.job, clock=self._database.clock))
        while len(workers) < wanted:
            workers.append(self._hire(info, spec, _lowest_free(workers)))
        for worker in workers:
            if worker.assigned is None:
                worker.warm(context)

    def running(self) -> dict[JobRef, tuple[RunningDatum, ...]]:
        """The datums that workers run, by job."""
        found: dict[JobRef, tuple[RunningDatum, ...]] = {}
        for worker in self.all:
            assigned, current = worker.assigned, worker.current
            if assigned is not None and current is not None:
                datum, since = current
                paths = tuple(file.path for file in datum.inputs)
                hashes = tuple(base64.b64encode(file.hash).decode() for file in datum.inputs)
                one = RunningDatum(worker.full_name, datum.id, paths, since, hashes)
                found[assigned.job] = (*found.get(assigned.job, ()), one)
        return found

    def restart(self, job: JobRef, datums: Iterable[str]) -> None:
        """Make the present attempts of these datums failed ones."""
        for worker in self._of(job):
            for datum in datums:
                worker.restart(datum)

    def release(self, job: JobRef) -> None:
        """Stop all workers of a job."""
        for worker in self._of(job):
            worker.abandon()
        self.cool(job.pipeline)

    def cool(self, pipeline: PipelineRef) -> None:
        """Let go of processes that were started for a job that is over."""
        for (other, _), workers in self._workers.items():
            if other == pipeline:
                for worker in workers:
                    worker.cool()

    def keep(self, rows: Mapping[PipelineRef, PipelineRow]) -> None:
        """Let the workers of former versions go, and of a pipeline that was deleted and created anew, which begins at version 1 again."""
        for key in list(self._workers):
            row = rows.get(key[0])
            if row is None or row.version != key[1] or row.created != self._created.get(key[0], row.created):
                for worker in self._workers.pop(key):
                    worker.close()
                    self._leaving.append(worker)

    def forget(self, worker: WorkerThread) -> Assignment | None:
        """Forget a worker whose thread has ended; returns the set it had."""
        for workers in (*self._workers.values(), self._leaving):
            if worker in workers:
                workers.remove(worker)
        return self.freed(worker)

    def _of(self, job: JobRef) -> list[WorkerThread]:
        return [worker for worker in self.all if worker.assigned and worker.assigned.job == job]

    def _free(self, info: JobInfo, spec: PipelineSpec) -> WorkerThread | None:
        workers = self._workers.setdefault((info.job.pipeline, info.pipeline_version), [])
        free = next((worker for worker in workers if worker.assigned is None), None)
        if free is None and len(workers) < spec.parallelism:
            free = self._hire(info, spec, _lowest_free(workers))
            workers.append(free)
        return free

    def _hire(self, info: JobInfo, spec: PipelineSpec, number: int) -> WorkerThread:
        with self._database.read() as session:
            row = session.pipelines.version(info.job.pipeline, info.pipeline_version)
        if row is None:
            raise LocalRunnerError(f"pipeline {info.job.pipeline} is gone")
        self._created[info.job.pipeline] = row.created
        name = f"{spec.pipeline.project}-{spec.pipeline.name}-v{row.version}"
        request = self._requests.of(spec, row.spec_commit, number)
        next_datum_servers = self._config.next_datum_servers if spec.transform.datum_batching else None
        worker = WorkerThread(name, number, self._database, self._config.executor, request, next_datum_servers, spec, self._report)
        worker.start()
        return worker


def _lowest_free(workers: Sequence[WorkerThread]) -> int:
    """The lowest number that no worker has."""
    taken = {worker.number for worker in workers}
    return next(number for number in itertools.count() if number not in taken)
