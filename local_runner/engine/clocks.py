"""Lets clocks tick whose time has come, as far as there is room for the jobs that follow."""

from __future__ import annotations

from local_runner.engine.guard import Guard, in_words
from local_runner.pipelines.cron import TickFailed, make_ticks
from local_runner.planning.agenda import Agenda
from local_runner.storage.database import Database


def make_due_ticks(database: Database, agenda: Agenda, guard: Guard, seconds: float) -> None:
    """Make the ticks that are due, missed ones included, each in its own commit; a limited time of it, so that jobs get their turn."""
    due = [tick for tick in agenda.free_ticks if tick.at <= database.clock() and tick.owner not in guard.aside]
    if not due:
        return
    try:
        make_ticks(database, due, agenda.room, seconds)
    except TickFailed as failed:
        guard.leave_aside(failed.owner, in_words(failed.error))
