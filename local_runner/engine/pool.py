"""The workers of all pipelines: hired when there is work for them, kept for the next, let go when their version is gone."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from local_runner.engine.batching import Attendants
from local_runner.engine.datum_run import JobContext
from local_runner.engine.job_run import JobRun
from local_runner.engine.logs import JobLog
from local_runner.engine.observers import Observer, Silent
from local_runner.engine.slots import Assignment, Event, MakeRequest, Slot
from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Executor
from local_runner.model.jobs import JobInfo, RunningDatum
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.storage.database import Database
from local_runner.storage.pipeline_records import PipelineRow


@dataclass(frozen=True, slots=True)
class Staffing:
    """Who does the work: the executor, how many datums at once over all pipelines, and what a worker of a version is asked for.

    With `residents` spouts and services run too, and the engine stays as long as they do. Jobs that may not begin wait for another
    engine. With `ignore_failures` a datum that fails counts as one whose error command succeeded, so what follows runs. `remarks` are
    what the log of a job says first about the image it runs on. The `attendants` of workers that batch end with the engine.
    """

    executor: Executor
    jobs: int
    request_for: Callable[[PipelineRow, PipelineSpec], MakeRequest]
    observer: Observer = field(default_factory=Silent)
    residents: bool = False
    may_begin: Callable[[JobInfo], bool] = lambda info: True
    ignore_failures: bool = False
    remarks: Callable[[PipelineSpec], Iterable[str]] = lambda spec: ()
    attendants: Attendants = field(default_factory=Attendants)


class Pool:
    """All workers. Called from the engine's thread alone; they answer by `report`.

    It alone says who is assigned what: `dispatch` gives a set, `freed` and `forget` take it back.
    """

    def __init__(self, database: Database, staffing: Staffing, report: Callable[[Event], None]) -> None:
        self._database, self._staffing, self._report = database, staffing, report
        self._slots: dict[tuple[PipelineRef, int], list[Slot]] = {}
        self._leaving: list[Slot] = []  # of former versions: told to go, and not gone yet
        self._created: dict[PipelineRef, float] = {}  # the pipelines they were hired for

    @property
    def all(self) -> list[Slot]:
        return [slot for slots in self._slots.values() for slot in slots] + self._leaving

    @property
    def busy(self) -> int:
        """How many have a set of datums."""
        return sum(slot.assigned is not None for slot in self.all)

    def close(self) -> None:
        """End what runs and all workers; `join` to wait for them."""
        for slot in self.all:
            slot.close()

    def join(self) -> None:
        for slot in self.all:
            slot.join()
        self._staffing.attendants.close()

    @property
    def has_room(self) -> bool:
        """Whether the machine is to bear more at once."""
        return self.busy < self._staffing.jobs

    def dispatch(self, run: JobRun) -> None:
        """Give a waiting set of a job to a worker, if one is free or may be hired."""
        slot = self._free(run.info, run.spec)
        if slot is not None:
            slot.assigned = Assignment(run.context, run.sets.popleft())
            slot.work(slot.assigned)

    def freed(self, slot: Slot) -> Assignment | None:
        """It has nothing to do any more; returns what it had."""
        assigned, slot.assigned = slot.assigned, None
        return assigned

    def warm_up(self, info: JobInfo, row: PipelineRow, spec: PipelineSpec) -> None:
        """Set up workers while the stage before still works: one, or all if they batch; then their processes import what they need."""
        if not spec.transform.cmd:
            return
        wanted = min(spec.parallelism, self._staffing.jobs) if spec.transform.datum_batching else 1
        slots = self._slots.setdefault((info.job.pipeline, row.version), [])
        context = JobContext(info.job, spec, {}, JobLog(self._database.home.logs, info.job))
        while len(slots) < wanted:
            slots.append(self._hire(info, spec, _lowest_free(slots)))
        for slot in slots:
            if slot.assigned is None:
                slot.warm(context)

    def running(self) -> dict[JobRef, tuple[RunningDatum, ...]]:
        """What workers are at, for each job that has some."""
        found: dict[JobRef, tuple[RunningDatum, ...]] = {}
        for slot in self.all:
            assigned, current = slot.assigned, slot.current
            if assigned is not None and current is not None:
                datum, since = current
                paths = tuple(file.path for file in datum.inputs)
                hashes = tuple(base64.b64encode(file.hash).decode() for file in datum.inputs)
                one = RunningDatum(slot.name, datum.id, paths, since, hashes)
                found[assigned.job] = (*found.get(assigned.job, ()), one)
        return found

    def restart(self, job: JobRef, datums: Iterable[str]) -> None:
        """Make the present attempts of these datums failed ones."""
        for slot in self._of(job):
            for datum in datums:
                slot.restart(datum)

    def release(self, job: JobRef) -> None:
        """Nobody works for a job any more."""
        for slot in self._of(job):
            slot.abandon()
        self.cool(job.pipeline)

    def cool(self, pipeline: PipelineRef) -> None:
        """Let go of processes that were started for a job that is over."""
        for (other, _), slots in self._slots.items():
            if other == pipeline:
                for slot in slots:
                    slot.cool()

    def keep(self, rows: Mapping[PipelineRef, PipelineRow]) -> None:
        """Let the workers of former versions go, and of a pipeline that was deleted and created anew, which begins at version 1 again."""
        for key in list(self._slots):
            row = rows.get(key[0])
            if row is None or row.version != key[1] or row.created != self._created.get(key[0], row.created):
                for slot in self._slots.pop(key):
                    slot.close()
                    self._leaving.append(slot)

    def forget(self, slot: Slot) -> Assignment | None:
        """Its thread has ended; returns what it had."""
        for slots in (*self._slots.values(), self._leaving):
            if slot in slots:
                slots.remove(slot)
        return self.freed(slot)

    def _of(self, job: JobRef) -> list[Slot]:
        return [slot for slot in self.all if slot.assigned and slot.assigned.job == job]

    def _free(self, info: JobInfo, spec: PipelineSpec) -> Slot | None:
        slots = self._slots.setdefault((info.job.pipeline, info.pipeline_version), [])
        free = next((slot for slot in slots if slot.assigned is None), None)
        if free is None and len(slots) < spec.parallelism:
            free = self._hire(info, spec, _lowest_free(slots))
            slots.append(free)
        return free

    def _hire(self, info: JobInfo, spec: PipelineSpec, number: int) -> Slot:
        with self._database.read() as session:
            row = session.pipelines.version(info.job.pipeline, info.pipeline_version)
        if row is None:
            raise LocalRunnerError(f"pipeline {info.job.pipeline} is gone")
        self._created[info.job.pipeline] = row.created
        name = f"{spec.pipeline.project}-{spec.pipeline.name}-v{row.version}"
        request = self._staffing.request_for(row, spec)
        attendants = self._staffing.attendants if spec.transform.datum_batching else None
        slot = Slot(name, number, self._database, self._staffing.executor, request, attendants, self._report)
        slot.start()
        return slot


def _lowest_free(slots: Sequence[Slot]) -> int:
    """A number for one more worker: where one was lost, its own again."""
    taken = {slot.number for slot in slots}
    return next(number for number in itertools.count() if number not in taken)
