"""Clocks of pipelines: which ticks are due, and how a tick is put (reference pps 4.9)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable

from local_runner.engine.pipelines import cron_inputs
from local_runner.engine.specs_at_rest import spec_of
from local_runner.engine.triggers import settle
from local_runner.model.ids import new_id
from local_runner.model.inputs import Cron, leaves
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import CommitQuery, PipelineRef
from local_runner.model.units import parse_rfc3339, rfc3339
from local_runner.repos.commits import content_root, resolve
from local_runner.repos.files import Change, Delete, Put, modify
from local_runner.repos.nodes import files_below
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Database, Session
from local_runner.storage.pipeline_records import PipelineRow


def tick(txn: Transaction, clock: Cron, at: float) -> None:
    """Put the file of one tick, and start what waits for it."""
    name = rfc3339(int(at))
    put = Put(f"/{name}", txn.session.objects.files.take(b""))
    changes: list[Change] = [Delete("/"), put] if clock.overwrite else [put]
    modify(txn, CommitQuery(clock.source.repo, clock.source.name), changes)
    settle(txn)


def run_cron(database: Database, ref: PipelineRef) -> None:
    """Tick every clock of a pipeline now, each in a commit set of its own. Raises `NotFound`, `Refused` if it has none."""
    now = time.time()
    with database.read() as session:
        clocks = cron_inputs(session, ref)
    for clock in clocks:
        with database.write() as session:
            tick(Transaction(session, new_id(), time.time()), clock, now)


def next_tick(session: Session, clock: Cron) -> float | None:
    """When a clock ticks next, in seconds since the epoch; that may be past. None for never."""
    from local_runner.model.schedule import Never, parse_schedule  # 5 ms, for the few that have clocks

    schedule = parse_schedule(clock.spec)
    if isinstance(schedule, Never):
        return None
    since = parse_rfc3339(clock.start) if clock.start else 0.0
    branch = session.repos.branch(clock.source)
    if branch is not None and branch.head is not None:
        row = resolve(session, CommitQuery(clock.source.repo, clock.source.name))
        names = [node.path[1:] for node in files_below(session.trees, content_root(session, row))]
        since = max([since, *map(parse_rfc3339, names)])
    due = schedule.next_after(datetime.datetime.fromtimestamp(since, datetime.UTC))
    return due.timestamp() if due else None


def next_ticks(session: Session, rows: Iterable[PipelineRow]) -> list[tuple[float, Cron]]:
    """The next tick of every clock of pipelines that run, the earliest first."""
    found = []
    for row in rows:
        if row.state is PipelineState.RUNNING:
            clocks = (leaf for leaf in leaves(spec_of(row).input) if isinstance(leaf, Cron))
            found += [(due, clock) for clock in clocks if (due := next_tick(session, clock)) is not None]
    return sorted(found, key=lambda pair: pair[0])
