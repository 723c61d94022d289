"""Confines errors: what fails for one job or pipeline ends that one, and everything else goes on."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Container

from local_runner.errors import ClusterLost, DiskFull, LocalRunnerError
from local_runner.model.ids import new_id
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.pipelines.job_end import fail_job, fail_unreadable_job
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Database

_PAUSES = (0.05, 0.2, 1.0)  # seconds before a job is tried to be ended again, if the disk did not answer


class Guard:
    """Runs actions for jobs and pipelines; an exception ends that job, or leaves that pipeline aside.

    Both raise `DiskFull`, as nothing can be written then, `ClusterLost`, as no job is at fault, and whatever it was if for another reason
    nothing can be written at all.
    `aside` has the pipelines that nothing is done for any more, and why.
    """

    def __init__(self, database: Database, let_go: Callable[[JobRef], None]) -> None:
        """`let_go` is called for a job before it is ended."""
        self._database, self._let_go = database, let_go
        self.aside: dict[PipelineRef, str] = {}

    def for_job(self, job: JobRef, act: Callable[[], None]) -> None:
        """Run an action for a job. If it raises, the job ends with the reason; if it cannot be ended, its pipeline is left aside."""
        try:
            act()
        except (DiskFull, ClusterLost):
            raise
        except Exception as error:
            self._let_go(job)
            reason = in_words(error)
            self.for_pipeline(job.pipeline, lambda: self._end(job, reason), reason)

    def for_pipeline(self, pipeline: PipelineRef, act: Callable[[], None], why: str = "") -> None:
        """Run an action for a pipeline. If it raises, the pipeline is left aside; the reason is `why`, if given."""
        try:
            act()
        except (DiskFull, ClusterLost):
            raise
        except Exception as error:
            self.leave_aside(pipeline, why or in_words(error))

    def leave_aside(self, pipeline: PipelineRef, reason: str) -> None:
        """Leave a pipeline aside, with a reason, until it is started or updated."""
        if pipeline in self.aside:
            return
        self.aside[pipeline] = reason
        with self._database.write() as session:
            session.pipelines.set_pipeline_state(pipeline, PipelineState.CRASHING, reason)

    def take_back(self, started: Container[PipelineRef]) -> None:
        """Work again for pipelines that were started or updated since they were left aside."""
        self.aside = {pipeline: why for pipeline, why in self.aside.items() if pipeline not in started}

    def _end(self, job: JobRef, reason: str) -> None:
        """End a job as failed. A disk that does not answer once is asked again: else one such moment would stop the pipeline for good."""
        for pause in _PAUSES:
            try:
                return self._end_now(job, reason)
            except Exception as error:
                if not _may_pass(error):
                    raise
            time.sleep(pause)
        return self._end_now(job, reason)

    def _end_now(self, job: JobRef, reason: str) -> None:
        try:
            with self._database.write() as session:
                fail_job(Transaction(session, new_id(), session.clock()), job, reason)
        except (DiskFull, ClusterLost):
            raise
        except Exception:
            with self._database.write() as session:
                fail_unreadable_job(Transaction(session, new_id(), session.clock()), job, reason)


def _may_pass(error: Exception) -> bool:
    """Whether an error says that a disk did not answer, which may be over in a moment."""
    cause = error.__cause__ if isinstance(error, LocalRunnerError) else error
    if isinstance(cause, sqlite3.OperationalError):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR
    return isinstance(cause, OSError) and cause.errno == errno.EIO


def in_words(error: Exception) -> str:
    """An exception as the reason why a job or a pipeline cannot go on."""
    return error.message if isinstance(error, LocalRunnerError) else f"it cannot be worked on: {type(error).__name__}: {error}"
