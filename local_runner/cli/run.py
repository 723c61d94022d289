"""`python -m local_runner`: bring everything up to date with the project file, show how it goes, and what came out."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_runner.cli.door import Door, command
from local_runner.cli.output import note
from local_runner.errors import Invalid, WorkFailed
from local_runner.model.jobs import JobInfo, JobState
from local_runner.project import PROJECT_FILE, read_project

if TYPE_CHECKING:
    from local_runner.develop import Forecast, ToDo
    from local_runner.project import Project
    from local_runner.runner import Runner

_SHOWN_FILES = 20  # of the result; `list file` shows all


@command("run --dry-run")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would run and why, and change nothing.")
@click.option("--no-reprocess", is_flag=True, help="Changed code runs nothing again, as on a cluster.")
@click.option("--executor", default="", metavar="NAME", help="How user code runs: auto, sandbox or process.")
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Datums at once over all pipelines; else one a core.")
@click.option("-C", "--directory", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Run as if started there.")
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
def run(door: Door, dry_run: bool, no_reprocess: bool, executor: str, jobs: int | None, directory: Path | None, quiet: bool) -> None:
    """Bring the pipelines of local_runner.toml up to date: commit changed files, create or update pipelines, run what must run."""
    from local_runner.develop import compare

    project = read_project(_project_root(directory or Path.cwd()))
    if dry_run:
        _dry_run(project, not no_reprocess)
        return
    os.chdir(project.root)  # the home is found from here
    runner = door.runner
    with runner.database.read() as session:
        todo = compare(session, project, reprocess=not no_reprocess)
    if todo.is_nothing and not todo.adopt and not runner.has_work(residents=False):
        note("nothing changed since the last run, nothing to do")
        runner.ensure_engine()  # spouts and services
        _show_results(door, runner, project)
        return
    began = time.time()
    ended = _do(door, runner, project, todo, executor, jobs, quiet)
    _show_jobs(door, ended)
    _report_failures(runner, ended)
    _show_results(door, runner, project)
    if not quiet:
        note(f"done in {time.time() - began:.1f} s")


def _project_root(start: Path) -> Path:
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise Invalid(f"there is no {PROJECT_FILE} in {start.absolute()} or above", hint="write one, or use the commands: local_runner --help")


def _do(door: Door, runner: Runner, project: Project, todo: ToDo, executor: str, jobs: int | None, quiet: bool) -> list[JobInfo]:
    """Make the changes and be the engine until no work is left; returns the jobs that ended meanwhile, oldest first."""
    from local_runner.cli.engine import EXECUTOR_VARIABLE, jobs_from_environment
    from local_runner.cli.progress import Progress
    from local_runner.develop import bring_up_to_date
    from local_runner.engine.batching import prefetch
    from local_runner.executors.table import choose
    from local_runner.foreground import Crew, engine_of

    for sentence in todo.sentences:
        note(sentence)
    if any(info.spec.transform.datum_batching for info in runner.list_pipeline()):
        prefetch()
    chosen, why = choose(executor or os.environ.get(EXECUTOR_VARIABLE, "auto"))
    if not quiet:
        note(why)
    with Progress(quiet) as progress:
        crew = Crew(chosen, jobs or jobs_from_environment(), project.images, progress)
        with engine_of(runner, crew, take_over=True) as engine:
            # Only now, when nobody else can take the work: the progress of it is to be seen here.
            known = {info.job for info in runner.list_job(history=-1) if info.state.is_final}
            bring_up_to_date(runner, todo)
            engine.work()
    runner.ensure_engine()  # what stays for ever, spouts and services, is not for the foreground
    return [info for info in reversed(list(runner.list_job(history=-1))) if info.job not in known]


def _show_jobs(door: Door, ended: list[JobInfo]) -> None:
    """The table of the run: one row a pipeline, its jobs added up."""
    rows: dict[str, list[JobInfo]] = {}
    for info in ended:
        rows.setdefault(info.job.pipeline.name, []).append(info)
    lines = [("PIPELINE", "RUN", "REUSED", "FAILED", "SECONDS", "STATE")]
    for name, infos in rows.items():
        last = infos[-1]
        seconds = sum((i.finished or 0) - (i.started or 0) for i in infos)
        counts = last.counters
        ran = sum(i.counters.processed + i.counters.recovered for i in infos)
        failed = sum(i.counters.failed for i in infos)
        lines.append((name, str(ran), str(counts.skipped), str(failed), f"{seconds:.2f}", last.state.word))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        numbers = (cell.rjust(width) for cell, width in zip(line[1:5], widths[1:5], strict=True))
        click.echo("  ".join((line[0].ljust(widths[0]), *numbers, line[5])))


def _report_failures(runner: Runner, ended: list[JobInfo]) -> None:
    """Raises `WorkFailed` if the last job of a pipeline did not succeed, after its failing datums' last lines."""
    latest = {info.job.pipeline: info for info in ended}
    failed = [info for info in latest.values() if info.state is not JobState.SUCCESS]
    for info in failed:
        note(f"\n{info.job.pipeline.name}: {info.state.word}: {info.reason.strip()}")
        if info.state is JobState.UNRUNNABLE:
            continue
        for datum in runner.list_datum(info.job):
            if datum.state == "failed":
                paths = ", ".join(f"{file.source.repo}:{file.path}" for file in datum.datum.inputs)
                note(f"datum {datum.datum.id} ({paths}): {datum.reason}; it printed last:")
                for line in runner.last_lines(info.job, datum.datum.id):
                    note(f"    {line}")
                break  # one shows what is wrong; the rest is in the logs
        note(f"all of it: python -m local_runner logs -j {info.job.pipeline.name}@{info.job.id}")
    if failed:
        names = ", ".join(info.job.pipeline.name for info in failed)
        raise WorkFailed(f"did not succeed: {names}", hint="mend it and run again: what is done stays done")


