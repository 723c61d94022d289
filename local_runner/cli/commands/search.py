"""`search`: look for the best point, go on where it stopped, and show the winners with what one should know before trusting them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from local_runner.cli.app import App, command
from local_runner.cli.interrupts import terminable
from local_runner.cli.output import note
from local_runner.errors import Invalid, NotFound, WorkFailed
from local_runner.model.space import shown
from local_runner.model.units import human_duration
from local_runner.project.file import Project, chosen_project, dask_of
from local_runner.project.search import SAMPLERS

if TYPE_CHECKING:
    from local_runner.search.checks import Remark
    from local_runner.search.results import Results
    from local_runner.search.study import Study
    from local_runner.search.trials import Trial

_F = TypeVar("_F", bound=Callable[..., Any])
_SHOWN = 20  # rows of a table, unless all are asked for
_PICTURES = ("history", "heat", "parallel", "importance", "folds", "speedup")


def _which(function: _F) -> _F:
    """The flags that say which search is meant, and with which folds."""
    flags = (
        click.argument("name"),
        click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Another project file."),
        click.option("--kfolds", type=click.IntRange(2), default=None, metavar="K", help="So many folds, not those of the project file."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


def _shape(function: _F) -> _F:
    """The flags that say how results are shown."""
    flags = (
        click.option("--csv", "as_csv", is_flag=True, help="Print all columns as CSV."),
        click.option("--json", "as_json", is_flag=True, help="Print everything as JSON."),
        click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw a picture (.svg, .png), and a .csv beside it."),
        click.option("--picture", type=click.Choice(_PICTURES), default="history", help="What --plot draws; history if not said."),
        click.option("-a", "--all", "everything", is_flag=True, help="All points, not only the best 20."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


@command("search small --kfolds 3 -j 2", makes_home=True)
@_which
@click.option("--sampler", type=click.Choice(SAMPLERS), default=None, help="How points are chosen; else as the project file says.")
@click.option("--trials", type=click.IntRange(1), default=None, metavar="N", help="Until N points are tried; a grid is tried whole.")
@click.option("--seed", type=click.IntRange(0), default=None, metavar="N", help="Of the sampler.")
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Datums at once; else one a core.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Ask for N points together, and for more when all are told.")
@click.option("--retry-failed", is_flag=True, help="Try points that failed again.")
@click.option("--executor", default="", metavar="NAME", help="How user code runs: auto, sandbox, container, process or dask.")
@click.option("-q", "--quiet", is_flag=True, help="Only the result.")
@_shape
def search(app: App, name: str, files: tuple[Path, ...], kfolds: int | None, retry_failed: bool, quiet: bool, **given: Any) -> None:
    """Search for the best point of [search.NAME] in local_runner.toml, and show the winners.

    Points that are known are not computed again, whoever asked for them; Ctrl-C, and the same command goes on. A point that fails
    is a result. `search results`, `compare`, `explain` and `check` look at what is known.
    """
    study = _study(app, name, files, kfolds, sampler=given["sampler"] or "", seed=given["seed"])
    if retry_failed:
        study.retry([trial.name for trial in study.trials() if trial.failure])
    with terminable():
        _run(study, quiet, given)
    results = study.results()
    _show(app, study, results, **{key: given[key] for key in ("as_csv", "as_json", "plot", "picture", "everything")})
    if not results.done and results.failed:
        raise WorkFailed(
            f"all {len(results.failed)} points failed", hint=f"`search explain {results.failed[0].name}` says why the first did"
        )


def _run(study: Study, quiet: bool, given: dict[str, Any]) -> None:
    from local_runner.cli.search_progress import SearchProgress
    from local_runner.executors.table import choose

    say: Callable[[str], None] = (lambda text: None) if quiet else note
    executor, why = choose(given["executor"] or os.environ.get("LOCAL_RUNNER_EXECUTOR", "auto"), partial(dask_of, study.runner.home))
    say(why)
    with SearchProgress(quiet, study.settings.maximize) as progress:
        try:
            study.run(
                given["trials"] or 0,
                jobs=given["jobs"] or 0,
                batch=given["batch"] or 0,
                executor=executor,
                watcher=progress,
                say=say,
                waiting=lambda holder: note(f"waiting for {holder or 'somebody'}, who is at work in {study.runner.home}"),
            )
        except (KeyboardInterrupt, SystemExit):
            progress.close()
            note("stopped; finished points are kept, and the same command goes on from here")
            raise


@command("search results small --plot small.svg --picture heat")
@_which
@_shape
def results(app: App, name: str, files: tuple[Path, ...], kfolds: int | None, **shape: Any) -> None:
    """Show the points of a search that are known, the best first, with what one should know before trusting them."""
    study = _study(app, name, files, kfolds)
    _show(app, study, study.results(), **shape)


@command("search check small --again 1")
@_which
@click.option("--again", type=click.IntRange(0), default=0, metavar="N", help="Compute the best N points once more, and compare the bytes.")
@click.option("--executor", default="", metavar="NAME", help="How user code runs: auto, sandbox, container, process or dask.")
def check(app: App, name: str, files: tuple[Path, ...], kfolds: int | None, again: int, executor: str) -> None:
    """Say what puts the result of a search in doubt.

    Ties, parameters without effect, winners at an edge, folds that differ more than points do, test rows that were trained on, how
    often the test rows were looked at, files of scores that belong to no point; with --again, seeds that are not fixed.
    """
    study = _study(app, name, files, kfolds)
    results = study.results()
    _print_remarks(app, study, results)
    if again:
        from local_runner.executors.table import choose
        from local_runner.search.again import compute_again

        chosen, why = choose(executor or os.environ.get("LOCAL_RUNNER_EXECUTOR", "auto"), partial(dask_of, study.runner.home))
        note(why)
        for remark in compute_again(study.runner, study.ledger, results, chosen, again):
            _print_remark(app, remark)


@command("search compare small medium large@5")
@click.argument("names", nargs=-1, required=True, metavar="NAME[@K]...")
@click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Another project file.")
def compare(app: App, names: tuple[str, ...], files: tuple[Path, ...]) -> None:
    """Compare searches, or one with several numbers of folds: points, best scores, winners, and what they took."""
    project = _enter(files)
    header = ("SEARCH", "FOLDS", "POINTS", "FAILED", "BEST", "ERROR", "TIED", "SECONDS", "WINNER")
    app.out.table(header, [_summary(app, project, name) for name in names])


@command("search explain 521a7f8df328340b")
@click.argument("point")
@click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Another project file.")
@click.option("--kfolds", type=click.IntRange(2), default=None, metavar="K", help="So many folds, not those of the project file.")
def explain(app: App, point: str, files: tuple[Path, ...], kfolds: int | None) -> None:
    """Show everything about a point, named by its name or how that begins: scores, files, datums, what they printed, why it failed."""
    from local_runner.search.explain import explain_point
    from local_runner.search.study import Study, changed

    project = _enter(files)
    found: dict[str, tuple[Study, Trial]] = {}
    for settings in project.searches.values():
        if kfolds and settings.folds is None:
            continue
        study = Study(app.runner, changed(settings, kfolds=kfolds or 0), project)
        for trial in study.trials():
            if trial.name.startswith(point):
                found.setdefault(trial.name, (study, trial))
    if not found:
        raise NotFound(f"no search has a point {point}", hint="`search results NAME` shows the names of points")
    if len(found) > 1:
        raise Invalid(f"{point} may be {' or '.join(sorted(found)[:5])}", hint="write more of the name")
    for line in explain_point(*found.popitem()[1]):
        app.out.log_line(line)


def _enter(files: Sequence[Path]) -> Project:
    """The project meant; its folder is where one is from then on, so that its home is found."""
    project = chosen_project(Path.cwd(), files)
    os.chdir(project.root)
    return project


def _study(app: App, name: str, files: Sequence[Path], kfolds: int | None, *, sampler: str = "", seed: int | None = None) -> Study:
    from local_runner.search.study import open_study

    return open_study(app.runner, name, project=_enter(files), sampler=sampler, kfolds=kfolds or 0, seed=seed)


def _show(
    app: App, study: Study, results: Results, *, as_csv: bool, as_json: bool, plot: Path | None, picture: str, everything: bool
) -> None:
    """The table with its remarks; or what was asked for in its place."""
    if plot is not None:
        from local_runner.search.draw import draw

        note(f"wrote {plot} and {draw(results, picture, plot)}")
    if as_csv or as_json:
        app.out.line((results.csv() if as_csv else results.json()).rstrip("\n"))
        return
    header, rows = results.table()
    app.out.table([cell.upper() for cell in header], rows if everything else rows[:_SHOWN])
    if len(rows) > _SHOWN and not everything:
        app.out.line(f"… and {len(rows) - _SHOWN} more; --all shows them")
    app.out.line()
    for trial in results.winners[:1]:
        app.out.line(f"best: {trial.score:.6g} at {shown(trial.point)} ({trial.name})")
    _print_remarks(app, study, results)


def _print_remarks(app: App, study: Study, results: Results) -> None:
    from local_runner.search.checks import check_study

    for remark in check_study(study.runner, study.ledger, results):
        _print_remark(app, remark)


def _print_remark(app: App, remark: Remark) -> None:
    app.out.line(f"{'warning' if remark.is_warning else 'note'}: {remark.kind}: {remark.sentence}")


def _summary(app: App, project: Project, name: str) -> tuple[str, ...]:
    from local_runner.search.study import open_study

    search_name, at, folds = name.partition("@")
    if at and not folds.isdecimal():
        raise Invalid(f"{name}: the number of folds is written as in {search_name}@5")
    study = open_study(app.runner, search_name, project=project, kfolds=int(folds or 0))
    results = study.results()
    seconds = human_duration(sum(results.effort(trial).seconds for trial in results.trials))
    counts = (study.settings.folder or "-", str(len(results.done)), str(len(results.failed)))
    if not results.done:
        return (search_name, *counts, "-", "-", "-", seconds, "-")
    best = results.winners
    error = f"{best[0].error:.4f}" if best[0].error else "-"
    return (search_name, *counts, f"{best[0].score:.6g}", error, str(len(best)), seconds, shown(best[0].point))
