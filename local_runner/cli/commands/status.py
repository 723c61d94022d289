"""`status`: print how far pipelines are behind, what would run, what runs now, and all sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, command, everywhere, in_project, with_times
from local_runner.cli.here import project_here
from local_runner.cli.job_text import paint_state, progress
from local_runner.cli.output import RED, YELLOW, lay_out, note
from local_runner.cli.plan_text import summary
from local_runner.documents.status import status_document
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import PipelineRef, RepoRef
from local_runner.model.units import human_size
from local_runner.storage.home import find_home

if TYPE_CHECKING:
    from local_runner.api.reports import HomeStatus
    from local_runner.pipelines.status import Behind, PipelineStatus, RepoStatus
    from local_runner.planning.forecast import JobForecast

PIPELINE_HEADER = ("PIPELINE", "STATE / LAST JOB", "BEHIND", "NEXT")
JOB_HEADER = ("JOB", "STATE", "PROGRESS", "STARTED", "WORKS ON")
_PATIENCE = 0.3  # seconds to work out what would run: writers have to wait meanwhile
REPO_HEADER = ("REPO", "SIZE", "HEAD", "WRITTEN")


@command("status --no-plan")
@click.option("--no-plan", is_flag=True, help="Do not work out what would run, which takes longest.")
@everywhere
@with_times
@in_project
def status(app: App, no_plan: bool, all_projects: bool) -> None:
    """Say what is behind what, what would run, what runs now, and how large everything is; change nothing."""
    project = project_here()
    if project is not None:
        os.chdir(project.root)  # the home is found from here
    runner = app.runner
    found, changes = runner.status(app.projects(all_projects))._replace(home=str(find_home())), runner.compare(project)
    coming = None if no_plan else runner.plan(changes, _PATIENCE)
    forecasts = coming.job_forecasts if coming else ()
    app.out.show_one(
        found,
        lambda found: status_document(found, changes.sentences, forecasts),
        lambda found: _text(app, found, changes.sentences, forecasts),
    )
    if coming and coming.is_cut:
        note(f"what the jobs after the first {len(forecasts)} will do takes long to work out; plan says it")


def _text(app: App, found: HomeStatus, changed: Sequence[str], job_forecasts: Sequence[JobForecast]) -> Iterator[str]:
    sizes = found.usage
    parts = ", ".join(f"{name} {human_size(getattr(sizes, name))}" for name in ("records", "objects", "logs"))
    yield f"home: {found.home}, {human_size(sizes.total)} ({parts})"
    yield f"engine: {found.engine or 'none runs'}"
    if found.server:
        yield f"server: {found.server}"
    yield from (f"changed: {sentence}" for sentence in changed)
    coming: dict[PipelineRef, list[JobForecast]] = {}
    for job_forecast in job_forecasts:
        coming.setdefault(job_forecast.pipeline, []).append(job_forecast)
    yield from _section(PIPELINE_HEADER, [_pipeline_row(app, one, coming.pop(one.pipeline, [])) for one in found.pipelines])
    # What the project is yet to create.
    yield from (f"{pipeline.name}: {_next(ahead)}" for pipeline, ahead in coming.items())
    yield from _section(JOB_HEADER, [_job_row(app, info) for info in found.jobs])
    yield from _section(REPO_HEADER, [row for one in found.repos for row in _repo_rows(app, one)])


def _section(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield ""
        yield from lay_out(header, rows)


def _pipeline_row(app: App, one: PipelineStatus, ahead: Sequence[JobForecast]) -> tuple[str, ...]:
    word = one.state.value.removeprefix("PIPELINE_").lower()
    last = paint_state(app, one.last.state.value) if one.last else "-"
    trouble = one.reason or (one.last.reason.strip() if one.last else "")
    state = f"{word} / {last}{f': {trouble}' if trouble else ''}"
    following = _next(ahead) or ("stopped; start pipeline lets it go on" if word == "paused" else "up to date" if one.is_current else "-")
    return _name(app, one.pipeline.repo), state, ", ".join(map(_behind, one.behind)) or "-", following


def _behind(one: Behind) -> str:
    text = f"{one.commits} commit{'s' * (one.commits != 1)} of {one.branch.repo.name}@{one.branch.name}"
    return f"{text}, the last still open" if one.is_open else text


def _next(ahead: Sequence[JobForecast]) -> str:
    return "; then ".join(map(summary, ahead))


def _job_row(app: App, info: JobInfo) -> tuple[str, ...]:
    works_on = "; ".join(" ".join(run.paths) for run in info.running) or "-"
    state = paint_state(app, info.state.value)
    return f"{info.job.pipeline.name}@{info.job.id}", state, progress(info), app.out.when(info.started), works_on


def _repo_rows(app: App, one: RepoStatus) -> Iterator[tuple[str, ...]]:
    name, size = _name(app, one.info.repo), human_size(one.info.size_upper_bound)
    if not one.heads:
        yield name, size, "-", "-"
    for head in one.heads:
        trouble = app.out.paint(" failed", RED) if head.error else app.out.paint(" open", YELLOW) if head.finished is None else ""
        yield name, size, f"{head.branch.name}={head.commit.id}{trouble}", app.out.when(head.started)


def _name(app: App, repo: RepoRef) -> str:
    return repo.name if repo.project == app.project else f"{repo.project}/{repo.name}"
