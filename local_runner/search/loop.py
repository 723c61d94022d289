"""The loop of a search: as many points are out as workers can take, each result is told when it comes, and the next is asked at once.

It runs between the beats of the engine of this process, so that nothing has to be waited for by turns.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from local_runner.engine.config import EngineConfig
from local_runner.engine.observers import Observer, SilentObserver
from local_runner.engine_host import engine_of
from local_runner.errors import Refused, WorkFailed
from local_runner.model.datums import DatumState
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import JobRef
from local_runner.model.space import Point
from local_runner.project.search import SearchSettings
from local_runner.search.points import named_in
from local_runner.search.route import find_route
from local_runner.search.trials import WAITING, Failure, Trial

if TYPE_CHECKING:
    from local_runner.engine.loop import Engine
    from local_runner.executors.base import Executor
    from local_runner.pipelines.outcome import Outcome
    from local_runner.runner import Runner
    from local_runner.search.study import Study


# Of BLAS in each worker: workers are as many as cores, and more threads would only wait for each other.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_LISTEN_SECONDS = 1.0  # between two looks at what running datums print


class Watcher(Observer, Protocol):
    """Who wants to see how a search goes on: what an observer of the engine sees, and what becomes of points."""

    def planned(self, wanted: int, known: Sequence[Trial]) -> None: ...

    def points_out(self, count: int) -> None: ...

    def told(self, trial: Trial) -> None: ...

    def said(self, name: str, line: str) -> None:
        """The newest line that a point printed while it runs: an early loss, for example."""
        ...


class Unseen(SilentObserver):
    """Nobody looks."""

    def planned(self, wanted: int, known: Sequence[Trial]) -> None:
        pass

    def points_out(self, count: int) -> None:
        pass

    def told(self, trial: Trial) -> None:
        pass

    def said(self, name: str, line: str) -> None:
        pass


@dataclass(slots=True)
class _Batch:
    """Points that were asked for together and have no result, the jobs that are to score them, and points told before those end."""

    names: set[str]
    jobs: set[JobRef]
    early: set[str] = field(default_factory=set)


class SearchLoop:
    """Asks and tells. `step` does what can be done now and says whether the search is over; the engine's observer wakes it.

    At most `room` points are out at once, `together` of them in one commit; `in_batches` says that more are asked for only when all
    are told. A result counts when its datum has ended: the job may have to wait for an older one, and a slow point blocks nobody.
    """

    def __init__(
        self,
        study: Study,
        route: Sequence[PipelineInfo],
        watcher: Watcher,
        *,
        wanted: int,
        room: int,
        together: int,
        in_batches: bool,
    ) -> None:
        self._study, self._watcher = study, watcher
        self._wanted, self._room, self._together, self._in_batches = wanted, room, together, in_batches
        self._pipelines = {info.pipeline: place for place, info in enumerate(route)}
        self._has_news = True
        self._has_early_news = False
        self._failures: dict[str, Failure] = {}  # of datums that ended, not yet written down
        self._ended: set[JobRef] = set()
        self._said: dict[str, str] = {}  # by datum
        self._listen_at = 0.0  # of the monotonic clock
        self._is_spent = False  # the sampler has no more points
        waiting = {trial.name for trial in study.trials() if trial.state == WAITING}
        unfinished = {info.job for info in self._unfinished()}
        self._batches = [_Batch(waiting, unfinished)] if waiting or unfinished else []

    def wake(self, ended: JobRef) -> None:
        """A job has ended."""
        self._ended.add(ended)
        self._has_news = True

    def see(self, job: JobRef, outcome: Outcome) -> bool:
        """A datum has ended, whose job may not be over for long; returns whether a point has its result by that."""
        study = self._study
        names = {name for file in outcome.datum.inputs if (name := named_in(file.path))}
        batch = next((batch for batch in self._batches if names & batch.names), None)
        if batch is None or job.pipeline not in self._pipelines:
            return False
        if outcome.counted is not DatumState.PROCESSED:
            failure = Failure(outcome.reason, outcome.last_lines, job.pipeline.name, job.id, outcome.datum.id)
            self._failures |= dict.fromkeys(names & batch.names - self._failures.keys(), failure)
            self._has_early_news = True
            return True
        if job.pipeline.name == study.settings.score.repo and study.ledger.is_scored_by_one(job):
            for file in outcome.outputs:
                if file.content.inline is not None:
                    study.ledger.take_early(file.path, file.content.inline)
        told = [trial for name in names & batch.names if (trial := study.ledger.trial(name)).state != WAITING]
        for trial in told:
            study.tell_early(trial)
            batch.early.add(trial.name)
            self._end(batch, trial)
        self._has_early_news |= bool(told)
        return bool(told)

    def step(self) -> bool:
        if self._has_news or self._has_early_news:
            if self._has_news:
                self._has_news = False
                self._take_in()
            self._has_early_news = False
            self._ask()
            self._watcher.points_out(self._out)
        if time.monotonic() >= self._listen_at:
            self._listen()
            self._listen_at = time.monotonic() + _LISTEN_SECONDS
        return not self._has_news and not self._batches

    def check_moves(self) -> None:
        """The engine has nothing to do. Raises `Refused` if jobs are left all the same."""
        left = {job for batch in self._batches for job in batch.jobs - self._ended}
        over = {job for job in left if self._study.runner.inspect_job(job).state.is_final}
        if left and not over:
            names = ", ".join(sorted({job.pipeline.name for job in left}))
            raise Refused(f"jobs of {names} do not begin", hint="`list pipeline` says which is stopped: start it and search again")
        self._ended |= over
        self._has_news = True

    def _listen(self) -> None:
        """Hand on what running datums printed last, if that is new."""
        runner = self._study.runner
        for job in {job for batch in self._batches for job in batch.jobs - self._ended}:
            for running in runner.inspect_job(job).running:
                lines = runner.last_lines(job, running.datum)[-1:]
                name = next(filter(None, map(named_in, running.paths)), "")
                if name and lines and self._said.get(running.datum) != lines[0]:
                    self._said[running.datum] = lines[0]
                    self._watcher.said(name, lines[0])

    @property
    def _out(self) -> int:
        return sum(len(batch.names - self._failures.keys()) for batch in self._batches)

    def _unfinished(self) -> Iterator[JobInfo]:
        for pipeline in self._pipelines:
            yield from itertools.takewhile(lambda info: not info.state.is_final, self._study.runner.list_job(pipeline=pipeline))

    def _jobs(self, set_id: str = "") -> list[JobInfo]:
        """Jobs of the pipelines of the search, those upstream first: of a commit set, or the newest of each."""
        runner = self._study.runner
        if set_id:
            found = [info for info in runner.inspect_job_set(set_id).jobs if info.job.pipeline in self._pipelines]
        else:
            found = [job for pipeline in self._pipelines for job in _first(runner.list_job(pipeline=pipeline))]
        return sorted(found, key=lambda info: self._pipelines[info.job.pipeline])

    def _take_in(self) -> None:
        ledger = self._study.ledger
        self._study.refresh()
        for batch in list(self._batches):
            for name in list(batch.names):
                if (trial := ledger.trial(name)).state != WAITING:
                    self._end(batch, trial)
            if batch.jobs <= self._ended:
                self._batches.remove(batch)
                ledger.forget_early(batch.early)
                batch.names |= {name for name in batch.early if ledger.trial(name).state == WAITING}
                self._settle(batch)

    def _end(self, batch: _Batch, trial: Trial) -> None:
        batch.names.discard(trial.name)
        self._watcher.told(trial)

    def _settle(self, batch: _Batch) -> None:
        """What the jobs left without a score has failed; if a job failed with it, the others of it are tried without that."""
        if not batch.names:
            return
        study = self._study
        jobs = sorted(batch.jobs, key=lambda job: self._pipelines[job.pipeline])
        infos = [study.runner.inspect_job(job) for job in jobs] or self._jobs()
        failures = settle(study.runner, infos, batch.names, study.settings)
        study.ledger.tell(failures)
        study.refresh()
        for name in failures:
            self._failures.pop(name, None)
            self._end(batch, study.ledger.trial(name))
        if batch.names:
            self._put(batch.names, {})

    def _ask(self) -> None:
        study = self._study
        while not self._is_spent:
            count = min(self._room - self._out, self._wanted - study.count(), self._together)
            if count <= 0 or (self._in_batches and self._out):
                break
            self._tell_failures()
            points = study.choose(count)
            self._is_spent = len(points) < count
            if not points:
                break
            self._put(points.keys(), points)
        if not self._batches and any(study.ledger.to_withdraw()):
            self._put((), {})

    def _tell_failures(self) -> None:
        """Write down which points failed although their jobs are not over, so that no younger job runs them again."""
        if not self._failures:
            return
        self._study.ledger.tell(self._failures)
        self._study.refresh()
        for batch in self._batches:
            for name in batch.names & self._failures.keys():
                self._end(batch, self._study.ledger.trial(name))
        self._failures.clear()

    def _put(self, names: Iterable[str], points: Mapping[str, Point]) -> None:
        set_id = self._study.ledger.ask(points)
        self._batches.append(_Batch(set(names), {info.job for info in self._jobs(set_id)}))


def settle(runner: Runner, jobs: Sequence[JobInfo], names: Iterable[str], settings: SearchSettings) -> dict[str, Failure]:
    """Why points have no score after these jobs, upstream first, are over. A point is left out if it suffers from the failure of another.

    Raises `WorkFailed` if a job did not succeed and no datum is to blame.
    """
    missing, failures = set(names), dict[str, Failure]()
    for info in jobs:
        for datum in runner.list_datum(info.job) if info.counters.failed or info.counters.recovered else ():
            if datum.state not in ("failed", "recovered"):
                continue
            for name in missing & {named_in(read.path) for read in datum.datum.inputs}:
                words = tuple(runner.last_lines(info.job, datum.datum.id))
                failures.setdefault(name, Failure(datum.reason, words, info.job.pipeline.name, info.job.id, datum.datum.id))
    bad = next((info for info in jobs if info.state is not JobState.SUCCESS), None)
    if bad is None:
        reason = f"the jobs succeeded, but {settings.score.repo} has no score for it at {settings.score.pattern}"
        return failures | {name: Failure(reason) for name in missing - failures.keys()}
    if not failures:
        raise WorkFailed(
            f"{bad.job.pipeline.name}: {bad.state.word}: {bad.reason.strip()}",
            hint=f"`logs -j {bad.job.pipeline.name}@{bad.job.id}` says more; finished points are kept",
        )
    return failures


def run_study(
    study: Study,
    trials: int = 0,
    *,
    jobs: int = 0,
    batch: int = 0,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
    say: Callable[[str], None] = lambda text: None,
    waiting: Callable[[str], None] = lambda holder: None,
) -> None:
    """Be the engine, bring the pipelines of a study up to date and search until `trials` points of its space are tried.

    `jobs` are datums at once (0: one a core), `batch` points that are asked for together, and more when all are told (0: of a sampler
    that learns each by itself, as soon as there is a worker for it; of others all). Ctrl-C leaves everything
    as it is, and the next call goes on. Raises `WorkFailed` if pipelines cannot work, and what is wrong with specs and settings.
    """
    settings, runner, watcher = study.settings, study.runner, watcher or Unseen()
    adapts = bool(settings.points) and study.sampler.adapts  # what is missing for it is said before anything runs
    executor = executor or _chosen(study, say)
    devices = settings.devices
    if devices and jobs > len(devices):
        raise settings.wrong(
            "devices", f"there are {len(devices)}, but {jobs} datums are to run at once", f"say -j {len(devices)}, or less"
        )
    jobs = jobs or len(devices) or executor.places() or os.cpu_count() or 1
    wanted = trials or (_ALL if settings.sampler == "grid" else settings.trials)
    room = wanted if not adapts else batch if batch > 1 else jobs
    together = batch or (1 if adapts else wanted)
    study.prepare()
    project = dataclasses.replace(study.project, specs=settings.pipelines or study.project.specs, is_part=bool(settings.pipelines))
    observer = _Waker(watcher)
    todo = runner.compare(project)
    config = EngineConfig(
        executor,
        jobs,
        lambda: study.project.images,
        observer,
        may_begin=lambda info: todo.needed is None or info.job.pipeline in todo.needed,
        ignore_failures=True,  # what fails is a result
        env=_ONE_THREAD,
        env_of_worker=lambda number: devices[number] if devices else {},
        warn=say,
    )
    with closing(executor), engine_of(runner, config, waiting=waiting) as engine:
        todo = runner.compare(project)
        for sentence in todo.sentences:
            say(sentence)
        runner.bring_up_to_date(todo)
        route = find_route(runner, settings)
        _check_works(route)
        if not settings.points:
            engine.work()
            return
        study.refresh()
        known = study.counted()
        watcher.planned(min(wanted, _size(study)), known)
        loop = SearchLoop(study, route, watcher, wanted=wanted, room=room, together=together, in_batches=adapts and batch > 1)
        observer.follow(loop, engine)
        while not loop.step():
            engine.work(until=loop.step)
            loop.check_moves()
    study.refresh()


def _check_works(route: Sequence[PipelineInfo]) -> None:
    """Raises `Refused` for a pipeline that does no jobs."""
    for info in route:
        if info.stopped:
            hint = f"start it, then search again: start pipeline {info.pipeline.name}"
            raise Refused(f"pipeline {info.pipeline.name} is stopped, so no point would be scored", hint=hint)


_ALL = 10**9


def _size(study: Study) -> int:
    return sum(1 for _ in study.space.grid()) if study.space.is_finite else _ALL


def _chosen(study: Study, say: Callable[[str], None]) -> Executor:
    from local_runner.executors.table import choose
    from local_runner.project.file import dask_of

    executor, why = choose(os.environ.get("LOCAL_RUNNER_EXECUTOR", "auto"), lambda: dask_of(study.runner.home))
    say(why)
    return executor


def _first(jobs: Iterable[JobInfo]) -> list[JobInfo]:
    return [info for info, _ in zip(jobs, range(1), strict=False)]


class _Waker:
    """Shows what happens to the watcher, and wakes the loop when a job, or a point, has come to its end."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._loop: SearchLoop | None = None
        self._engine: Engine | None = None

    def follow(self, loop: SearchLoop, engine: Engine) -> None:
        """From now on, wake this loop between the beats of this engine."""
        self._loop, self._engine = loop, engine

    def job_changed(self, info: JobInfo) -> None:
        if info.state.is_final and self._loop is not None:
            self._loop.wake(info.job)
        self._watcher.job_changed(info)

    def datum_ended(self, job: JobRef, outcome: Outcome) -> None:
        if self._loop is not None and self._engine is not None and self._loop.see(job, outcome):
            self._engine.look_again()
        self._watcher.datum_ended(job, outcome)
