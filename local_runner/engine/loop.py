"""The engine of a home: starts what can start, hands datums to workers, writes down what became of them, until nothing is left.

One thread looks at the records and decides; workers are threads that run user code. It meets the commands of people only in the
records: they ring its bell after a change, it rings theirs.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from local_runner.engine.begin import candidates, judge
from local_runner.engine.cron import next_ticks, tick
from local_runner.engine.egress import Copied, Egress
from local_runner.engine.job_run import TIMED_OUT, JobRun, Phase
from local_runner.engine.jobs import end_job
from local_runner.engine.logs import JobLog
from local_runner.engine.pipelines import NO_COMMAND
from local_runner.engine.pool import Pool, Staffing
from local_runner.engine.slots import Done, Event, SetDone
from local_runner.engine.specs_at_rest import is_service, spec_of
from local_runner.engine.spouts import Residents
from local_runner.engine.triggers import fire_triggers
from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Executor
from local_runner.model.datums import Datum
from local_runner.model.ids import new_id
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import PipelineSpec, PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.repos.transaction import Transaction
from local_runner.specs.notes import local_egress, remote_egress
from local_runner.storage.bell import Bell
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Database, Session
from local_runner.storage.pipeline_records import PipelineRow

# Outcomes are written this often, and at the end of a step: a kill costs at most what came since. Datums have random places in the
# meta tree, so writing 70 costs a third of writing 700: where it takes long it is done less often, to be a small part of the work.
FLUSH_SECONDS = 0.5
_FLUSH_SHARE = 0.1
_CRON_PATIENCE = 60.0  # a clock that ticks sooner keeps the engine up
SOMEBODY_ELSE = "engine wanted"  # a setting: somebody would be the engine in place of one that only keeps clocks and residents


class Engine:
    """Works on one home; whoever makes it holds the engine lock. Use as: `with` it, then `work`."""

    def __init__(self, database: Database, staffing: Staffing) -> None:
        self._database = database
        self._staffing = staffing
        self._events: queue.SimpleQueue[Event | Copied] = queue.SimpleQueue()
        self._runs: dict[JobRef, JobRun] = {}
        self._pool = Pool(database, staffing, self._put)
        self._begun: list[JobRun] = []
        self._egresses: dict[JobRef, Egress] = {}
        self._bell = Bell(database.home.bells)
        self._residents = Residents(database, staffing.executor, staffing.request_for, self._bell.ring)
        self.gave_way = False  # `work` ended because somebody else would do it
        self._flush_at = 0.0  # not before this moment of the monotonic clock
        self._stopping = False
        self._look_again = False  # what just changed may let somebody begin

    # -- from outside --------------------------------------------------------------------------------------------------

    def work(self, *, linger: float = 0.0, until: Callable[[], bool] = lambda: False, stay: bool = False) -> None:
        """Work until nothing is left to do, and `linger` seconds more; or until `until` says so; with `stay`, until `stop`.

        An exception (Ctrl-C) leaves jobs as they are, to be taken up by the next engine. A home that is removed ends it too.
        """
        idle_since: float | None = None
        while not self._stopping and not until() and self._database.home.database.exists():
            again_in = self._beat()
            now = time.monotonic()
            if self.gave_way:
                return
            if again_in is None and not self._runs and not self._residents:
                idle_since = idle_since if idle_since is not None else now
                if not stay and now - idle_since >= linger:
                    return
                again_in = None if stay else linger - (now - idle_since)
            else:
                idle_since = None
            self._bell.wait(again_in)

    def stop(self) -> None:
        """End `work` soon, from another thread or a signal handler."""
        self._stopping = True
        self._bell.ring()

    def close(self) -> None:
        """Write what is known, end all workers, and wait for them."""
        self._pool.close()
        self._residents.close()
        for egress in self._egresses.values():
            egress.give_up()
        self._pool.join()
        self._drain()
        try:
            if self._database.home.database.exists():
                self._flush()
        finally:
            for run in self._runs.values():
                run.log.close()
            self._bell.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one beat ------------------------------------------------------------------------------------------------------

    def _beat(self) -> float | None:
        """Do everything that can be done now; returns in how many seconds to look again at the latest, None for when rung."""
        self._drain()
        if (
            any(run.has_news or self._pool.running(run.info.job) != run.info.running for run in self._runs.values())
            and time.monotonic() >= self._flush_at
        ):
            self._flush()
        with self._database.read() as session:
            unfinished = session.pipelines.unfinished_jobs()
            rows = {row.pipeline: row for row in session.pipelines.pipelines()}
            ticks = next_ticks(session, rows.values())
            wanted = session.repos.setting(SOMEBODY_ELSE)
        if ticks and ticks[0][0] <= time.time():
            # One at a time: missed ticks are made up for, each in a commit of its own.
            with self._database.write() as session:
                tick(Transaction(session, new_id(), time.time()), ticks[0][1], ticks[0][0])
            return 0.0
        self._start_pipelines(rows)
        self._pool.keep(rows)
        self._drop_ended({info.job: info for info in unfinished})
        if self._staffing.residents:
            self._residents.keep(rows.values(), unfinished)
        self._take_on(unfinished, rows)
        self._advance()
        self._pool.dispatch(self._runs.values())
        self._remark()
        self.gave_way = bool(wanted) and self._staffing.residents and not self._runs
        if self._look_again:
            self._look_again = False
            return 0.0
        return self._patience(ticks[0][0] if ticks else None)

    def _remark(self) -> None:
        """Write at the head of new jobs' logs what their specs and images ask for in vain.

        While their workers are being set up: looking what is installed takes 20 ms.
        """
        begun, self._begun = self._begun, []
        for run in begun:
            for remark in (*_remarks(run.spec, self._staffing.executor), *self._staffing.remarks(run.spec)):
                run.log.worker("", Datum("", ()), remark)

    def _patience(self, tick_at: float | None) -> float | None:
        waits = []
        if self._pool.busy or any(run.has_news for run in self._runs.values()):
            waits.append(FLUSH_SECONDS)
        deadlines = [run.deadline for run in self._runs.values() if run.deadline is not None]
        waits += [max(deadline - time.time(), 0.0) for deadline in deadlines]
        if tick_at is not None and (tick_at - time.time() < _CRON_PATIENCE or self._runs):
            waits.append(max(tick_at - time.time(), 0.0))
        return min(waits, default=None)

    def _drain(self) -> None:
        """Take in what workers reported."""
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            run = self._runs.get(event.job)
            if isinstance(event, Done):
                if run is not None:
                    run.note(event.outcome)
                    self._staffing.observer.datum_ended(event.job, event.outcome)
            elif isinstance(event, SetDone):
                event.slot.job = None
                if run is not None and event.left:
                    run.outstanding -= event.left
            elif isinstance(event, Copied):
                if run is not None:
                    run.outstanding -= 1
                    run.egress_error = event.error
            else:
                self._pool.forget(event.slot)
                if run is not None:
                    self._end(run, JobState.FAILURE, event.error.message)

    # -- pipelines -----------------------------------------------------------------------------------------------------

    def _start_pipelines(self, rows: Mapping[PipelineRef, PipelineRow]) -> None:
        """Pipelines that start are up now, or can never be."""
        for row in rows.values():
            if row.state is PipelineState.STARTING:
                self._look_again = True
                works = bool(spec_of(row).transform.cmd)
                with self._database.write() as session:
                    state = PipelineState.RUNNING if works else PipelineState.FAILURE
                    session.pipelines.set_pipeline_state(row.pipeline, state, "" if works else NO_COMMAND)
                    if not works:
                        txn = Transaction(session, new_id(), time.time())
                        for info in session.pipelines.unfinished_jobs():
                            if info.job.pipeline == row.pipeline:
                                end_job(txn, info, JobState.KILLED, NO_COMMAND)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _drop_ended(self, unfinished: Mapping[JobRef, JobInfo]) -> None:
        """Let go of jobs somebody else ended, and start datums anew that somebody asked for."""
        for job, run in list(self._runs.items()):
            if job not in unfinished:
                self._release(run)
                continue
            if run.is_late():
                self._end(run, JobState.KILLED, TIMED_OUT)
                continue
            with self._database.read() as session:
                asked = session.pipelines.asked(job)
            if asked:
                with self._database.write() as session:
                    session.pipelines.answered(job)
                self._pool.restart(job, asked)

    def _take_on(self, unfinished: Sequence[JobInfo], rows: Mapping[PipelineRef, PipelineRow]) -> None:
        """Begin what can begin, and end what never will."""
        for info, row, before in candidates(unfinished, rows, self._runs, self._residents.serves if self._staffing.residents else None):
            with self._database.read() as session:
                verdict = judge(session, info, row)
            if verdict.end is not None:
                self._write_end(info, verdict.end, verdict.reason)
            elif not self._staffing.may_begin(info):
                continue
            elif not verdict.may_begin:
                self._wait(info, row)
            elif is_service(row):
                for older in before:
                    self._write_end(older, JobState.SUCCESS, "")
                self._begin_service(info, row, spec_of(row))
            else:
                self._begin(info, row, spec_of(row))

    def _wait(self, info: JobInfo, row: PipelineRow) -> None:
        """Note that a job waits for its inputs, and let its workers get ready meanwhile."""
        if info.state is JobState.CREATED:
            with self._database.write() as session:
                if not _is_unfinished(session, info.job):
                    return
                session.pipelines.update_job(dataclasses.replace(info, state=JobState.STARTING))
            self._pool.warm_up(info, row, spec_of(row))

    def _begin(self, info: JobInfo, row: PipelineRow, spec: PipelineSpec) -> None:
        target = local_egress(spec, self._database.home.path.parent)
        run = JobRun(info, spec, row.salt, JobLog(self._database.home.logs, info.job), target, self._staffing.ignore_failures)
        try:
            with self._database.write() as session:
                # It may have been ended since it was listed, by us or by somebody else.
                if not _is_unfinished(session, info.job):
                    return
                run.begin(Transaction(session, new_id(), time.time()))
        except LocalRunnerError as error:
            self._write_end(info, JobState.FAILURE, error.message)
            return
        self._runs[info.job] = run
        self._begun.append(run)
        self._staffing.observer.job_changed(run.info)

    def _begin_service(self, info: JobInfo, row: PipelineRow, spec: PipelineSpec) -> None:
        """Its job has no time of start before it ends: that is when datums begin, and it has none that end (reference pps 4.8)."""
        running = dataclasses.replace(info, state=JobState.RUNNING)
        try:
            with self._database.write() as session:
                if not _is_unfinished(session, info.job):
                    return
                post = self._residents.post_of(session, info, row, spec)
                session.pipelines.update_job(running)
        except LocalRunnerError as error:
            self._write_end(info, JobState.FAILURE, error.message)
            return
        self._residents.serve(post)
        self._staffing.observer.job_changed(running)

    def _advance(self) -> None:
        for run in list(self._runs.values()):
            while run.outstanding == 0 and not run.is_over:
                if run.has_news:
                    self._flush()
                    if run.info.job not in self._runs:
                        break
                with self._database.write() as session:
                    if not _is_unfinished(session, run.info.job):
                        break
                    closed = run.advance(Transaction(session, new_id(), time.time()))
                    root = run.output_root(session) if run.phase is Phase.EGRESS else None
                if run.is_over:
                    self._ended(run, closed)
                elif run.phase is Phase.EGRESS and run.target is not None:
                    egress = self._egresses[run.info.job] = Egress(self._database, run.info.job, root, run.target, self._put)
                    egress.start()

    def _flush(self) -> None:
        """Write the outcomes of all jobs, and what their workers are doing."""
        began = time.monotonic()
        with self._database.write() as session:
            for run in self._runs.values():
                if _is_unfinished(session, run.info.job):
                    run.flush(session, self._pool.running(run.info.job))
        ended = time.monotonic()
        self._flush_at = ended + max(FLUSH_SECONDS, (ended - began) / _FLUSH_SHARE)
        for run in self._runs.values():
            self._staffing.observer.job_changed(run.info)

    def _end(self, run: JobRun, state: JobState, reason: str) -> None:
        self._flush()
        with self._database.write() as session:
            closed = run.end(Transaction(session, new_id(), time.time()), state, reason) if _is_unfinished(session, run.info.job) else []
        self._ended(run, closed)

    def _write_end(self, info: JobInfo, state: JobState, reason: str) -> None:
        """End a job that never began."""
        with self._database.write() as session:
            if not _is_unfinished(session, info.job):
                return
            closed = end_job(Transaction(session, new_id(), time.time()), info, state, reason)
            ended = session.pipelines.job(info.job)
        self._look_again = True
        self._pool.cool(info.job.pipeline)
        if ended is not None:
            self._staffing.observer.job_changed(ended)
        fire_triggers(self._database, [row.key for row in closed])

    def _ended(self, run: JobRun, closed: list[CommitRow]) -> None:
        self._look_again = True
        self._release(run)
        self._staffing.observer.job_changed(run.info)
        fire_triggers(self._database, [row.key for row in closed])

    def _release(self, run: JobRun) -> None:
        self._runs.pop(run.info.job, None)
        egress = self._egresses.pop(run.info.job, None)
        if egress is not None:
            egress.give_up()
        self._pool.release(run.info.job)
        run.log.close()

    def _put(self, event: Event | Copied) -> None:
        self._events.put(event)
        # A no-op datum takes a millisecond: waking the engine for each would cost more. The set's end wakes it.
        if not isinstance(event, Done):
            self._bell.ring()


def _remarks(spec: PipelineSpec, executor: Executor) -> Iterator[str]:
    """What the log of a job says first: what its spec asks for and does not get here."""
    if spec.transform.user and not executor.capabilities.runs_as_user:
        yield f"transform.user: the executor {executor.name} cannot run commands as {spec.transform.user}; root's sandbox could"
    yield from remote_egress(spec)


def _is_unfinished(session: Session, job: JobRef) -> bool:
    info = session.pipelines.job(job)
    return info is not None and not info.state.is_final
