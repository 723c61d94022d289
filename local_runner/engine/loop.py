"""The engine of a home: begins jobs, hands datums to workers, and writes their outcomes, until no work is left.

One thread looks at the records and decides; workers are threads that run user code. It meets the commands of people only in the
records: they wake it after a change, it wakes them.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial

from local_runner.engine.clocks import make_due_ticks
from local_runner.engine.config import EngineConfig
from local_runner.engine.egress import Copied, Egress
from local_runner.engine.guard import Guard, in_words
from local_runner.engine.job_run import TIMED_OUT, JobRun, Phase
from local_runner.engine.new_jobs import NewJobs, is_unfinished
from local_runner.engine.pool import Pool
from local_runner.engine.services import Services
from local_runner.engine.start import executor_remarks, start_pipeline
from local_runner.engine.turns import Turns
from local_runner.engine.worker_request import WorkerRequests
from local_runner.engine.worker_thread import DatumEnded, Event, Free, WorkerEnded
from local_runner.errors import ClusterLost, DiskFull, LocalRunnerError, Unavailable, WorkerLost
from local_runner.model.datums import Datum
from local_runner.model.ids import new_id
from local_runner.model.jobs import JobInfo, JobState, RunningDatum
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef
from local_runner.pipelines.triggers import fire_triggers
from local_runner.planning.agenda import Agenda, read_agenda
from local_runner.repos.transaction import Transaction
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Database
from local_runner.storage.wakeup import Wakeup

# Outcomes are written this often, and at the end of a step: a kill costs at most what came since. Datums have random places in the
# meta tree, so writing 70 costs a third of writing 700: where it takes long it is done less often, to be a small part of the work.
FLUSH_SECONDS = 0.5
_FLUSH_SHARE = 0.1
# Of what there may be much of, so much is done at a time: the others wait no longer for their turn, nor people for the records.
_TURN = 0.1
_CRON_PATIENCE = 60.0  # a clock that ticks sooner keeps the engine up
SOMEBODY_ELSE = "engine wanted"  # a setting: another process wants to be the engine, in place of one that only keeps clocks and services


class Engine:
    """Works on one home, whose engine lock its creator holds. A context manager; then call `work`.

    Whatever is done for one job or one pipeline goes through a guard, where what goes wrong ends. Only a home that cannot be written
    ends the engine.
    """

    def __init__(self, database: Database, config: EngineConfig) -> None:
        self._database = database
        self._config = config
        self._requests = WorkerRequests(database, config)
        self._events: queue.SimpleQueue[Event | Copied] = queue.SimpleQueue()
        self._runs: dict[JobRef, JobRun] = {}  # of each pipeline the oldest first
        self._turns = Turns()
        self._pool = Pool(database, config, self._requests, self._put)
        self._egresses: dict[JobRef, Egress] = {}
        self._wakeup = Wakeup(database.home.wakeups)
        self._services = Services(database, config.executor, self._requests, self._wakeup.notify)
        self.gave_way = False  # `work` ended because another process wants to be the engine
        self._agenda = Agenda()
        self._version: tuple[int, int] | None = None  # of the records when the agenda was read
        self._guard = Guard(database, self._let_go)
        self._new_jobs = NewJobs(database, config, self._guard, self._pool, self._services, self._begin, self._tell_job)
        self._begun: list[JobRun] = []
        self._to_tell: list[Callable[[], None]] = []  # the observer, when a beat is over
        self._flush_at = 0.0  # not before this moment of the monotonic clock
        self._stopping = False
        self._closing = False
        self._again = False  # there is more to do at once

    # -- from outside --------------------------------------------------------------------------------------------------

    def work(self, *, linger: float = 0.0, until: Callable[[], bool] = lambda: False) -> None:
        """Work until nothing is left to do, and `linger` seconds more; or until `until` says so.

        An exception (Ctrl-C) leaves jobs as they are, to be taken up by the next engine. Raises `Unavailable` if the home is removed,
        and `ClusterLost` if the cluster that runs the datums is gone.
        """
        idle_since: float | None = None
        while not self._stopping and not until():
            if not self._database.home.database.exists():
                home = self._database.home.path
                raise Unavailable(f"the home {home} was removed while it was worked on", hint="its work is lost with it")
            again_in = self._beat()
            now = time.monotonic()
            if self.gave_way:
                return
            if again_in is None and not self._runs and not self._services:
                idle_since = now if idle_since is None else idle_since
                again_in = linger - (now - idle_since)
                if again_in <= 0:
                    return
            else:
                idle_since = None
            self._wakeup.wait(again_in)

    def stop(self) -> None:
        """End `work` soon, from another thread or a signal handler."""
        self._stopping = True
        self._wakeup.notify()

    def look_again(self) -> None:
        """Ask `until` again soon, and look at the records; for an observer that has learnt something."""
        self._wakeup.notify()

    def close(self) -> None:
        """Write what is known, end all workers, and wait for them; each of it also if what comes before is interrupted."""
        self._closing = True
        with ExitStack() as stack:
            stack.callback(self._wakeup.close)
            for run in self._runs.values():
                stack.callback(run.log.close)
            stack.callback(self._write_last)
            stack.callback(self._pool.join)
            for egress in self._egresses.values():
                stack.callback(egress.give_up)
            stack.callback(self._services.close)
            stack.callback(self._pool.close)

    def _write_last(self) -> None:
        self._drain()
        if self._database.home.database.exists():
            self._write_news()
        self._tell()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one beat ------------------------------------------------------------------------------------------------------

    def _beat(self) -> float | None:
        """Do everything that can be done now; returns after how many seconds to look again, None to wait until woken."""
        self._again = False
        self._drain()
        if time.monotonic() >= self._flush_at:
            self._write_news()
        if self._has_changed():
            self._start_pipelines()
            self._pool.keep(self._agenda.rows)
            for job, run in list(self._runs.items()):  # another process ended it, or it waits for one that nothing is done for
                if job not in self._agenda.unfinished or (job.pipeline in self._guard.aside and run.waits_for not in (None, *self._runs)):
                    self._guard.for_job(job, partial(self._flush, run, ()))
                    self._let_go(job)
            self._restart_asked()
            self._keep_services()
            self._new_jobs.take_on(self._runs, _TURN)
        elif self._new_jobs.is_behind:
            self._new_jobs.take_on(self._runs, _TURN)
        elif self._services.have_ended:
            self._keep_services()
        make_due_ticks(self._database, self._agenda, self._guard, _TURN)
        for job, run in list(self._runs.items()):
            self._guard.for_job(job, partial(self._go_on, run))
        self._dispatch()
        self._remark()
        self._tell()
        return 0.0 if self._again or self._new_jobs.is_behind or self._is_outdated() else self._patience()

    def _has_changed(self) -> bool:
        """Read the agenda again if the records have changed; returns whether they have."""
        with self._database.read() as session:
            version = session.version()
            if version == self._version:
                return False
            self._version = version
            self._agenda = read_agenda(session, self._agenda)
            wanted = session.repos.setting(SOMEBODY_ELSE)
            self._new_jobs.look(session, self._agenda)
        self._guard.take_back(self._agenda.rows)
        for pipeline, error in self._agenda.unreadable.items():
            self._guard.leave_aside(pipeline, in_words(error))
        self.gave_way = bool(wanted) and self._config.services and not self._runs
        return True

    def _is_outdated(self) -> bool:
        """Whether the records have changed since the agenda was read, also by this engine."""
        with self._database.read() as session:
            return session.version() != self._version

    def _patience(self) -> float | None:
        waits = []
        if self._pool.busy or any(run.has_news for run in self._runs.values()):
            waits.append(FLUSH_SECONDS)
        waits += [max(run.deadline - self._database.clock(), 0.0) for run in self._runs.values() if run.deadline is not None]
        waits += [max(run.held_until - time.monotonic(), 0.0) for run in self._runs.values() if run.sets and run.held_until]
        tick_at = min((tick.at for tick in self._agenda.free_ticks), default=None)
        if tick_at is not None and (tick_at - self._database.clock() < _CRON_PATIENCE or self._runs):
            waits.append(max(tick_at - self._database.clock(), 0.0))
        return min(waits, default=None)

    def _tell(self) -> None:
        """Tell the observer what happened in this beat; at its end, so that an observer's error fails no job."""
        told, self._to_tell = self._to_tell, []
        for tell in told:
            tell()

    def _tell_job(self, info: JobInfo) -> None:
        self._to_tell.append(partial(self._config.observer.job_changed, info))

    # -- what workers report -------------------------------------------------------------------------------------------

    def _put(self, event: Event | Copied) -> None:
        self._events.put(event)
        # A no-op datum takes a millisecond: waking the engine for each would cost more. The set's end wakes it.
        if not isinstance(event, DatumEnded):
            self._wakeup.notify()

    def _drain(self) -> None:
        """Process the reports of the workers."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, (DatumEnded, Copied)):
                run = self._runs.get(event.job)
                if run is not None and isinstance(event, DatumEnded):
                    run.note(event.outcome)
                    self._to_tell.append(partial(self._config.observer.datum_ended, event.job, event.outcome))
                elif run is not None and isinstance(event, Copied):
                    run.copied(event.error)
                continue
            assigned = self._pool.freed(event.worker) if isinstance(event, Free) else self._pool.forget(event.worker)
            run = self._runs.get(assigned.job) if assigned else None
            left = run.give_back(assigned.datums) if run is not None and assigned is not None else ()
            if run is not None and left and isinstance(event, WorkerEnded) and event.error:
                self._guard.for_job(run.info.job, partial(self._mourn, run, event.error, event.datum))

    def _mourn(self, run: JobRun, error: LocalRunnerError, datum: Datum | None) -> None:
        """Handle a worker that was lost with its set: others get the rest, unless the datum takes each of them along."""
        if self._closing:
            return  # the next engine will see
        if isinstance(error, ClusterLost):
            raise error
        if isinstance(error, WorkerLost) and run.lose(datum, error):
            return
        if not (isinstance(error, DiskFull) and run.wait_for_room()):
            # A user whom only the image knows, a folder that only it has.
            self._end(run, JobState.FAILURE, "; ".join(filter(None, (error.message, run.withheld().missing_image))))

    # -- pipelines -----------------------------------------------------------------------------------------------------

    def _start_pipelines(self) -> None:
        """Set new pipelines to running, or to failure if they have no command."""
        for row in self._agenda.rows.values():
            if row.state is PipelineState.STARTING:
                self._guard.for_pipeline(row.pipeline, partial(start_pipeline, self._database, row, self._agenda.unfinished))

    def _keep_services(self) -> None:
        if self._config.services:
            rows = self._agenda.rows
            spouts = [rows[pipeline] for pipeline in self._agenda.spouts if pipeline in rows]
            for row in self._services.keep(spouts, self._agenda.unfinished, rows):
                self._guard.for_pipeline(row.pipeline, partial(self._services.attend, row))

    # -- jobs under way ------------------------------------------------------------------------------------------------

    def _begin(self, run: JobRun) -> None:
        run.withheld = cache(partial(self._requests.withheld, run.spec))
        self._runs[run.info.job] = run
        self._turns.join(run.info.job.pipeline)
        self._begun.append(run)

    def _restart_asked(self) -> None:
        """Restart the datums that `restart datum` asked for."""
        for job in self._agenda.asked:
            if job in self._runs:
                self._guard.for_job(job, partial(self._restart, job))

    def _restart(self, job: JobRef) -> None:
        with self._database.write() as session:
            asked = session.pipelines.asked(job)
            session.pipelines.answered(job)
        self._pool.restart(job, asked)

    def _go_on(self, run: JobRun) -> None:
        """Take a job to its next step, or its end, if the present one is over."""
        if run.is_late(self._database.clock()):
            self._end(run, JobState.KILLED, TIMED_OUT)
            return
        if run.waits_for is not None and run.waits_for not in self._agenda.unfinished:
            self._settle(run)
        if run.takes_over:
            self._take_over(run)
        while run.is_idle and not run.is_over and run.waits_for is None:
            if run.has_news:
                self._flush(run, ())
            with self._database.write() as session:
                if not is_unfinished(session, run.info.job):
                    return  # another process ended it
                closed = run.advance(Transaction(session, new_id(), session.clock()))
                root = run.output_root(session) if run.phase is Phase.EGRESS else None
            if run.is_over:
                self._ended(run, closed)
            elif run.phase is Phase.EGRESS and run.target is not None:
                egress = self._egresses[run.info.job] = Egress(self._database, run.info.job, root, run.target, self._put)
                egress.start()
            elif run.takes_over:
                self._take_over(run)

    def _settle(self, run: JobRun) -> None:
        """Take in that the job which this one builds on is over."""
        if run.has_news:
            self._flush(run, ())
        with self._database.write() as session:
            if is_unfinished(session, run.info.job):
                run.settle(Transaction(session, new_id(), session.clock()))

    def _take_over(self, run: JobRun) -> None:
        with self._database.read() as session:
            run.take_over(session, _TURN)
        self._again = self._again or run.takes_over

    def _dispatch(self) -> None:
        """Give waiting sets to free workers."""
        now = time.monotonic()
        self._turns.share_out([run for run in self._runs.values() if run.sets and now >= run.held_until], self._give)

    def _give(self, run: JobRun) -> bool:
        """Give a set of a job to a worker; returns whether one had room for it."""
        if not self._pool.has_room:
            return False
        before = len(run.sets)
        self._guard.for_job(run.info.job, partial(self._pool.dispatch, run))
        # A younger job of the pipeline may begin when all datums of this one are handed out.
        self._new_jobs.is_behind |= not run.sets and run.spec.parallelism > 1
        return run.info.job in self._runs and len(run.sets) < before

    def _remark(self) -> None:
        """Write into the logs of new jobs which fields of their specs and images this executor cannot honour.

        While their workers are being set up: looking what is installed takes 20 ms.
        """
        begun, self._begun = self._begun, []
        for run in begun:
            if run.info.job in self._runs:
                self._guard.for_job(run.info.job, partial(self._write_remarks, run))

    def _write_remarks(self, run: JobRun) -> None:
        secrets = run.withheld().missing_secrets
        run.warn(secrets)
        for remark in (*executor_remarks(run.spec, self._config.executor), *self._requests.remarks(run.spec), *secrets):
            run.log.worker("", Datum("", ()), remark)

    def _write_news(self) -> None:
        """Write the outcomes of all jobs, and what their workers are doing."""
        began, running = time.monotonic(), self._pool.running()
        for job, run in list(self._runs.items()):
            at = running.get(job, ())
            if run.has_news or at != run.info.running:
                self._guard.for_job(job, partial(self._flush, run, at))
        ended = time.monotonic()
        self._flush_at = ended + max(FLUSH_SECONDS, (ended - began) / _FLUSH_SHARE)

    def _flush(self, run: JobRun, running: tuple[RunningDatum, ...]) -> None:
        with self._database.write() as session:
            is_known = session.version() == self._version
            if not is_unfinished(session, run.info.job):
                return  # another process ended it
            info = run.flush(session, running)
        if is_known and self._version:  # nothing of this is on the agenda
            self._version = self._version[0], session.version()[1]
        run.flushed(info)
        self._tell_job(info)

    def _end(self, run: JobRun, state: JobState, reason: str) -> None:
        if run.has_news:
            self._flush(run, ())
        with self._database.write() as session:
            closed = run.end(Transaction(session, new_id(), session.clock()), state, reason) if is_unfinished(session, run.info.job) else []
        self._ended(run, closed)

    def _ended(self, run: JobRun, closed: list[CommitRow]) -> None:
        self._let_go(run.info.job)
        self._tell_job(run.info)
        self._guard.for_pipeline(run.info.job.pipeline, lambda: fire_triggers(self._database, [row.key for row in closed]))

    def _let_go(self, job: JobRef) -> None:
        """Stop all work for a job."""
        run = self._runs.pop(job, None)
        if not any(other.pipeline == job.pipeline for other in self._runs):
            self._turns.leave(job.pipeline)
        egress = self._egresses.pop(job, None)
        if egress is not None:
            egress.give_up()
        self._pool.release(job)
        if run is not None:
            run.log.close()
