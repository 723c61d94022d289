"""Handles jobs that have not begun: begins those that can, ends those that never will, and remembers what the others wait for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from local_runner.engine.config import EngineConfig
from local_runner.engine.guard import Guard
from local_runner.engine.job_run import JobRun
from local_runner.engine.pool import Pool
from local_runner.engine.services import Services
from local_runner.model.ids import new_id
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef
from local_runner.pipelines.job_end import end_job
from local_runner.pipelines.stored_specs import spec_of
from local_runner.pipelines.triggers import fire_triggers
from local_runner.planning.agenda import Agenda
from local_runner.planning.readiness import Candidate, candidates, judge
from local_runner.repos.transaction import Transaction
from local_runner.specs.notes import local_egress
from local_runner.storage.database import Database, Session
from local_runner.storage.job_log import JobLog
from local_runner.storage.pipeline_records import PipelineRow


class NewJobs:
    """`begun` is given each job that begins, `tell` each that changed; what goes wrong ends in `guard`."""

    def __init__(
        self,
        database: Database,
        config: EngineConfig,
        guard: Guard,
        pool: Pool,
        services: Services,
        begun: Callable[[JobRun], None],
        tell: Callable[[JobInfo], None],
    ) -> None:
        self._database, self._config, self._guard, self._pool, self._services = database, config, guard, pool, services
        self._begun, self._tell = begun, tell
        self._agenda = Agenda()
        self._waits: dict[JobRef, tuple[PipelineRow, int]] = {}  # by which version, and for which commit, a job was found to wait
        self._considered: set[JobRef] = set()  # since the agenda changed
        self.is_behind = False  # there was no time for all of them

    def look(self, session: Session, agenda: Agenda) -> None:
        """Take over a new agenda; jobs that wait for inputs that are finished by now are considered again."""
        self._agenda = agenda
        self._considered.clear()
        awaited = session.commits.open_among({key for _, key in self._waits.values()})
        self._waits = {
            job: (row, key) for job, (row, key) in self._waits.items() if key in awaited and agenda.rows.get(job.pipeline) is row
        }

    def take_on(self, under_way: Mapping[JobRef, JobRun], seconds: float) -> None:
        """Begin jobs that can begin and end those that never will, for a limited time."""
        agenda, until, self.is_behind = self._agenda, time.monotonic() + seconds, False
        serves = self._services.serves if self._config.services else None

        def has_waiting(job: JobRef) -> bool:
            return bool(under_way[job].sets)

        for candidate in candidates(agenda.unfinished, agenda.rows, under_way, agenda.services, serves, has_waiting):
            job = candidate.job
            if job in self._waits or job in self._considered or job.pipeline in self._guard.aside:
                continue
            self._considered.add(job)
            self._guard.for_job(job, partial(self._consider, candidate))
            if time.monotonic() > until:
                self.is_behind = True
                return

    def _consider(self, candidate: Candidate) -> None:
        job, row = candidate.job, candidate.row
        with self._database.read() as session:
            info = session.pipelines.job(job)
            if info is None or info.state.is_final:
                return
            verdict = judge(session, job, row)
        if verdict.end is not None:
            self._end(info, verdict.end, verdict.reason)
        elif verdict.waits_for:
            self._waits[job] = row, verdict.waits_for
            if self._config.may_begin(info):
                self._wait(info, row, warm=not candidate.before)
        elif self._config.may_begin(info):
            if job.pipeline in self._agenda.services:
                self._begin_service(info, row, candidate.before)
            else:
                self._begin(info, row, spec_of(row))

    def _wait(self, info: JobInfo, row: PipelineRow, *, warm: bool) -> None:
        """Note that a job waits for its inputs; with `warm`, let its workers get ready meanwhile."""
        if info.state is JobState.CREATED:
            with self._database.write() as session:
                if not is_unfinished(session, info.job):
                    return
                session.pipelines.update_job(dataclasses.replace(info, state=JobState.STARTING))
            if warm:
                self._pool.warm_up(info, row, spec_of(row))

    def _begin(self, info: JobInfo, row: PipelineRow, spec: PipelineSpec) -> None:
        target = local_egress(spec, self._database.home.path.parent)
        run = JobRun(
            info,
            spec,
            row.salt,
            JobLog(self._database.home.logs, info.job, clock=self._database.clock),
            target,
            ignore_failures=self._config.ignore_failures,
        )
        with self._database.read() as session:
            run.prepare(session)
        with self._database.write() as session:
            # It may have ended since it was listed, by this engine or another process.
            if not is_unfinished(session, info.job):
                return
            run.begin(Transaction(session, new_id(), session.clock()))
        self._begun(run)
        self._tell(run.info)

    def _begin_service(self, info: JobInfo, row: PipelineRow, before: Sequence[JobRef]) -> None:
        """Begin the job of a service, which has no time of start before it ends (reference pps 4.8)."""
        for older in before:
            with self._database.read() as session:
                other = session.pipelines.job(older)
            if other is not None:
                self._end(other, JobState.SUCCESS, "")
        running = dataclasses.replace(info, state=JobState.RUNNING)
        with self._database.write() as session:
            if not is_unfinished(session, info.job):
                return
            service = self._services.spec_of_service(session, info, row, spec_of(row))
            session.pipelines.update_job(running)
        self._services.serve(service)
        self._tell(running)

    def _end(self, info: JobInfo, state: JobState, reason: str) -> None:
        """End a job that never began."""
        with self._database.write() as session:
            if not is_unfinished(session, info.job):
                return
            closed = end_job(Transaction(session, new_id(), session.clock()), info, state, reason)
            ended = session.pipelines.job(info.job)
        self._pool.cool(info.job.pipeline)
        if ended is not None:
            self._tell(ended)
        self._guard.for_pipeline(info.job.pipeline, lambda: fire_triggers(self._database, [row.key for row in closed]))


def is_unfinished(session: Session, job: JobRef) -> bool:
    """Whether a job is there and has no final state."""
    info = session.pipelines.job(job)
    return info is not None and not info.state.is_final
