"""`logs`: what user code printed (reference pps 4.12)."""

from __future__ import annotations

import json
import sys

import click

from local_runner.cli.door import Door, comma_list, command, in_project
from local_runner.errors import Invalid
from local_runner.model.units import parse_go_duration


@command("logs -j edges@5f93d03b65fa421996185e53f7f8b1e4")
@click.option("-p", "--pipeline", default="", metavar="PIPELINE", help="Of all jobs of this pipeline.")
@click.option("-j", "--job", default="", metavar="PIPELINE@JOB-ID", help="Of this job.")
@click.option("--datum", default="", metavar="DATUM-ID", help="Of this datum.")
@click.option("--inputs", default="", metavar="PATH,…", help="Of datums with all these files, named by path or hash.")
@click.option("--master", is_flag=True, help="What the pipeline's master says; here there is none.")
@click.option("--worker", is_flag=True, help="What the worker says, not the user code.")
@click.option("--raw", "whole", is_flag=True, help="Print whole records as JSON.")
@click.option("-f", "--follow", is_flag=True, help="Go on as more comes; Ctrl-C ends it.")
@click.option("--since", default="", metavar="DURATION", help="Only what is younger: 10m, 24h.")
@click.option("-t", "--tail", default=0, hidden=True)
@in_project
def logs(
    door: Door,
    pipeline: str,
    job: str,
    datum: str,
    inputs: str,
    master: bool,
    worker: bool,
    whole: bool,
    follow: bool,
    since: str,
    tail: int,
) -> None:
    """Print what the user code of a pipeline or a job printed."""
    if tail:
        raise Invalid("tail has been deprecated and removed from Pachyderm, use --since instead")
    if pipeline and job:
        raise Invalid("only one of pipeline or job should be specified")
    age = parse_go_duration(since) if since else 0.0
    found = door.runner.logs(
        pipeline=door.pipeline(pipeline) if pipeline else None,
        job=door.job(job) if job else None,
        datum=datum,
        inputs=comma_list([inputs]),
        since=age if age > 0 else None,
        follow=follow,
    )
    for line in found:
        if whole:
            door.out.line(json.dumps(line, ensure_ascii=False))
        elif bool(line.get("user")) != (worker or master) and bool(line.get("master")) == master:
            door.out.line(str(line.get("message", "")).rstrip("\n"))
        if follow:
            sys.stdout.flush()
