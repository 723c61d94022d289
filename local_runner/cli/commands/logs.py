"""`logs`: print what user code printed (reference pps 4.12)."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from local_runner.cli.app import COUNT, App, comma_list, command, in_project
from local_runner.cli.output import note
from local_runner.errors import Invalid
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.model.units import parse_go_duration


@command("logs -j edges@5f93d03b65fa421996185e53f7f8b1e4 --grep 'out of memory'")
@click.option("-p", "--pipeline", default="", metavar="PIPELINE", help="Lines of all jobs of this pipeline.")
@click.option("-j", "--job", default="", metavar="PIPELINE@JOB-ID", help="Only lines of this job.")
@click.option("--datum", default="", metavar="DATUM-ID", help="Only lines of this datum; the beginning of its id is enough.")
@click.option("--attempt", default=0, type=COUNT, metavar="N", help="Only lines of the N-th attempt of each datum.")
@click.option("--inputs", default="", metavar="PATH,…", help="Only lines of datums with all these files, named by path or hash.")
@click.option("--grep", default="", metavar="PATTERN", help="Only lines in which this regular expression is found.")
@click.option("--since", default="", metavar="DURATION", help="Only lines younger than this: 10m, 24h.")
@click.option("-t", "--tail", type=COUNT, metavar="N", help="Only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on as more comes; Ctrl-C ends it.")
@click.option("--worker", is_flag=True, help="Lines of the worker itself, not of user code.")
@click.option("--master", is_flag=True, help="Lines of the pipeline's master; there is none here.")
@click.option("--raw", "whole", is_flag=True, help="Print whole records, each as a line of JSON.")
@in_project
def logs(
    app: App,
    pipeline: str,
    job: str,
    datum: str,
    attempt: int,
    inputs: str,
    grep: str,
    since: str,
    tail: int | None,
    follow: bool,
    worker: bool,
    master: bool,
    whole: bool,
) -> None:
    """Print what the user code of a pipeline or a job printed, in every attempt of every datum."""
    if pipeline and job:
        raise Invalid("only one of pipeline or job should be specified")
    age = parse_go_duration(since) if since else 0.0
    pattern = _compiled(grep)
    of = app.pipeline(pipeline) if pipeline else None
    of_job = app.job(job) if job else None
    if of:
        app.runner.inspect_pipeline(of)  # no lines of a pipeline that does not exist would be read as: it printed nothing
    if of_job:
        app.runner.inspect_job(of_job)

    def wanted(record: Mapping[str, Any]) -> bool:
        by_wanted = whole or (bool(record.get("user")) != (worker or master) and bool(record.get("master")) == master)
        return by_wanted and pattern.search(_message(record)) is not None

    skipped = Counter[Path]()
    found = app.runner.logs(
        pipeline=of,
        job=of_job,
        datum=datum,
        inputs=comma_list([inputs]),
        since=app.out.now - age if age > 0 else None,
        follow=follow,
        attempt=attempt,
        tail=tail,
        wanted=wanted,
        skipped=lambda path, size: skipped.update({path: size}),
    )
    printed = False
    try:
        for record in found:
            printed = True
            if whole:
                app.out.line(json.dumps(record, ensure_ascii=False))
            else:
                app.out.log_line(_message(record))
            if follow:
                sys.stdout.flush()
    finally:
        for path, size in skipped.items():
            note(f"{size} bytes of {path} are damaged or were never finished, and are left out")
    if not printed and not whole:
        narrowed = [datum, inputs, grep, since, attempt, tail is not None]
        note(_why_nothing(app, of, of_job, is_narrowed=any(narrowed), of_worker=worker or master))


def _why_nothing(app: App, pipeline: PipelineRef | None, job: JobRef | None, *, is_narrowed: bool, of_worker: bool) -> str:
    """Why there is nothing to show, as far as the newest job tells."""
    if is_narrowed:
        return "nothing to show: no line is as asked for"
    info = app.runner.inspect_job(job) if job else next(app.runner.list_job(pipeline=pipeline), None) if pipeline else None
    if info is None:
        return "nothing to show: there is no job yet" if pipeline else "nothing to show: no job printed anything"
    about = f"job {info.job} "
    if not info.state.is_final:
        return f"nothing to show yet: {about}is {info.state.word}; -f goes on as lines come"
    if info.counters.total == 0:
        return f"nothing to show: {about}had no datums" + (f" ({info.reason})" if info.reason else "")
    if info.counters.skipped == info.counters.total:
        return f"nothing to show: {about}ran no datum, all were skipped"
    said = "nothing to show: its workers said nothing" if of_worker else "nothing to show: user code printed nothing"
    return said if of_worker else f"{said}; --worker shows what its workers said"


def _message(record: Mapping[str, Any]) -> str:
    return str(record.get("message", "")).rstrip("\n")


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise Invalid(f"--grep {pattern!r} is no regular expression: {error}", hint="put a backslash before ( ) [ ] * + ? . $ ^") from None
