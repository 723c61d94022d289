"""One job through its states: plan, parallel step, serial step, egress, commit (reference pps 2.3, 2.4, 4.1).

Lives in the engine's main thread. Everything that has to survive a kill is in the records: the open output and meta commits hold
what is done so far, and a job that is taken up again goes on from there.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path

from local_runner.engine.attempt import JobContext
from local_runner.engine.hindrances import Withheld
from local_runner.errors import LocalRunnerError, WorkerLost
from local_runner.model.datums import Datum, DatumState, DatumStats
from local_runner.model.entries import entry_key, entry_value
from local_runner.model.jobs import Counters, JobInfo, JobState, RunningDatum
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import META, JobRef
from local_runner.pipelines.datum_index import DatumRecord
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.job_end import end_job
from local_runner.pipelines.job_layers import layers_of, own_records, put_on_base, seconds_of, stats_of, without, write_layers
from local_runner.pipelines.meta import DOT_ENV, files_path, meta_document, meta_path
from local_runner.pipelines.outcome import Outcome
from local_runner.planning.datum_sets import NOTHING_KNOWN, cut_sets, goes_by_time
from local_runner.planning.kept_datums import kept_outcome
from local_runner.planning.prepare import Prepared, base_of, prepare, replan
from local_runner.repos.collisions import first_collision
from local_runner.repos.transaction import Transaction
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.job_log import JobLog
from local_runner.storage.objects import Content
from local_runner.storage.released import count_replaced
from local_runner.storage.trees import Root

_MANY = 100  # datums of a job whose documents are worth it to be packed
_MOST_LOSSES = 3  # workers that one datum may take along; and that may be lost in a row without one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 16.0  # seconds to wait for room on a disk, twice as long each time
TIMED_OUT = " jobtimed out"  # the blank is a cluster's


class Phase(Enum):
    PARALLEL = "parallel"
    SERIAL = "serial"
    EGRESS = "egress"
    DONE = "done"


class JobRun:
    """A job under way. `sets` are the datum sets that wait for a worker.

    It alone counts what is outstanding: who has news of a datum calls `note`, who brings some back `give_back`.
    `target` is the folder its output is to be copied to, if any.
    With `ignore_failures` datums that fail count as recovered (reference pps 2.6).
    """

    def __init__(
        self, info: JobInfo, spec: PipelineSpec, salt: str, log: JobLog, target: Path | None = None, *, ignore_failures: bool = False
    ) -> None:
        self.info = info
        self.spec = spec
        self.salt = salt
        self.log = log
        self.target = target
        self._ignore_failures = ignore_failures
        self.sets: deque[tuple[Datum, ...]] = deque()
        self.phase = Phase.PARALLEL
        self.held_until = 0.0  # no set is to be handed out before this moment of the monotonic clock
        self._prepared: Prepared
        self._again: list[Datum] = []
        self._outstanding: dict[str, Datum] = {}  # handed out, waiting or to be taken over
        self._to_keep: deque[Datum] = deque()
        self._is_copying = False
        self._egress_error = ""
        self._failed: dict[str, Datum] = {}
        self._hindrances: dict[str, tuple[str, ...]] = {}  # of datums that failed
        self.withheld: Callable[[], Withheld] = Withheld  # finds out what user code does without
        self._buffer: list[Outcome] = []
        self._losses: Counter[str] = Counter()  # by id: workers lost with a datum
        self._workers_lost = 0  # in a row, before they had a datum
        self._pause = _FIRST_PAUSE

    @property
    def context(self) -> JobContext:
        """The context of the job for its workers."""
        return JobContext(self.info.job, self.spec, self._prepared.roots, self.log, self.withheld)

    @property
    def waits_for(self) -> JobRef | None:
        """The older job that this one builds on, while that is not over: until then nothing but the parallel step is done."""
        base = self._prepared.base
        return JobRef(self.info.job.pipeline, base.ref.id) if base is not None and base.finished is None else None

    @property
    def deadline(self) -> float | None:
        """The time at which `job_timeout` is over, in seconds since the epoch; None without one."""
        if self.spec.job_timeout is None or self.info.started is None:
            return None
        return self.info.started + self.spec.job_timeout

    @property
    def is_over(self) -> bool:
        """Whether the job has a final state."""
        return self.phase is Phase.DONE

    @property
    def is_idle(self) -> bool:
        """Whether the present step is over: no datum is outstanding."""
        return not self._outstanding and not self._is_copying

    @property
    def has_news(self) -> bool:
        """Whether there are outcomes yet to be written."""
        return bool(self._buffer)

    # -- begin ---------------------------------------------------------------------------------------------------------

    def prepare(self, session: Session) -> None:
        """Plan the job (a second for 100 000 datums; others may write meanwhile). Raises `LocalRunnerError` if it can never run."""
        self._prepared = prepare(session, self.info, self.spec, self.salt)

    def begin(self, txn: Transaction) -> None:
        """Set the output and meta commit to what the base left, if that is over. Raises `LocalRunnerError` if that cannot be."""
        session = txn.session
        if base_of(session, self.info.job) != self._prepared.base:
            self.prepare(session)  # the base was removed, or went on, meanwhile
        done = self._take_up(session)
        plan = self._prepared.plan
        self._start_step([datum for datum in plan.new if datum.id not in done], plan.total)
        self._again = [datum for datum, _ in plan.again if datum.id not in done]
        counters = Counters(total=plan.total, processed=len(done))
        self.info = dataclasses.replace(self.info, state=JobState.RUNNING, started=self.info.started or txn.now, counters=counters)
        session.pipelines.update_job(self.info)

    def _take_up(self, session: Session) -> frozenset[str]:
        """Make the commits ready for writing; returns the datums that this job has finished, also by an earlier engine.

        What was made beside an older job counts only if it is to be made, compared with the job that this one is based on now.
        """
        output, meta = self._commits(session)
        own = own_records(session, self.info.job, meta)
        done = {name for name, record in own.items() if record.state is DatumState.PROCESSED}
        if meta.begun:
            return frozenset(done)
        plan = self._prepared.plan
        done &= {datum.id for datum in (*plan.new, *(datum for datum, _ in plan.again))}
        left = without(session.trees, layers_of(output, meta), own.keys() - done)
        write_layers(session, output, meta, left, begun=False)
        self._stand_on_base(session)
        return frozenset(done)

    def _stand_on_base(self, session: Session) -> None:
        # Not what the output's parent holds: people may have moved the branch, or put files on it while the pipeline was stopped.
        if self.waits_for is None:
            put_on_base(session, self.info.job, self._prepared.base)

    def settle(self, txn: Transaction) -> None:
        """Take in that the job this one builds on is over. Call with everything flushed.

        If it succeeded, what was made so far is put on its output; else this job is planned anew, on an older one (reference pps 2.2).
        """
        session, before = txn.session, self._prepared
        self._prepared = replan(session, self.info, self.spec, self.salt, before)
        plan, base = self._prepared.plan, self._prepared.base
        if base is not None and before.base is not None and base.key == before.base.key and plan.new == before.plan.new:
            if self.waits_for is not None:
                raise LocalRunnerError(f"job {self.waits_for} is over, and its commits are open")
            self._stand_on_base(session)
            self._again = [datum for datum, _ in plan.again]
            return
        done = self._take_up(session)
        for datum in (*itertools.chain(*self.sets), *self._to_keep):
            del self._outstanding[datum.id]
        self.sets.clear()
        self._to_keep.clear()
        self._failed.clear()
        wanted = {datum.id for datum in plan.new} - done
        self._outstanding = {name: datum for name, datum in self._outstanding.items() if name in wanted}
        self._start_step([datum for datum in plan.new if datum.id in wanted and datum.id not in self._outstanding], plan.total)
        self._again = [datum for datum, _ in plan.again if datum.id not in done]
        stats = sum((took for _, took in stats_of(session, layers_of(*self._commits(session)), done)), DatumStats())
        self.info = dataclasses.replace(self.info, counters=Counters(total=plan.total, processed=len(done)), stats=stats)
        session.pipelines.update_job(self.info)

    def _commits(self, session: Session) -> tuple[CommitRow, CommitRow]:
        output, meta = output_commit(session, self.info.job), output_commit(session, self.info.job, META)
        if output is None or meta is None:
            raise LocalRunnerError(f"the commits of job {self.info.job} are gone")
        return output, meta

    def _start_step(self, datums: Sequence[Datum], unskipped: int, seconds: Mapping[str, float] = NOTHING_KNOWN) -> None:
        kept = self._prepared.plan.kept
        self._outstanding.update((datum.id, datum) for datum in datums)
        self._to_keep.extend(datum for datum in datums if datum.id in kept)
        self.sets.extend(cut_sets([datum for datum in datums if datum.id not in kept], self.spec, unskipped, seconds))

    # -- work ----------------------------------------------------------------------------------------------------------

    def note(self, outcome: Outcome) -> None:
        """Note the outcome of a datum, to be written by the next `flush`; ignored if that datum is not outstanding."""
        if self._outstanding.pop(outcome.datum.id, None) is None:
            return
        self._losses.pop(outcome.datum.id, None)
        self._workers_lost, self._pause = 0, _FIRST_PAUSE
        if self._ignore_failures and outcome.counted is DatumState.FAILED:
            outcome = dataclasses.replace(outcome, counted=DatumState.RECOVERED, state=DatumState.RECOVERED)
        self._buffer.append(outcome)
        if outcome.counted is DatumState.FAILED:
            self._failed[outcome.datum.id] = outcome.datum
            self._hindrances[outcome.datum.id] = outcome.hindrances
        self.warn(outcome.warnings)

    def warn(self, sentences: Iterable[str]) -> None:
        """Note what people should know of the job, however it ends; each sentence counts once."""
        self.info = dataclasses.replace(self.info, warnings=tuple(dict.fromkeys((*self.info.warnings, *sentences))))

    def take_over(self, session: Session, seconds: float) -> None:
        """Note outcomes of kept datums for a limited time; a datum whose output is gone will run."""
        until = time.monotonic() + seconds
        while self._to_keep:
            datum = self._to_keep.popleft()
            try:
                self.note(kept_outcome(session, self._prepared.plan.kept[datum.id], datum))
            except LocalRunnerError:
                self.sets.append((datum,))
            if time.monotonic() > until:
                return

    @property
    def takes_over(self) -> bool:
        """Whether kept datums are yet to be taken over."""
        return bool(self._to_keep)

    def give_back(self, datums: Iterable[Datum]) -> tuple[Datum, ...]:
        """Take a set back from a worker: datums without an outcome become the next set to hand out. Returns those."""
        left = tuple(datum for datum in datums if datum.id in self._outstanding)
        if left:
            self.sets.appendleft(left)
        return left

    def lose(self, datum: Datum | None, error: WorkerLost) -> bool:
        """Note that a worker was lost. That costs its datum no try, but a datum that took three workers along, or as
        many as it has tries, fails.

        False if workers are lost before they have one, again and again.
        """
        if datum is None:
            self._workers_lost += 1
            return self._workers_lost < _MOST_LOSSES
        self._losses[datum.id] += 1
        self.log.worker("", datum, f"its worker was lost, it runs again: {error.message}")
        if self._losses[datum.id] >= max(_MOST_LOSSES, self.spec.datum_tries):
            reason = f"its worker was lost {self._losses[datum.id]} times: {error.message}"
            self.note(Outcome(datum, DatumState.FAILED, DatumState.FAILED, reason, DatumStats(), (), ()))
            self._withdraw(datum)
        return True

    def _withdraw(self, datum: Datum) -> None:
        waiting = [tuple(one for one in datums if one.id != datum.id) for datums in self.sets]
        self.sets = deque(datums for datums in waiting if datums)

    def wait_for_room(self) -> bool:
        """Hand nothing out for a while because a disk is full, twice as long each time; returns False if that did not help."""
        self.held_until = time.monotonic() + self._pause
        self._pause *= 2
        return self._pause <= _LONGEST_PAUSE

    def copied(self, error: str) -> None:
        """Note that the egress is over; `error` is "" if it succeeded."""
        self._is_copying, self._egress_error = False, error

    def flush(self, session: Session, running: tuple[RunningDatum, ...]) -> JobInfo:
        """Write the outcomes so far: outputs, bookkeeping, counters. When that is committed, call `flushed` with what this returns."""
        info = dataclasses.replace(self.info, running=running)
        if self._buffer:
            info = self._write(session, info, self._buffer)
        session.pipelines.update_job(info)
        return info

    def flushed(self, info: JobInfo) -> None:
        """Note that the outcomes so far are written."""
        self._buffer.clear()
        self.info = info

    def _write(self, session: Session, info: JobInfo, outcomes: Sequence[Outcome]) -> JobInfo:
        output, meta = self._commits(session)
        files: dict[bytes, bytes | None] = {}
        documents: dict[bytes, bytes | None] = {}
        datum_index: dict[bytes, bytes | None] = {}
        contents: list[Content] = []
        alike: list[Content] = []  # of each datum the same, but for a few words
        job = bytes.fromhex(self.info.job.id)
        counters, stats, unread = info.counters, info.stats, set(info.unread)
        for outcome in outcomes:
            datum = outcome.datum
            skip_key = datum.hash(self.salt)
            document = session.objects.files.take(
                meta_document(self.info.job, datum, skip_key, outcome.state, outcome.reason, outcome.stats, self._prepared.committed)
            )
            documents[entry_key(meta_path(datum.id), datum.id)] = entry_value(document.name, document.size)
            alike.append(document)
            for file in outcome.outputs:
                files[entry_key(file.path, datum.id)] = entry_value(file.content.name, file.content.size)
            for file in outcome.seen:
                documents[entry_key(files_path(datum.id) + file.path, datum.id)] = entry_value(file.content.name, file.content.size)
                (alike if file.path == DOT_ENV else contents).append(file.content)
            datum_index[datum.id.encode()] = DatumRecord(bytes.fromhex(skip_key), outcome.state, job).encode()
            if outcome.counted is DatumState.PROCESSED:
                unread = set(outcome.unread) if counters.processed == 0 else unread & set(outcome.unread)
            field = outcome.counted.value.lower()
            counters = dataclasses.replace(counters, **{field: getattr(counters, field) + 1})
            stats += outcome.stats
        is_packed = self._prepared.plan.total >= _MANY
        if is_packed:
            session.objects.add_alike(f"documents of {self.info.job}", alike)
        session.objects.add(contents if is_packed else [*contents, *alike])
        trees = session.trees
        before = trees.replaced
        meta_tree = trees.edit(meta.tree, documents, packed=is_packed)
        session.commits.update(output.key, tree=trees.edit(output.tree, files))
        session.commits.update(meta.key, tree=meta_tree, datum_index=trees.edit(meta.datum_index, datum_index))
        if info.counters.processed:  # else the pieces are still those of the base
            count_replaced(session.connection, trees.replaced - before)
        return dataclasses.replace(info, counters=counters, stats=stats, unread=tuple(sorted(unread)))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def advance(self, txn: Transaction) -> list[CommitRow]:
        """When a step is over, begin the next one or end the job. Call with nothing outstanding and everything flushed.

        Returns the commits that were closed.
        """
        if self.phase is Phase.PARALLEL and not self._failed:
            self.phase = Phase.SERIAL
            self._begin_serial(txn.session)
            if self._outstanding:
                txn.session.pipelines.update_job(self.info)
                return []
        self.info = dataclasses.replace(self.info, running=())
        if self.phase is Phase.SERIAL and not self._failed and self.target is not None and not self._has_collision(txn.session):
            self.phase = Phase.EGRESS
            self._is_copying = True  # done by an `Egress`
            self.info = dataclasses.replace(self.info, state=JobState.EGRESSING)
            txn.session.pipelines.update_job(self.info)
            return []
        self.phase = Phase.DONE
        if self._egress_error:
            return self.end(txn, JobState.FAILURE, self._egress_error)
        if self._failed:
            return self.end(txn, JobState.FAILURE, self._why_failed())
        self.info = dataclasses.replace(self.info, state=JobState.FINISHING)
        return self.end(txn, JobState.SUCCESS, "")

    def _why_failed(self) -> str:
        """The first datum that failed, in a cluster's words, and what of this runner's doing may have made it fail."""
        first = min((datum.index, datum.id) for datum in self._failed.values())[1]
        return "; ".join((f"datum {first} failed", *self._hindrances.get(first, ())))

    def output_root(self, session: Session) -> Root:
        """The tree of the output written so far."""
        return self._commits(session)[0].tree

    def _has_collision(self, session: Session) -> bool:
        """Whether the output has a collision, which will fail the job at its end."""
        return bool(first_collision(session.trees, None, self.output_root(session)))

    def _begin_serial(self, session: Session) -> None:
        plan = self._prepared.plan
        counters = dataclasses.replace(self.info.counters, skipped=len(plan.reuse))
        self.info = dataclasses.replace(self.info, counters=counters)
        layers = layers_of(*self._commits(session))
        again = [datum.id for datum in self._again]
        seconds = seconds_of(session, layers, again) if goes_by_time(self._again, self.spec) else {}
        doomed = [*plan.remove, *again]
        if doomed:
            output, meta = self._commits(session)
            write_layers(session, output, meta, without(session.trees, layers, doomed), begun=True)
        self._start_step(self._again, plan.total - len(plan.reuse), seconds)

    def end(self, txn: Transaction, state: JobState, reason: str) -> list[CommitRow]:
        """Close the commits and the record; returns the commits."""
        self.phase = Phase.DONE
        closed = end_job(txn, self.info, state, reason)
        ended = txn.session.pipelines.job(self.info.job)
        if ended is not None:
            self.info = ended
        return closed

    def is_late(self, now: float) -> bool:
        """Whether `job_timeout` is over."""
        return self.deadline is not None and now >= self.deadline
