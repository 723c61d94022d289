"""Methods of `Runner` about pipelines and their defaults, jobs, datums and logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_runner.api.access import Access
from local_runner.errors import Refused
from local_runner.model.datums import DatumInfo
from local_runner.model.ids import new_id
from local_runner.model.jobs import JobInfo, JobSetInfo
from local_runner.model.pipelines import PipelineInfo, Transform
from local_runner.model.refs import CommitQuery, JobRef, PipelineRef
from local_runner.pipelines import cron, datums, jobs, pipelines
from local_runner.pipelines.logs import LogReader, last_lines, log_filter
from local_runner.pipelines.missing_secrets import missing_secrets
from local_runner.pipelines.stored_specs import pipeline_info
from local_runner.pipelines.verbs import CreatePipeline, StopJob
from local_runner.planning.prepare import possible_datums
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Session
from local_runner.storage.wakeup import Wakeup


class Pipelines(Access):
    """Methods about pipelines, their defaults, jobs, datums and logs."""

    # -- pipelines -----------------------------------------------------------------------------------------------------

    def create_pipeline(
        self,
        document: Mapping[str, Any],
        *,
        project: str,
        update: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
        code: str = "",
    ) -> dict[str, Any]:
        """Create a pipeline, or a new version of one; returns its effective spec. With `dry_run` nothing else happens."""
        effective = self._look(lambda session: pipelines.effective(session, document, project))
        if not dry_run:
            request = pipelines.PipelineRequest(document, project, update, reprocess, code)
            self._do(CreatePipeline(request))
        return effective

    def missing_secrets(self, transform: Transform) -> list[str]:
        """Sentences on the secrets of a spec that are not here, or lack the key it wants: what is missing, and how to have it."""
        return self._look(lambda session: missing_secrets(session, transform))

    def inspect_pipeline(self, pipeline: PipelineRef, back: int = 0) -> PipelineInfo:
        """The newest version, or the one `back` updates before it."""
        return self._look(lambda session: pipeline_info(session, pipelines.find_pipeline(session, pipeline, back)))

    def list_pipeline(
        self, projects: Sequence[str] | None = None, pipeline: PipelineRef | None = None, history: int = 0, commit: str = ""
    ) -> list[PipelineInfo]:
        """Newest first, with `history` older versions of each (-1: all); or as they were in the commit set `commit`."""
        return self._look(lambda session: pipelines.list_pipeline(session, projects, pipeline, history, commit))

    def start_pipeline(self, pipeline: PipelineRef) -> None:
        """Let a stopped pipeline work again, beginning with what its inputs hold now. Raises `NotFound`."""
        self.change(lambda txn: pipelines.start_pipeline(txn, pipeline))

    def stop_pipeline(self, pipeline: PipelineRef) -> None:
        """Let a pipeline make no more commits and jobs, and kill its unfinished jobs. Raises `NotFound`."""
        self.change(lambda txn: pipelines.stop_pipeline(txn, pipeline))

    def delete_pipeline(self, pipeline: PipelineRef, *, force: bool = False, keep_repo: bool = False, must_exist: bool = False) -> None:
        """Stop it, then remove it; if it cannot be removed it stays stopped, as on a cluster."""
        row = self._look(lambda session: session.pipelines.pipeline(pipeline))
        if row is None and not must_exist:
            return
        self.stop_pipeline(pipeline)
        try:
            self.change(lambda txn: pipelines.delete_pipeline(txn, pipeline, force=force, keep_repo=keep_repo))
        except Refused as error:
            if row and not row.stopped:
                now = f"{pipeline.name} is stopped now, `start pipeline {pipeline.name}` lets it go on"
                error.hint = f"{error.hint}; {now}" if error.hint else now
            raise

    def rerun_pipeline(self, pipeline: PipelineRef, *, reprocess: bool = False) -> None:
        """Make a new version with the same spec, and a job for it; `reprocess` runs all its datums again. Raises `NotFound`."""
        self.change(lambda txn: pipelines.rerun_pipeline(txn, pipeline, reprocess=reprocess))

    def run_cron(self, pipeline: PipelineRef) -> None:
        """Let every cron input of a pipeline tick now. Raises `NotFound`, and `Refused` if it has none."""
        self.changed += cron.run_cron(self.database, pipeline)
        self.ensure_engine()

    def get_defaults(self, project: str | None = None) -> str:
        """Defaults of a project, or of everything, as JSON."""
        return self._look(lambda session: pipelines.get_defaults(session, project))

    def set_defaults(
        self,
        document: Mapping[str, Any] | None,
        project: str | None = None,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[PipelineRef]:
        """Replace defaults; returns the pipelines whose specs that changes, which `regenerate` updates."""

        def work(txn: Transaction) -> list[PipelineRef]:
            affected = pipelines.set_defaults(txn, document, project)
            for pipeline in affected if regenerate else ():
                pipelines.rerun_pipeline(txn, pipeline, reprocess=reprocess)
            return affected

        if dry_run:
            with self.database.rehearse() as session:
                return pipelines.set_defaults(Transaction(session, new_id(), session.clock()), document, project)
        return self.change(work)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def inspect_job(self, job: JobRef, *, wait: bool = False) -> JobInfo:
        """With `wait`, block until it is over."""

        def over(session: Session) -> JobInfo | None:
            info = jobs.find_job(session, job)
            return info if not wait or info.state.is_final else None

        return self.wait_until(over)

    def list_job(
        self,
        projects: Sequence[str] | None = None,
        pipeline: PipelineRef | None = None,
        inputs: Sequence[CommitQuery] = (),
        history: int = 0,
        *,
        reverse: bool = False,
        beyond: float | None = None,
    ) -> Iterator[JobInfo]:
        """Jobs, newest first: of the newest version of each pipeline and `history` versions before it (-1: all).

        With `reverse` oldest first; `beyond` a moment, in seconds since the epoch: of those made before it, with `reverse` after it.
        `inputs` are commits that all have to be among those a job reads. Raises `NotFound`.
        """
        return self._stream(lambda session: jobs.list_job(session, projects, pipeline, inputs, history, reverse=reverse, beyond=beyond))

    def inspect_job_set(self, id: str, *, wait: bool = False, watch: Callable[[JobSetInfo], None] = lambda info: None) -> JobSetInfo:
        """With `wait`, block until all its jobs are over, and let `watch` see each change; a set without jobs is empty, not an error."""

        def over(session: Session) -> JobSetInfo | None:
            found = jobs.job_set(session, id)
            watch(found)
            return found if not wait or all(info.state.is_final for info in found.jobs) else None

        return self.wait_until(over)

    def list_job_set(self, projects: Sequence[str] | None = None, *, reverse: bool = False) -> Iterator[JobSetInfo]:
        """Job sets, newest first, or oldest first, without the jobs of other projects than these; a set that has none left is left out."""
        return self._stream(lambda session: jobs.list_job_set(session, projects, reverse=reverse))

    def subscribe_job(self, pipeline: PipelineRef | None = None) -> Iterator[JobInfo]:
        """The jobs of a pipeline, or of all, oldest first, and each again whenever its state or its counts change, for ever.

        Raises `NotFound`.
        """
        if pipeline:
            self.inspect_pipeline(pipeline)
        last, going_on = 0, dict[JobRef, JobInfo]()  # a job that is over does not change

        def changed(session: Session) -> tuple[int, list[JobInfo]] | None:
            new = session.pipelines.newer_jobs(last, pipeline)
            again = [info for info in map(session.pipelines.job, going_on) if info is not None and info != going_on[info.job]]
            found = [*again, *(info for _, info in new)]
            return (new[-1][0] if new else last, found) if found else None

        while True:
            last, found = self.wait_until(changed)
            for info in found:
                going_on[info.job] = info
                if info.state.is_final:
                    del going_on[info.job]
                yield info

    def stop_job(self, job: JobRef, reason: str = "") -> None:
        """Kill a job; one that is over stays as it is. Raises `NotFound`."""
        self._do(StopJob(job, reason))

    def stop_job_set(self, id: str) -> None:
        """Kill the jobs of a set, one after the other."""
        for info in self.inspect_job_set(id).jobs:
            self.stop_job(info.job)

    def delete_job(self, job: JobRef) -> None:
        """Kill a job and forget it; its output commit stays. Raises `NotFound`."""
        self.change(lambda txn: jobs.delete_job(txn, job))

    def restart_datum(self, job: JobRef, filters: Sequence[str]) -> None:
        """Let the engine fail the present attempt of the datum that matches all `filters`: paths, or hashes in hex or base64.

        Raises `NotFound` if no such datum is being worked on.
        """
        self.change(lambda txn: jobs.restart_datum(txn, job, filters))

    def job_pipeline(self, job: JobRef) -> PipelineInfo:
        """The version of the pipeline that a job runs."""

        def look(session: Session) -> PipelineInfo:
            info = jobs.find_job(session, job)
            row = session.pipelines.version(job.pipeline, info.pipeline_version)
            return pipeline_info(session, row or pipelines.find_pipeline(session, job.pipeline))

        return self._look(look)

    def resolve_job(self, text: str, project: str) -> JobRef:
        """A job from `pipeline@id`."""
        name, _, job_id = text.partition("@")
        head, slash, tail = name.rpartition("/")
        pipeline = PipelineRef(head if slash else project, tail)
        return self._look(lambda session: jobs.resolve_job(session, pipeline, job_id))

    # -- datums and logs -----------------------------------------------------------------------------------------------

    def list_datum(self, job: JobRef) -> Iterator[DatumInfo]:
        """The datums of a job by id, as far as they are done. Raises `NotFound`, and `Refused` if they are forgotten (`gc`)."""
        return self._stream(lambda session: datums.list_datum(session, job))

    def list_datum_of(self, document: Mapping[str, Any], project: str) -> Iterator[DatumInfo]:
        """The datums that a spec would make of the present heads; only its input counts."""
        return iter(self._look(lambda session: possible_datums(session, document, project)))

    def inspect_datum(self, job: JobRef, datum_id: str) -> DatumInfo:
        """One datum of a job. Raises `NotFound`, and `Refused` if they are forgotten (`gc`)."""
        return self._look(lambda session: datums.inspect_datum(session, job, datum_id))

    def logs(
        self,
        pipeline: PipelineRef | None = None,
        job: JobRef | None = None,
        datum: str = "",
        inputs: Sequence[str] = (),
        since: float | None = None,
        *,
        follow: bool = False,
        attempt: int = 0,
        tail: int | None = None,
        wanted: Callable[[Mapping[str, Any]], bool] = lambda record: True,
        skipped: Callable[[Path, int], None] = lambda path, size: None,
    ) -> Iterator[Mapping[str, Any]]:
        """What user code printed, as the records a cluster would log; the last `tail` of those wanted. With `follow` also what is
        to come, for ever. `skipped` is told how many bytes of a file cannot be read."""
        chosen = log_filter(datum=datum, inputs=inputs, since=since, attempt=attempt)
        reader = LogReader(self.database.home.logs, pipeline, [job] if job else [], chosen, skipped)
        found = filter(wanted, reader.new())
        if not follow:
            yield from found if tail is None else deque(found, maxlen=tail)
            return
        with Wakeup(self.database.home.wakeups) as wakeup, self._stop.wakes(wakeup):
            yield from found if tail is None else deque(found, maxlen=tail)
            while True:
                wakeup.wait(1.0)
                self._stop.check()
                yield from filter(wanted, reader.new())

    def last_lines(self, job: JobRef, datum: str) -> list[str]:
        """The last lines a datum printed."""
        return last_lines(self.database.home.logs, job, datum)