def _show_results(door: Door, runner: Runner, project: Project) -> None:
    """What lies in the repos that no other pipeline reads."""
    from local_runner.model.inputs import leaves
    from local_runner.model.refs import CommitQuery, FileQuery

    infos = runner.list_pipeline()
    read = {leaf.source.repo for info in infos for leaf in leaves(info.spec.input)}
    for info in infos:
        if info.pipeline.repo in read:
            continue
        query = FileQuery(CommitQuery(info.pipeline.repo, info.spec.output_branch))
        found = [file.path for file in runner.list_file(query)]
        click.echo(f"\nin {info.pipeline.name}:")
        for path in found[:_SHOWN_FILES]:
            click.echo(f"  {path}")
        if len(found) > _SHOWN_FILES:
            click.echo(f"  … and {len(found) - _SHOWN_FILES} more")
        click.echo(f"more: python -m local_runner list file {info.pipeline.name}@{info.spec.output_branch}")


def _dry_run(project: Project, reprocess: bool) -> None:
    import tempfile

    from local_runner.develop import compare, forecast
    from local_runner.runner import Runner
    from local_runner.storage.home import find_home

    os.chdir(project.root)
    home = find_home()
    with contextlib.ExitStack() as stack:
        if not home.exists():  # it is not made for a look ahead
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()), "home")
        runner = stack.enter_context(Runner.open(home, background=False))
        with runner.database.read() as session:
            todo = compare(session, project, reprocess=reprocess)
        for sentence in todo.sentences:
            click.echo(sentence)
        foretold = forecast(runner, todo)
    if not foretold:
        click.echo("nothing would run")
    for one in foretold:
        click.echo(_foretold(one))


def _foretold(one: Forecast) -> str:
    from collections import Counter

    name = one.pipeline.name
    if one.plan is None:
        return f"{name}: waits for {', '.join(one.waits_for)}; what it runs depends on what they write"
    counts = Counter((step.verb.value, step.reason) for step in one.plan.steps())
    parts = [f"{verb} {count} datum{'s' * (count != 1)}: {reason}" for (verb, reason), count in counts.items()]
    return f"{name}: " + ("; ".join(parts) if parts else "no datums")
