"""Cron inputs, and branches with a `cron_spec`: computes which ticks are due, and makes them (reference pps 4.9, 5.9)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from local_runner.errors import Invalid
from local_runner.model.entries import parse_entry
from local_runner.model.ids import new_id
from local_runner.model.inputs import Cron, leaves
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import BranchRef, CommitQuery, PipelineRef
from local_runner.model.units import parse_rfc3339, rfc3339
from local_runner.pipelines.pipelines import cron_inputs
from local_runner.pipelines.stored_specs import has_clock, spec_of
from local_runner.pipelines.triggers import due_triggers, settle
from local_runner.repos.commits import content_root, resolve
from local_runner.repos.files import Change, Delete, Put, modify
from local_runner.repos.transaction import Transaction
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Database, Session
from local_runner.storage.pipeline_records import PipelineRow
from local_runner.storage.repo_records import BranchRow

Clock = Cron | BranchRow
_BEHIND_ALL = b"\xff"  # no path holds such a byte


class Tick(NamedTuple):
    """When a clock ticks next, in seconds since the epoch, and the pipeline it belongs to (or that its branch's repo would)."""

    at: float
    clock: Clock
    owner: PipelineRef


class TickFailed(Exception):
    """A clock cannot tick; `error` says why."""

    def __init__(self, owner: PipelineRef, error: Exception) -> None:
        super().__init__(owner, error)
        self.owner, self.error = owner, error


def tick(txn: Transaction, clock: Clock, at: float) -> None:
    """Put the file of one tick, or move the branch; and start what waits for it."""
    if isinstance(clock, BranchRow):
        _move(txn, clock, at)
        return
    name = rfc3339(int(at))
    put = Put(f"/{name}", txn.session.objects.files.take(b""))
    changes: list[Change] = [Delete("/"), put] if clock.overwrite else [put]
    modify(txn, CommitQuery(clock.source.repo, clock.source.name), changes)
    settle(txn)


def run_cron(database: Database, ref: PipelineRef) -> list[str]:
    """Tick every clock of a pipeline now, each in a commit set of its own; returns their ids.

    Raises `NotFound`, `Refused` if it has none.
    """
    now = database.clock()
    with database.read() as session:
        clocks = cron_inputs(session, ref)
    sets = [new_id() for _ in clocks]
    for id, clock in zip(sets, clocks, strict=True):
        with database.write() as session:
            tick(Transaction(session, id, session.clock()), clock, now)
    return sets


def next_tick(session: Session, clock: Cron) -> float | None:
    """When a clock ticks next, in seconds since the epoch; that may be past. None for never, without the repo that it
    ticks in, and after a file whose name is no time.
    """
    from local_runner.model.schedule import Never, parse_schedule  # 5 ms, for the few that have clocks

    schedule = parse_schedule(clock.spec)
    if isinstance(schedule, Never) or session.repos.repo(clock.source.repo) is None:
        return None
    since = parse_rfc3339(clock.start) if clock.start else 0.0
    branch = session.repos.branch(clock.source)
    if branch is not None and branch.head is not None:
        row = resolve(session, CommitQuery(clock.source.repo, clock.source.name))
        last = session.trees.before(content_root(session, row), _BEHIND_ALL)
        try:
            since = max(since, parse_rfc3339(parse_entry(*last).path[1:])) if last else since
        except Invalid:  # a file that a person put there: the clock stands still while it is the last one
            return None
    due = schedule.next_after(datetime.datetime.fromtimestamp(since, datetime.UTC))
    return due.timestamp() if due else None


def next_ticks(session: Session, rows: Iterable[PipelineRow], failed: Callable[[PipelineRef, Exception], None] | None = None) -> list[Tick]:
    """The next tick of every clock of pipelines that run, and of every branch that has to move then, the earliest first.

    `failed` is told of a clock that cannot be read, and the others tick on; without it that is raised.
    """
    found: list[Tick] = []

    sources: list[tuple[PipelineRef, PipelineRow | BranchRow]] = []
    sources += [(row.pipeline, row) for row in rows if row.state is PipelineState.RUNNING and has_clock(row)]
    branches = session.repos.triggered_branches()
    sources += [(PipelineRef(b.ref.repo.project, b.ref.repo.name), b) for b in branches if b.trigger and b.trigger.cron_spec]
    for owner, source in sources:
        try:
            found += [Tick(due, clock, owner) for clock in _clocks(source) if (due := _next(session, clock)) is not None]
        except Exception as error:
            if failed is None:
                raise
            failed(owner, error)
    return sorted(found, key=lambda tick: tick.at)


def _clocks(source: PipelineRow | BranchRow) -> list[Clock]:
    if isinstance(source, BranchRow):
        return [source]
    return [leaf for leaf in leaves(spec_of(source).input) if isinstance(leaf, Cron)]


def _next(session: Session, clock: Clock) -> float | None:
    if isinstance(clock, Cron):
        return next_tick(session, clock)
    return min((due for _, due in _waiting(session, clock)), default=None)


def make_ticks(database: Database, due: Sequence[Tick], room: Mapping[PipelineRef, int], seconds: float) -> None:
    """Tick clocks in the order of their times, up to now, in one transaction that takes about so long.

    A clock of a pipeline makes no more ticks than there is `room` for jobs that wait. Raises `TickFailed`, and then none was made.
    """
    until, left = time.monotonic() + seconds, dict(room)
    waiting = list(due)
    with database.write() as session:
        while waiting and waiting[0].at <= session.clock():
            now = waiting.pop(0)
            if left.get(now.owner, 1) <= 0:
                continue
            try:
                tick(Transaction(session, new_id(), session.clock()), now.clock, now.at)
                following = next_tick(session, now.clock) if isinstance(now.clock, Cron) else None
            except Exception as error:
                raise TickFailed(now.owner, error) from error
            if time.monotonic() > until:
                return
            if following is not None:
                left[now.owner] = left.get(now.owner, 1) - 1
                waiting = sorted([*waiting, now._replace(at=following)], key=lambda one: one.at)


def _waiting(session: Session, branch: BranchRow) -> Iterator[tuple[CommitRow, float]]:
    """The commits that a branch with a `cron_spec` has not moved to yet, newest first, each with the first tick after its finish."""
    from local_runner.model.schedule import parse_schedule  # as above

    assert branch.trigger is not None
    schedule = parse_schedule(branch.trigger.cron_spec)
    watched = session.repos.branch(BranchRef(branch.ref.repo, branch.trigger.branch))
    key = watched.head if watched is not None else None
    while key is not None and key != branch.head:
        row = session.commits.at(key)
        if row.finished is not None and not row.error:
            due = schedule.next_after(datetime.datetime.fromtimestamp(max(row.finished, branch.created), datetime.UTC))
            if due is not None:
                yield row, due.timestamp()
        key = row.parent


def _move(txn: Transaction, branch: BranchRow, at: float) -> None:
    """Move a branch to the newest commit that existed at a tick."""
    target = next((row for row, _ in _waiting(txn.session, branch) if (row.finished or 0.0) <= at), None)
    if target is None:
        return
    txn.move(branch.key, target.key)
    for other, commit in due_triggers(txn.session, target, branch.ref.name):
        txn.move(other.key, commit.key)
    settle(txn)
