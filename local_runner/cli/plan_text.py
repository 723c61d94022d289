"""Prints what would run, and why: of each job how many datums, and of each datum which files made it so."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_runner.cli.output import GREEN, RED, YELLOW, Output
from local_runner.documents.plan import Explain, forecast_document
from local_runner.model.units import human_size
from local_runner.model.wording import change_word

if TYPE_CHECKING:
    from local_runner.model.datums import Datum
    from local_runner.planning.changes import Cause
    from local_runner.planning.forecast import JobForecast
    from local_runner.planning.plan import FileChange, FileContent, Step
    from local_runner.project.dry_run import Forecast
    from local_runner.project.update import Changes
    from local_runner.runner import Runner


_SHOWN = 10  # datums of a kind, unless all are asked for
_HASH = 12  # digits of a hash, which tell files apart; --raw has them all
_ORDER = ("run", "remove", "unknown", "keep", "reuse")
_COLOURS = {"run": GREEN, "remove": RED, "unknown": YELLOW}


def look_ahead(out: Output, compare: Callable[[Runner], Changes], *, diff: bool = False, everything: bool = False) -> None:
    """Print what the jobs would do that follow from the changes that `compare` finds for the home, which is not created for it."""
    with open_to_look() as runner:
        changes = compare(runner)
        found = runner.plan(changes)

        def explain(change: FileChange) -> list[str]:
            return runner.text_diff(found, change) if diff else []

        if out.raw:
            out.documents(forecast_document(one, explain) for one in found.job_forecasts)
            return
        for line in _lines(out, changes, found, explain, everything):
            out.line(line)


@contextlib.contextmanager
def open_to_look() -> Iterator[Runner]:
    """The home of the working directory, or an empty temporary one; no engine is started."""
    from local_runner.runner import Runner  # brings the store with it, which no `--help` needs
    from local_runner.storage.home import find_home

    home = find_home()
    with contextlib.ExitStack() as stack:
        if not home.exists():
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()), "home")
        yield stack.enter_context(Runner.open(home, background=False))


def _lines(out: Output, todo: Changes, found: Forecast, explain: Explain, everything: bool) -> Iterator[str]:
    reasons = {change.pipeline: change.reason for change in todo.specs}
    yield from (change.sentence for change in todo.files)
    yield from (f"{change.pipeline.name}: {text}" for change in todo.specs for text in change.notes)
    for job_forecast in found.job_forecasts:
        yield f"{job_forecast.pipeline.name}: {summary(job_forecast)}"
        reason = reasons.pop(job_forecast.pipeline, "")
        yield from (f"  {text}" for text in list(map(_cause, job_forecast.causes)) or [reason] * bool(reason))
        yield from (f"  {line}" for line in _steps(out, job_forecast.steps, explain, everything))
    yield from (f"{pipeline.name}: {reason}" for pipeline, reason in reasons.items())
    quiet = (todo.needed or frozenset()) - {job_forecast.pipeline for job_forecast in found.job_forecasts} - reasons.keys()
    yield from (f"{pipeline.name}: up to date" for pipeline in sorted(quiet))
    if not (found.job_forecasts or quiet or todo.files or todo.specs):
        yield "nothing would run"


def summary(job_forecast: JobForecast) -> str:
    """One line: "runs 11 datums, reuses 77"; where not everything is known yet, what happens at least."""
    from local_runner.planning.plan import Action  # as above

    if job_forecast.problem:
        return f"cannot run: {job_forecast.problem}"
    words = {"runs": Action.RUN, "keeps": Action.KEEP, "reuses": Action.REUSE, "removes": Action.REMOVE}
    counts = [(word, job_forecast.count(verb)) for word, verb in words.items()]
    least = "at least " if job_forecast.waits_for else ""
    parts = [f"{word} {least}{count}" for word, count in counts if count]
    if parts:
        parts[0] += " datum" if parts[0].endswith(" 1") else " datums"
    text = ", ".join(parts) or ("" if job_forecast.waits_for else "nothing left to do" if job_forecast.done else "no datums")
    if job_forecast.done:
        text += f" ({_datums(job_forecast.done)} done already)"
    if not job_forecast.waits_for:
        return text
    until = f"unknown until {_and(job_forecast.waits_for)} {'are' if len(job_forecast.waits_for) > 1 else 'is'} finished"
    return f"{text}; what else is {until}" if text else until


def _cause(cause: Cause) -> str:
    if cause.kind == "spec":
        return f"spec: {cause.name}: {_value(cause.old)} → {_value(cause.new)}"
    if cause.kind == "code":
        return f"code: {cause.name} {change_word(before=cause.old is not None, after=cause.new is not None)}"
    return f"last job: failed: {cause.new}" if cause.kind == "last job" else cause.kind


def _value(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _steps(out: Output, steps: Iterable[Step], explain: Explain, everything: bool) -> Iterator[str]:
    """Steps of one kind together: how many, why, which files made it so, which datums they are."""
    most = None if everything else _SHOWN
    ordered = sorted(steps, key=lambda step: (_ORDER.index(step.verb.value), step.reason))
    for (verb, reason), alike in groupby(ordered, key=lambda step: (step.verb, step.reason)):
        group = list(alike)
        yield f"{out.paint(verb.value, _COLOURS.get(verb.value, ''))} {_datums(len(group))}: {reason}"
        if verb.value in ("keep", "reuse") and not everything:
            continue
        shared = group[0].changes if len(group) > 1 and len({step.changes for step in group}) == 1 else ()
        for change in shared:
            yield from (f"  {line}" for line in _change(change, explain))
        for step in group[:most]:
            yield f"  {label(step.datum) if step.datum else step.id}"
            for change in () if shared else step.changes[:most]:
                yield from (f"    {line}" for line in _change(change, explain))
            if not shared and most and len(step.changes) > most:
                yield f"    … and {len(step.changes) - most} more files; plan --all names them"
        if most and len(group) > most:
            yield f"  … and {len(group) - most} more; plan --all names them"


def _change(change: FileChange, explain: Explain) -> Iterator[str]:
    contents = [_content(content) for content in (change.old, change.new) if content]
    word = change_word(before=change.old is not None, after=change.new is not None)
    if contents:
        yield f"{change.repo.name}:{change.path} {word}: {' → '.join(contents)}"
    yield from (f"  {line}" for line in explain(change))


def _content(content: FileContent) -> str:
    return f"{human_size(content.size)} {content.hash.hex()[:_HASH]}"


def label(datum: Datum) -> str:
    """A datum by the files it reads: "data:/a", or "data:/a × words:/b"."""
    return " × ".join(f"{file.source.source.repo.name}:{file.path}" for file in datum.inputs)


def _datums(count: int) -> str:
    return f"{count} datum{'s' * (count != 1)}"


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
