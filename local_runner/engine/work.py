"""What there is for an engine to do, as those ask who may have to start one."""

from __future__ import annotations

import time
from collections.abc import Container

from local_runner.engine.cron import next_ticks
from local_runner.engine.jobs import output_commit
from local_runner.engine.prepare import inputs_state
from local_runner.engine.specs_at_rest import is_live_spout, is_service, spec_of
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import PipelineRef
from local_runner.storage.database import Session


def has_work(session: Session, residents: bool = True, only: Container[PipelineRef] | None = None) -> bool:
    """Whether there is a pipeline to start, a job that does not merely wait for an open commit, or a tick that is due.

    With `residents` also if it is only to let a spout or a service run; `only` leaves other pipelines out.
    """
    rows = {row.pipeline: row for row in session.pipelines.pipelines() if only is None or row.pipeline in only}
    if any(row.state is PipelineState.STARTING for row in rows.values()):
        return True
    if residents and any(map(is_live_spout, rows.values())):
        return True
    for info in session.pipelines.unfinished_jobs():
        if only is not None and info.job.pipeline not in only:
            continue
        row, output = rows.get(info.job.pipeline), output_commit(session, info.job)
        if not residents and row is not None and is_service(row):
            continue
        if info.state is not JobState.STARTING or row is None or output is None or any(inputs_state(session, spec_of(row), output)):
            return True
    ticks = next_ticks(session, rows.values())
    return bool(ticks) and ticks[0][0] <= time.time()
