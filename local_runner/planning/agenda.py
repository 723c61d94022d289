"""The agenda of an engine, read from the records: pipelines, their unfinished jobs, and ticks to come.

A row that cannot be read is named, and everything else is there: one bad record must not stop the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.pipelines.cron import Tick, next_ticks
from local_runner.pipelines.stored_specs import is_live_spout, is_service
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow

_FEW = 10  # pipelines that are read one by one
_MOST_WAITING = 100  # unfinished jobs of a pipeline before its clocks make no more


class _Seen(NamedTuple):
    """A pipeline as it was last read; `sign` differs once the pipeline has changed."""

    sign: tuple[Any, ...]
    row: PipelineRow
    is_service: bool
    is_spout: bool


def _seen(sign: tuple[Any, ...], row: PipelineRow) -> _Seen:
    return _Seen(sign, row, is_service(row), is_live_spout(row))


@dataclass(frozen=True, slots=True)
class Agenda:
    """The newest version of each pipeline, by name; all unfinished jobs, the oldest first, with their states; the next ticks in order.

    `asked` are jobs of which the engine is asked something. `unreadable` says of pipelines why they are left out. Pipelines in
    state CRASHING are left out, too: they wait for somebody to start or update them.
    """

    rows: Mapping[PipelineRef, PipelineRow] = field(default_factory=dict)
    unfinished: Mapping[JobRef, str] = field(default_factory=dict)
    asked: tuple[JobRef, ...] = ()
    ticks: tuple[Tick, ...] = ()
    unreadable: Mapping[PipelineRef, Exception] = field(default_factory=dict)
    services: frozenset[PipelineRef] = frozenset()
    spouts: frozenset[PipelineRef] = frozenset()  # that are to run
    seen: Mapping[PipelineRef, _Seen] = field(default_factory=dict)

    @property
    def room(self) -> dict[PipelineRef, int]:
        """How many more jobs the clocks of a pipeline may make."""
        waiting = Counter(job.pipeline for job in self.unfinished)
        return {tick.owner: _MOST_WAITING - waiting[tick.owner] for tick in self.ticks}

    @property
    def free_ticks(self) -> list[Tick]:
        """The next ticks of clocks whose pipelines have room for another job."""
        room = self.room
        return [tick for tick in self.ticks if room[tick.owner] > 0]


def read_agenda(session: Session, before: Agenda) -> Agenda:
    """The agenda as it is now. What `before` knows of pipelines that did not change is not read again."""
    unreadable: dict[PipelineRef, Exception] = {}
    seen: dict[PipelineRef, _Seen] = {}
    signs = session.pipelines.newest()
    at_once = _read_all(session) if len(signs) > len(before.seen) + _FEW else {}
    for ref, sign in signs:
        known = before.seen.get(ref)
        try:
            seen[ref] = known if known and known.sign == sign else _seen(sign, at_once.get(ref) or _read(session, ref))
        except Exception as error:
            unreadable[ref] = error
    unfinished = session.pipelines.unfinished()
    rows = {ref: one.row for ref, one in seen.items() if one.row.state is not PipelineState.CRASHING}
    ticks = next_ticks(session, rows.values(), unreadable.__setitem__)
    return Agenda(
        {ref: row for ref, row in rows.items() if ref not in unreadable},
        {job: state for job, state, _ in unfinished},
        tuple(job for job, _, is_asked in unfinished if is_asked),
        tuple(tick for tick in ticks if tick.owner not in unreadable),
        unreadable,
        frozenset(ref for ref in rows if seen[ref].is_service),
        frozenset(ref for ref in rows if seen[ref].is_spout),
        seen,
    )


def _read(session: Session, ref: PipelineRef) -> PipelineRow:
    row = session.pipelines.pipeline(ref)
    assert row is not None
    return row


def _read_all(session: Session) -> dict[PipelineRef, PipelineRow]:
    """Read all pipelines with one query, which is faster if most are new; None if a row cannot be read."""
    try:
        return {row.pipeline: row for row in session.pipelines.pipelines()}
    except Exception:
        return {}
