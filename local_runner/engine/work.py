"""What there is for an engine to do, as those ask who may have to start one."""

from __future__ import annotations

import time
from collections.abc import Container

from local_runner.engine.agenda import Agenda, read_agenda
from local_runner.engine.begin import candidates, judge
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow


def has_work(session: Session, residents: bool = True, only: Container[PipelineRef] | None = None) -> bool:
    """Whether there is a pipeline to start, a job that does not merely wait for an open commit, or a tick that is due.

    With `residents` also if it is only to let a spout or a service run; `only` leaves other pipelines out.
    """
    agenda = read_agenda(session, Agenda())
    rows = {ref: row for ref, row in agenda.rows.items() if only is None or ref in only}
    if any(row.state is PipelineState.STARTING for row in rows.values()):
        return True
    if residents and any(ref in rows for ref in agenda.spouts):
        return True
    for candidate in candidates(agenda.unfinished, rows, (), agenda.services, (lambda job, row: False) if residents else None):
        if agenda.unfinished[candidate.job] != JobState.STARTING.value or not _waits(session, candidate.job, candidate.row):
            return True
    return any(tick.at <= time.time() and (only is None or tick.owner in only) for tick in agenda.free_ticks)


def _waits(session: Session, job: JobRef, row: PipelineRow) -> bool:
    """Whether it waits for its inputs. What cannot be judged is work: an engine ends it."""
    try:
        return bool(judge(session, job, row).waits_for)
    except Exception:
        return False
