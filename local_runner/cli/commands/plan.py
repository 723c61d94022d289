"""`plan`: print what would run, and why; `run --dry-run` prints the same."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.app import App, command, raw_output
from local_runner.cli.output import GREEN, RED, YELLOW, Output
from local_runner.documents.plan import Explain, forecast_document
from local_runner.model.units import human_size
from local_runner.project.file import PROJECT_FILE, chosen_project

if TYPE_CHECKING:
    from local_runner.model.datums import Datum
    from local_runner.planning.changes import Cause
    from local_runner.planning.forecast import JobForecast
    from local_runner.planning.plan import FileChange, FileContent, Step
    from local_runner.project.dry_run import Forecast
    from local_runner.project.file import Project
    from local_runner.project.update import Changes
    from local_runner.runner import Runner

_SHOWN = 10  # datums of a kind, unless all are asked for
_HASH = 12  # digits of a hash, which tell files apart; --raw has them all
_ORDER = ("run", "remove", "unknown", "keep", "reuse")
_COLOURS = {"run": GREEN, "remove": RED, "unknown": YELLOW}


@command("plan model --diff")
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Another project file, or spec files.")
@click.option("-B", "--always-make", is_flag=True, help="As if everything were to be done again.")
@click.option("--no-reprocess", is_flag=True, help="As if changed code ran nothing again, as on a cluster.")
@click.option("--diff", is_flag=True, help="Show how the text of changed input files differs.")
@click.option("-a", "--all", "everything", is_flag=True, help="List every datum, also those that are reused.")
@raw_output
def plan(
    app: App, pipelines: tuple[str, ...], files: tuple[Path, ...], always_make: bool, no_reprocess: bool, diff: bool, everything: bool
) -> None:
    """Say what would run, be reused or be removed, datum by datum, and why; change nothing.

    In a project: what `run` would do, for these PIPELINEs and what they read. Elsewhere: what the unfinished jobs of the home will do.
    """
    project = project_here(files)
    if project is not None:
        os.chdir(project.root)  # the home is found from here

    def compare(runner: Runner) -> Changes:
        return runner.compare(project, pipelines, reprocess=not no_reprocess, always_make=always_make)

    look_ahead(app.out, compare, diff=diff, everything=everything)


def project_here(files: Sequence[Path] = ()) -> Project | None:
    """The project of the working directory, or what was named in its place; None where there is none. Raises `Invalid`."""
    here = Path.cwd()
    found = files or any((folder / PROJECT_FILE).is_file() for folder in (here, *here.parents))
    return chosen_project(here, files) if found else None


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
    from local_runner.runner import Runner
    from local_runner.storage.home import find_home

    home = find_home()
    with contextlib.ExitStack() as stack:
        if not home.exists():
            import tempfile

            home = Path(stack.enter_context(tempfile.TemporaryDirectory()), "home")
        yield stack.enter_context(Runner.open(home, background=False))


# -- as text -----------------------------------------------------------------------------------------------------------


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
    from local_runner.planning.plan import Action

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
        return f"code: {cause.name} {'appeared' if cause.old is None else 'is gone' if cause.new is None else 'changed'}"
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
    if change.old and change.new:
        yield f"{change.repo.name}:{change.path} changed: {_content(change.old)} → {_content(change.new)}"
    elif change.new:
        yield f"{change.repo.name}:{change.path} appeared: {_content(change.new)}"
    elif change.old:
        yield f"{change.repo.name}:{change.path} is gone: {_content(change.old)}"
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
