"""One run of the project: its flags, the changes it makes, and being the engine until no work is left."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from local_runner.cli.app import App
from local_runner.cli.output import note
from local_runner.cli.settings import EXECUTOR_VARIABLE, jobs_from_environment

if TYPE_CHECKING:
    from local_runner.cli.progress import RunProgress
    from local_runner.model.jobs import JobInfo
    from local_runner.project.file import Project
    from local_runner.project.update import Changes
    from local_runner.runner import Runner


_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of a run, which have Make's names."""

    targets: tuple[str, ...]
    files: tuple[Path, ...]
    directory: Path | None
    always_make: bool
    keep_going: bool
    ignore_errors: bool
    no_reprocess: bool
    executor: str
    network: bool
    jobs: int | None
    quiet: bool

    def enter(self) -> Flags:
        """Change to the directory of -C; returns the flags with the paths of files made absolute there."""
        if self.directory:
            os.chdir(self.directory)
        return dataclasses.replace(self, directory=None, files=tuple(file.absolute() for file in self.files))


def run_flags(function: _F) -> _F:
    """The flags of `Flags`, for the commands that run the project."""
    flags = (
        click.argument("targets", nargs=-1, metavar="[PIPELINE]..."),
        click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Another project file, or spec files."),
        click.option("-C", "--directory", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Run as if started there."),
        click.option("-B", "--always-make", is_flag=True, help="Do everything again, also what did not change."),
        click.option("-k", "--keep-going", is_flag=True, help="After a failure, go on with what does not depend on it."),
        click.option("-i", "--ignore-errors", is_flag=True, help="Go on without datums that fail, as if err_cmd were `true`."),
        click.option("--no-reprocess", is_flag=True, help="Changed code runs nothing again, as on a cluster."),
        click.option("--executor", default="", metavar="NAME", help="How user code runs: auto, sandbox, container, process or dask."),
        click.option("--network", is_flag=True, help="Give user code this machine's network, unless its pipeline declines."),
        click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Datums at once over all pipelines; else one a core."),
        click.option("-q", "-s", "--quiet", "--silent", is_flag=True, help="Only the result."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


def bring_up(app: App, project: Project, flags: Flags, until: Callable[[], bool] = lambda: False) -> None:
    """Run the project once, to the end or until `until` is true. Raises `WorkFailed` if a job failed, and what `compare` raises."""
    from local_runner.cli.run_summary import report_failures, show_jobs, show_results

    runner, began = app.runner, time.time()
    todo = compare(runner, project, flags)
    if todo.is_nothing and not runner.has_work(services=False, only=todo.needed):
        if todo.adopt:
            runner.bring_up_to_date(todo)
        if not flags.quiet:
            note("nothing changed since the last run, nothing to do")
        runner.ensure_engine()  # spouts and services
        show_results(runner, todo.needed)
        return
    ended, left = _work(runner, project, todo, flags, until)
    if until():
        return
    show_jobs(ended, began)
    if left and not flags.quiet:
        note(left)
    report_failures(runner, ended)
    show_results(runner, todo.needed)
    if not flags.quiet:
        note(f"done in {time.time() - began:.1f} s")


def compare(runner: Runner, project: Project, flags: Flags) -> Changes:
    return runner.compare(project, flags.targets, reprocess=not flags.no_reprocess, always_make=flags.always_make)


def _work(runner: Runner, project: Project, todo: Changes, flags: Flags, until: Callable[[], bool]) -> tuple[list[JobInfo], str]:
    """Make the changes and be the engine until no work is left.

    Returns the jobs that ended meanwhile, oldest first, and a sentence on those that may have been left ("": none).
    """
    from local_runner.engine.batching.client import NextDatumServers

    next_datum_servers = NextDatumServers()
    if any(info.spec.transform.datum_batching for info in runner.list_pipeline()):
        next_datum_servers.start()  # before what takes another 50 ms to import

    from local_runner.cli.progress import RunProgress
    from local_runner.engine.config import EngineConfig
    from local_runner.engine_host import engine_of
    from local_runner.executors.table import choose

    say: Callable[[str], None] = (lambda text: None) if flags.quiet else note
    for sentence in todo.sentences:
        say(sentence)
    executor, why = choose(flags.executor or os.environ.get(EXECUTOR_VARIABLE, "auto"), lambda: project.dask)
    say(why)
    waited: list[str] = []

    def wait_for(holder: str) -> None:
        waited.append(holder)
        note(f"waiting for {holder or 'another process'}, which is at work in {runner.home}")

    with RunProgress(flags.quiet) as progress:

        def is_needed(info: JobInfo) -> bool:
            return todo.needed is None or info.job.pipeline in todo.needed

        def may_begin(info: JobInfo) -> bool:
            return is_needed(info) and (flags.keep_going or not progress.has_failed)

        config = EngineConfig(
            executor,
            flags.jobs or jobs_from_environment(executor),
            lambda: project.images,
            progress,
            may_begin=may_begin,
            ignore_failures=flags.ignore_errors,
            next_datum_servers=next_datum_servers,
            warn=note,
            network=flags.network,
        )
        with closing(executor), engine_of(runner, config, waiting=wait_for) as engine:
            if waited:  # who had it may have done some of it
                todo = compare(runner, project, flags)
            # Only now, when no other process can take the work: its progress is to be seen here.
            known = {info.job for info in _jobs(runner) if info.state.is_final}
            runner.bring_up_to_date(todo)
            progress.expect(info for info in _jobs(runner) if not info.state.is_final and is_needed(info))
            try:
                engine.work(until=until)
            except (KeyboardInterrupt, SystemExit):
                progress.close()
                note("stopped; finished datums are kept, and the next run goes on from here")
                raise
    if not runner.has_work(services=False):
        runner.ensure_engine()  # what stays for ever, spouts and services, is not for the foreground
    jobs = [info for info in _jobs(runner) if info.job not in known]
    return [info for info in jobs if info.state.is_final], _left(progress, jobs, todo, flags)


def _jobs(runner: Runner) -> list[JobInfo]:
    """All jobs, the oldest first."""
    return list(reversed(list(runner.list_job(history=-1))))


def _left(progress: RunProgress, jobs: list[JobInfo], todo: Changes, flags: Flags) -> str:
    """A sentence about what the run left undone, and why; "" if nothing."""
    if progress.failures and flags.ignore_errors:
        return f"failed datums were ignored: {', '.join(f'{count} of {name}' for name, count in progress.failures.items())}"
    left = dict.fromkeys(info.job.pipeline for info in jobs if not info.state.is_final)
    names = ", ".join(pipeline.name for pipeline in left if todo.needed is None or pipeline in todo.needed)
    if names and progress.has_failed:
        return f"not begun after the failure: {names}; -k goes on with what does not depend on it"
    names = ", ".join(pipeline.name for pipeline in left)
    return f"left for another run: {names}" if names else ""
