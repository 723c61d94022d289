"""`status`: print how far pipelines are behind, what would run, what runs now, and all sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from local_runner.cli.app import App, command, everywhere, in_project, with_times
from local_runner.cli.commands.job import paint_state, progress
from local_runner.cli.commands.plan import outlook_document, project_here, summary
from local_runner.cli.output import RED, YELLOW, lay_out, note
from local_runner.documents.infos import job_document, job_info_document, pipeline_document, repo_info_document
from local_runner.model.units import human_size, rfc3339

if TYPE_CHECKING:
    from local_runner.model.jobs import JobInfo
    from local_runner.model.refs import PipelineRef, RepoRef
    from local_runner.pipelines.status import Behind, PipelineStatus, RepoStatus
    from local_runner.planning.forecast import JobForecast
    from local_runner.project.update import Changes
    from local_runner.storage.usage import Usage

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
    from local_runner.pipelines.status import pipeline_status, repo_status
    from local_runner.project.dry_run import Forecast, forecast
    from local_runner.project.update import Changes, compare
    from local_runner.storage.locks import FileLock
    from local_runner.storage.usage import usage

    project = project_here()
    if project is not None:
        os.chdir(project.root)  # the home is found from here
    runner, projects = app.runner, app.projects(all_projects)
    lock = FileLock(runner.database.home.engine_lock)
    engine = (lock.holder() or "another process") if lock.is_taken() else ""
    with runner.database.read() as session:
        found = Status(
            str(runner.home),
            usage(runner.database.home),
            engine,
            compare(session, project) if project else Changes(),
            pipeline_status(session, projects),
            [info for info in session.pipelines.unfinished_jobs() if projects is None or info.job.pipeline.project in projects],
            repo_status(session, projects),
        )
    coming = Forecast((), {}) if no_plan else forecast(runner, found.todo, _PATIENCE)
    job_forecasts = coming.job_forecasts
    app.out.show_one(found, lambda found: _document(found, job_forecasts), lambda found: _text(app, found, job_forecasts))
    if coming.is_cut:
        note(f"what the jobs after the first {len(job_forecasts)} will do takes long to work out; plan says it")


class Status(NamedTuple):
    """What `status` shows. `engine` names the process that works on the home, "" if none; `todo` is what changed in the project."""

    home: str
    usage: Usage
    engine: str
    todo: Changes
    pipelines: list[PipelineStatus]
    jobs: list[JobInfo]
    repos: list[RepoStatus]


def _text(app: App, found: Status, job_forecasts: Sequence[JobForecast]) -> Iterator[str]:
    sizes = found.usage
    parts = ", ".join(f"{name} {human_size(getattr(sizes, name))}" for name in ("records", "objects", "logs"))
    yield f"home: {found.home}, {human_size(sizes.total)} ({parts})"
    yield f"engine: {found.engine or 'none runs'}"
    yield from (f"changed: {sentence}" for sentence in found.todo.sentences)
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


def _document(found: Status, job_forecasts: Sequence[JobForecast]) -> dict[str, Any]:
    return {
        "home": {"path": found.home, "bytes": found.usage._asdict()},
        "engine": found.engine,
        "changed": found.todo.sentences,
        "pipelines": [
            {
                "pipeline": pipeline_document(one.pipeline),
                "state": one.state.value,
                "reason": one.reason,
                "last_job": {**job_document(one.last.job), "state": one.last.state.value, "reason": one.last.reason} if one.last else None,
                "behind": [{"branch": str(b.branch), "commits": b.commits, "open": b.is_open} for b in one.behind],
                "current": one.is_current,
            }
            for one in found.pipelines
        ],
        "jobs": [job_info_document(info, None) for info in found.jobs],
        "repos": [
            {
                **repo_info_document(one.info),
                "heads": [
                    {
                        "branch": h.branch.name,
                        "commit": h.commit.id,
                        "started": rfc3339(h.started),
                        "open": h.finished is None,
                        "error": h.error,
                    }
                    for h in one.heads
                ],
            }
            for one in found.repos
        ],
        "plan": [outlook_document(job_forecast) for job_forecast in job_forecasts],
    }
