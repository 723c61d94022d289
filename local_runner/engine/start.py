"""What is done once when a pipeline or a job starts: a pipeline's first state, and remarks at the head of a job's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from local_runner.executors.base import Executor
from local_runner.model.ids import new_id
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineSpec, PipelineState
from local_runner.model.refs import JobRef
from local_runner.pipelines.job_end import end_job
from local_runner.pipelines.pipelines import NO_COMMAND
from local_runner.pipelines.stored_specs import spec_of
from local_runner.repos.transaction import Transaction
from local_runner.specs.notes import remote_egress
from local_runner.storage.database import Database
from local_runner.storage.pipeline_records import PipelineRow


def start_pipeline(database: Database, row: PipelineRow, unfinished: Iterable[JobRef]) -> None:
    """Set a new pipeline to running; or to failure if it has no command, which ends its jobs."""
    works = bool(spec_of(row).transform.cmd)
    with database.write() as session:
        state = PipelineState.RUNNING if works else PipelineState.FAILURE
        session.pipelines.set_pipeline_state(row.pipeline, state, "" if works else NO_COMMAND)
        if not works:
            txn = Transaction(session, new_id(), session.clock())
            for job in unfinished:
                info = session.pipelines.job(job) if job.pipeline == row.pipeline else None
                if info is not None and not info.state.is_final:
                    end_job(txn, info, JobState.KILLED, NO_COMMAND)


def executor_remarks(spec: PipelineSpec, executor: Executor) -> Iterator[str]:
    """The first lines of a job's log: what its spec asks for that this executor cannot honour."""
    if spec.transform.user and not executor.capabilities.runs_as_user:
        yield f"transform.user: the executor {executor.name} cannot run commands as {spec.transform.user}; root's sandbox could"
    yield from remote_egress(spec)
