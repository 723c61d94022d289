"""Commands about jobs and job sets (reference pps 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import click

from local_runner.cli import spec_text
from local_runner.cli.app import App, comma_list, command, everywhere, in_project, with_times
from local_runner.cli.failures import last_words
from local_runner.cli.flags import history_count
from local_runner.cli.job_text import paint_state, progress
from local_runner.cli.output import GREEN, WORKERS, lay_out, note
from local_runner.cli.pager import with_pager
from local_runner.documents.infos import job_details_document, job_info_document, job_set_info_document
from local_runner.errors import Invalid
from local_runner.model.jobs import JobInfo, JobSetInfo, JobState
from local_runner.model.names import is_id
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import parse_commit
from local_runner.model.units import human_duration, human_size

HEADER = ("PROJECT", "PIPELINE", "ID", "STARTED", "DURATION", "RESTART", "PROGRESS", "DL", "UL", "STATE")
SET_HEADER = ("ID", "SUBJOBS", "PROGRESS", "CREATED", "MODIFIED")
WORKER_HEADER = ("WORKER", "JOB", "DATUM", "STARTED")

REASON_LENGTH = 25  # of a reason, in a table

_JOB = "PIPELINE@JOB-ID"
_RESOURCES = ("resource_requests", "resource_limits", "sidecar_resource_requests", "sidecar_resource_limits")


@command("inspect job edges@5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("job", metavar=_JOB)
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@with_times
@in_project
def inspect_job(app: App, job: str, wait: bool) -> None:
    """Show a job: how it went, what it read and ran."""
    info = app.runner.inspect_job(app.job(job), wait=wait)
    pipeline = app.runner.job_pipeline(info.job)
    app.out.show_one(info, lambda info: job_info_document(info, pipeline), lambda info: _text(app, info, pipeline))


@command("wait job 5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("job", metavar=f"JOB-ID | {_JOB}")
@with_times
@in_project
def wait_job(app: App, job: str) -> None:
    """Wait until a job, or all jobs of a set, have ended, and list them."""
    ended = app.runner.inspect_job_set(job, wait=True).jobs if is_id(job) else [app.runner.inspect_job(app.job(job), wait=True)]
    _show(app, ended)
    for line in chain.from_iterable(last_words(app.runner, info) for info in ended):
        note(line)


@command("list job -p edges --state failure")
@click.argument("job_set", metavar="[JOB-ID]", required=False)
@click.option("-p", "--pipeline", default="", metavar="PIPELINE", help="Only jobs of this pipeline.")
@click.option("-i", "--input", "inputs", multiple=True, metavar="REPO@COMMIT", help="Only jobs that read this commit; repeatable.")
@click.option("-x", "--expand", is_flag=True, help="A line for each job, not for each set.")
@click.option("--history", default="none", metavar="all|N", help="Also the jobs of earlier versions of pipelines.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only jobs in this state; repeatable.")
@with_pager
@everywhere
@with_times
@in_project
def list_job(
    app: App,
    job_set: str | None,
    pipeline: str,
    inputs: Sequence[str],
    expand: bool,
    history: str,
    states: Sequence[str],
    all_projects: bool,
) -> None:
    """List job sets; with an id the jobs of one, with -p those of a pipeline. The newest come first."""
    versions, wanted = history_count(history), _states(states)
    if job_set or not (pipeline or expand):
        listed = "sub-jobs" if job_set else "all jobs"
        for flag, given in (("--state", states), ("--input", inputs), ("--history", versions), ("--pipeline", pipeline)):
            if given:
                raise Invalid(f"cannot specify '{flag}' when listing {listed}", hint="name a pipeline with -p, or list all jobs with -x")
    if job_set and not is_id(job_set):
        note(f"{job_set} is no id of jobs: `list job -p {job_set}` lists the jobs of a pipeline")
    if job_set:
        subjobs = app.runner.inspect_job_set(job_set).jobs  # without the details of their pipelines, as on a cluster
        app.out.show(subjobs, lambda info: job_info_document(info, None), HEADER, lambda info: _row(app, info))
    elif pipeline or expand:
        commits = [parse_commit(text, app.project) for text in comma_list(inputs)]
        of = app.pipeline(pipeline) if pipeline else None
        found = app.runner.list_job(app.projects(all_projects), of, commits, versions)
        _show(app, (info for info in found if not wanted or info.state in wanted))
    else:
        app.out.show(app.runner.list_job_set(app.projects(all_projects)), job_set_info_document, SET_HEADER, lambda i: _set_row(app, i))


@command("stop job edges@5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("job", metavar=f"JOB-ID | {_JOB}")
@in_project
def stop_job(app: App, job: str) -> None:
    """Stop a job, or all jobs of a set, at once."""
    if is_id(job):
        app.runner.stop_job_set(job)
    else:
        app.runner.stop_job(app.job(job))


@command("delete job edges@5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("job", metavar=_JOB)
@in_project
def delete_job(app: App, job: str) -> None:
    """Stop a job and forget it; its output commit stays."""
    app.runner.delete_job(app.job(job))


def _states(names: Iterable[str]) -> frozenset[JobState]:
    known = {state.word: state for state in JobState}
    found = set()
    for name in names:
        if name.lower() not in known:
            raise Invalid(f"error parsing state: state {name!r} is not a job state", hint=f"it is one of {', '.join(known)}")
        found.add(known[name.lower()])
    return frozenset(found)


def _show(app: App, jobs: Iterable[JobInfo]) -> None:
    pipeline_of = _versions(app)
    app.out.show(jobs, lambda info: job_info_document(info, pipeline_of(info)), HEADER, lambda info: _row(app, info))


def _versions(app: App) -> Callable[[JobInfo], PipelineInfo]:
    """The pipeline version of each job; jobs of one version share the object."""
    known: dict[tuple[Any, int], PipelineInfo] = {}

    def find(info: JobInfo) -> PipelineInfo:
        key = info.job.pipeline, info.pipeline_version
        if key not in known:
            known[key] = app.runner.job_pipeline(info.job)
        return known[key]

    return find


def _row(app: App, info: JobInfo) -> tuple[str, ...]:
    pipeline, stats = info.job.pipeline, info.stats
    return (
        *(pipeline.project, pipeline.name, info.job.id, app.out.when(info.started), _duration(info) or "-", str(info.restart)),
        *(progress(info), human_size(stats.download_bytes), human_size(stats.upload_bytes), _state(app, info)),
    )


def _duration(info: JobInfo) -> str:
    if info.started is None or info.finished is None:
        return ""
    return human_duration(info.finished - info.started)


def _state(app: App, info: JobInfo) -> str:
    if info.reason:
        return f"{paint_state(app, info.state.value)}: {_cut(info.reason)}"
    if info.state is JobState.SUCCESS and info.counters.skipped == info.counters.total:
        return app.out.paint("success: there were no datums to process", GREEN)
    if info.warnings:
        return f"{paint_state(app, info.state.value)}: {_cut(info.warnings[0])}"
    return paint_state(app, info.state.value)


def _cut(text: str) -> str:
    return text if len(text) < REASON_LENGTH else text[:REASON_LENGTH].strip() + "..."


def _set_row(app: App, info: JobSetInfo) -> tuple[str, ...]:
    done = sum(job.state is JobState.SUCCESS for job in info.jobs)
    failed = sum(job.state.is_final for job in info.jobs) - done
    times = [job.created for job in info.jobs]
    first, last = (min(times), max(times)) if times else (None, None)
    bar = app.out.progress(done, len(info.jobs) - done - failed, failed)
    return info.id, str(len(info.jobs)), bar, app.out.when(first), app.out.when(last)


def _text(app: App, info: JobInfo, pipeline: PipelineInfo) -> Iterator[str]:
    spec, counters, stats, details = pipeline.spec, info.counters, info.stats, job_details_document(info, pipeline)
    yield f"ID: {info.job.id}"
    yield f"Pipeline: {info.job.pipeline.name}"
    yield f"Project: {info.job.pipeline.project}"
    yield f"Started: {app.out.when(info.started)}"
    if _duration(info):
        yield f"Duration: {_duration(info)}"
    yield f"State: {paint_state(app, info.state.value)}"
    yield f"Reason: {info.reason}"
    yield from (f"Warning: {warning}" for warning in info.warnings)
    yield from last_words(app.runner, info)
    yield f"Processed: {counters.processed}"
    yield f"Failed: {counters.failed}"
    yield f"Skipped: {counters.skipped}"
    yield f"Recovered: {counters.recovered}"
    yield f"Total: {counters.total}"
    yield f"Data Downloaded: {human_size(stats.download_bytes)}"
    yield f"Data Uploaded: {human_size(stats.upload_bytes)}"
    yield f"Download Time: {human_duration(stats.download_time)}"
    yield f"Process Time: {human_duration(stats.process_time)}"
    yield f"Upload Time: {human_duration(stats.upload_time)}"
    yield f"Datum Timeout: {spec_text.timeout(spec.datum_timeout)}"
    yield f"Job Timeout: {spec_text.timeout(spec.job_timeout)}"
    yield "Worker Status:"
    workers = [(run.worker, info.job.id, "".join(run.paths), app.out.when(run.started)) for run in info.running]
    yield from lay_out(WORKER_HEADER, workers, WORKERS)
    yield f"Restarts: {info.restart}"
    yield f"ParallelismSpec: {spec_text.parallelism(details)}"
    yield from spec_text.resources(details, *_RESOURCES)
    yield from spec_text.service(details)
    yield f"Input: {spec_text.input_text(details)}"
    yield f"Transform: {spec_text.transform_text(details)}"
    yield f"Output Commit: {info.job.id}"
    yield from spec_text.egress(details)
