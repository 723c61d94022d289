"""Forecasts a run: does a list of changes in a transaction that is rolled back, and asks what the jobs would do."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_runner.errors import Unavailable
from local_runner.model.ids import new_id
from local_runner.model.refs import USER
from local_runner.pipelines.triggers import due_triggers, settle
from local_runner.planning.forecast import JobForecast, forecast_jobs
from local_runner.planning.plan import FileChange, FileContent
from local_runner.project.update import Changes, do
from local_runner.repos.files import Put
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Database, Session

_COMPARABLE = 1 << 20  # bytes; the difference of larger texts is nothing to read


@dataclass(frozen=True, slots=True)
class Forecast:
    """The jobs to come, in the order they run. `sources` are contents that the home does not hold yet, by hash.

    `is_cut` says that there was no time for all of them.
    """

    job_forecasts: tuple[JobForecast, ...]
    sources: Mapping[bytes, Path | bytes]
    is_cut: bool = False


def forecast(database: Database, todo: Changes, seconds: float = math.inf) -> Forecast:
    """Forecast the jobs that follow from these changes, and the unfinished ones. Nothing is kept.

    Raises what doing it would raise. Others wait to write meanwhile: a job over 100 000 datums takes 3 s. No job is begun with after so
    many `seconds`.
    """
    sources = {
        change.content.name: files.sources[change.path] for files in todo.files for change in files.changes if isinstance(change, Put)
    }
    with database.read() as session:
        if todo.is_nothing and not session.pipelines.unfinished_jobs():
            return Forecast((), sources)
    found: list[JobForecast] = []
    is_cut = False
    with database.rehearse() as session:
        _do(session, todo)
        until = time.monotonic() + seconds
        for job_forecast in forecast_jobs(session):
            found.append(job_forecast)
            if is_cut := time.monotonic() > until:
                break
    return Forecast(tuple(one for one in found if todo.needed is None or one.pipeline in todo.needed), sources, is_cut)


def _do(session: Session, todo: Changes) -> None:
    """Do the changes, then what their commits trigger, each in a change of its own."""
    for part in todo.parts:
        txn = Transaction(session, new_id(), session.clock())
        do(txn, part)
        settle(txn)
        for commit in map(session.commits.at, txn.finished):
            moved = due_triggers(session, commit) if commit.ref.repo.type == USER else []
            if moved:
                after = Transaction(session, new_id(), txn.now)
                for branch, head in moved:
                    after.move(branch.key, head.key)
                settle(after)


def text_diff(database: Database, forecast: Forecast, change: FileChange) -> list[str]:
    """How the text of a file changes, as the lines of a unified diff; one sentence where there is no text to compare."""
    texts = []
    for content in (change.old, change.new):
        if content is not None and content.size > _COMPARABLE:
            return ["too large to compare"]
        try:
            texts.append(_content(database, forecast, content).decode().splitlines(keepends=True))
        except UnicodeDecodeError:
            return ["no text"]
        except (OSError, Unavailable):
            return ["its content is not there any more"]
    name = f"{change.repo.name}:{change.path}"
    lines = difflib.unified_diff(texts[0], texts[1], f"{name} (old)", f"{name} (new)", n=2)
    return [part.rstrip("\n") for line in lines for part in _marked(line)]


def _marked(line: str) -> list[str]:
    return [line] if line.endswith("\n") else [line, "\\ No newline at end of file"]


def _content(database: Database, forecast: Forecast, content: FileContent | None) -> bytes:
    if content is None:
        return b""
    source = forecast.sources.get(content.hash)
    if source is not None:
        return source if isinstance(source, bytes) else source.read_bytes()
    with database.read() as session:
        return b"".join(session.objects.read(content.hash))
