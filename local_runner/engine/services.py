"""Runs the commands of spouts, while their pipelines run, and of services, while their jobs are the newest (reference pps 4.8)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial

from local_runner.engine.environment import datum_env, dot_env, stdin_bytes
from local_runner.engine.hindrances import Withheld, hindrances
from local_runner.engine.s3_gateway import s3_gateway
from local_runner.engine.staging import stage
from local_runner.engine.worker_request import MakeRequest, WorkerRequests
from local_runner.engine.worker_thread import OpenWorker, open_worker
from local_runner.errors import CommitNotFound, LocalRunnerError
from local_runner.executors.base import Executor, Process, RunRequest
from local_runner.executors.launcher.tree import Tree
from local_runner.model.datums import Datum
from local_runner.model.jobs import JobInfo
from local_runner.model.pipelines import SPOUT_ENDED, PipelineSpec, PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.model.units import rfc3339
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.stored_specs import spec_of
from local_runner.planning.prepare import Roots, datums_of, input_commits
from local_runner.specs.notes import lost_output
from local_runner.storage.database import Database, Session
from local_runner.storage.job_log import JobLog, LogLines
from local_runner.storage.pipeline_records import PipelineRow

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0  # seconds before a command that failed is started again; twice as long each time


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """The command of a spout, or of a service with its one datum. The job of a spout has no id."""

    job: JobRef
    version: int
    spec: PipelineSpec
    request: MakeRequest
    withheld: Callable[[], Withheld] = Withheld
    datum: Datum = field(default_factory=lambda: Datum("", ()))
    roots: Roots = field(default_factory=dict)


class ServiceThread(threading.Thread):
    """A worker with one command, which is started again when it fails."""

    def __init__(self, database: Database, executor: Executor, service: ServiceSpec, notify: Callable[[], None]) -> None:
        pipeline = service.job.pipeline
        super().__init__(name=f"{pipeline.project}-{pipeline.name}-v{service.version}-0", daemon=True)
        self._database, self._executor, self._spec, self._notify = database, executor, service, notify
        self._log = JobLog(database.home.logs, service.job, rolls=True, clock=database.clock)
        self._pause = FIRST_PAUSE
        self._told_to_stop = threading.Event()
        self._process: Process | None = None
        self.has_ended = False  # of itself, and well

    def stop(self) -> None:
        """Kill its command; returns when it is gone."""
        self._told_to_stop.set()
        if self._process is not None:
            self._process.kill()
        self.join()

    def run(self) -> None:
        try:
            while not self._told_to_stop.is_set() and not self.has_ended:
                try:
                    with self._worker() as opened:
                        self._stay(opened)
                except Exception as error:  # whatever it was, it is tried again
                    self._rest(str(error) or repr(error), self._log.begin(self.name, self._spec.datum))
        finally:
            self._log.close()
            self._database.close_thread()
            self._notify()

    @contextlib.contextmanager
    def _worker(self) -> Iterator[OpenWorker]:
        """A worker; with an S3 gateway if the inputs of a service are buckets."""
        with s3_gateway(self._database.home.path, self._spec.spec) as gateway:
            port = gateway.port if gateway else 0
            with open_worker(self._database, self._executor, self._spec.request, self.name, s3_port=port) as opened:
                if gateway:
                    gateway.attach(opened.worker)
                    gateway.serve([self._spec.datum])
                yield opened

    def _stay(self, opened: OpenWorker) -> None:
        spec = self._spec.spec
        request, lines = self._lay_out(opened)
        while not self._told_to_stop.is_set():
            self._process = opened.worker.start(request)
            if self._told_to_stop.is_set():  # before the process was known
                self._process.kill()
            result = self._process.wait()
            assert result is not None
            if result.accepted(spec.transform.accept_return_code):
                self.has_ended = True
                return
            if not self._told_to_stop.is_set():
                self._rest(result.reason, lines)

    def _lay_out(self, opened: OpenWorker) -> tuple[RunRequest, LogLines]:
        """The command, and where its lines go; a spout gets neither `/pfs/out` nor variables of its own."""
        service, transform = self._spec, self._spec.spec.transform
        env, tree = {}, Tree()
        if service.job.id:
            env = datum_env(service.datum, service.job.id)
            told = dot_env(opened.worker, env)
            tree = stage(
                self._database,
                service.datum,
                service.roots,
                opened.scratch,
                "service",
                told,
                owner=opened.owner,
                fetches=opened.worker.fetches,
            ).tree
        opened.worker.lay(tree)
        lines = self._log.begin(self.name, service.datum)
        return RunRequest(transform.cmd, env, None, lines, stdin_bytes(transform.stdin), None, transform.working_dir), lines

    def _rest(self, reason: str, lines: LogLines) -> None:
        """Wait before the command is started again; why it ended is said in its log and by its pipeline."""
        why = hindrances(self._spec.withheld(), lines.last, reason)
        said = "; ".join((f"the command ended: {reason}", *why, f"it is started again in {self._pause:.0f} s"))
        lines("stderr", f"local_runner: {said}".encode(errors="backslashreplace"))
        self._note(f"{rfc3339(self._database.clock())}: {said}")
        self._told_to_stop.wait(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _note(self, reason: str) -> None:
        """Make something the reason of the pipeline, if it runs in this version."""
        pipeline = self._spec.job.pipeline
        with contextlib.suppress(LocalRunnerError), self._database.write() as session:
            row = session.pipelines.pipeline(pipeline)
            if row is not None and row.version == self._spec.version and row.state is PipelineState.RUNNING:
                session.pipelines.set_pipeline_state(pipeline, PipelineState.RUNNING, reason)


Key = tuple[PipelineRef, int, str]  # pipeline, version, id of a service's job or of a spout's spec commit


class Services:
    """All running spouts and services. Called from the engine's thread alone."""

    def __init__(
        self,
        database: Database,
        executor: Executor,
        requests: WorkerRequests,
        notify: Callable[[], None],
    ) -> None:
        self._database, self._executor, self._requests, self._notify = database, executor, requests, notify
        self._all: dict[Key, ServiceThread] = {}

    def __len__(self) -> int:
        return len(self._all)

    @property
    def have_ended(self) -> bool:
        """Whether some ended of themselves."""
        return any(one.has_ended for one in self._all.values())

    def keep(self, live: Iterable[PipelineRow], unfinished: Iterable[JobRef], rows: Mapping[PipelineRef, PipelineRow]) -> list[PipelineRow]:
        """Stop all but the `live` spouts and the services of unfinished jobs; returns the spouts to `attend`."""
        # One that was deleted and created anew begins at version 1 again; its spec commit is another.
        spouts = {(row.pipeline, row.version, row.spec_commit): row for row in live}
        wanted = spouts.keys() | {(job.pipeline, rows[job.pipeline].version, job.id) for job in unfinished if job.pipeline in rows}
        self._stop(self._all.keys() - wanted)
        return [row for key, row in spouts.items() if key not in self._all or self._all[key].has_ended]

    def attend(self, row: PipelineRow) -> None:
        """Start the spout of a pipeline that has none, or note that it ended of itself."""
        key = (row.pipeline, row.version, row.spec_commit)
        if key in self._all:
            self._note_end(row)
        else:
            spec = spec_of(row)
            self._start(key, self._service(JobRef(row.pipeline, ""), row, spec))

    def serves(self, job: JobRef, row: PipelineRow) -> bool:
        """Whether the service of a job is up."""
        return (job.pipeline, row.version, job.id) in self._all

    def spec_of_service(self, session: Session, info: JobInfo, row: PipelineRow, spec: PipelineSpec) -> ServiceSpec:
        """The service of a job whose inputs are finished. Raises `LocalRunnerError` if there can be none."""
        output = output_commit(session, info.job)
        if output is None:
            raise CommitNotFound(info.job)
        datums, roots = datums_of(session, spec.input, input_commits(session, spec, output))
        if len(datums) != 1:
            raise LocalRunnerError(f"services must have a single datum, and the input makes {len(datums)}")
        return replace(self._service(info.job, row, spec), datum=datums[0], roots=roots)

    def serve(self, service: ServiceSpec) -> None:
        """Start a service, when the one before it is gone: only one can listen."""
        self._stop(key for key in self._all if key[0] == service.job.pipeline)
        self._start((service.job.pipeline, service.version, service.job.id), service)

    def close(self) -> None:
        """End them all."""
        self._stop(list(self._all))

    def _start(self, key: Key, service: ServiceSpec) -> None:
        self._all[key] = ServiceThread(self._database, self._executor, service, self._notify)
        self._all[key].start()

    def _stop(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self._all.pop(key).stop()

    def _note_end(self, row: PipelineRow) -> None:
        """Record that a spout ended well, so that the next engine does not start it again."""
        with self._database.write() as session:
            newest = session.pipelines.pipeline(row.pipeline)
            if newest is not None and newest.version == row.version and newest.state is PipelineState.RUNNING:
                reason = "; ".join(filter(None, (SPOUT_ENDED, lost_output(spec_of(newest)))))
                session.pipelines.set_pipeline_state(row.pipeline, PipelineState.RUNNING, reason)

    def _service(self, job: JobRef, row: PipelineRow, spec: PipelineSpec) -> ServiceSpec:
        withheld = cache(partial(self._requests.withheld, spec))
        return ServiceSpec(job, row.version, spec, self._requests.of(spec, row.spec_commit), withheld)
