"""Commands about datums (reference pps 1.7, 2.6, 2.8, 4.4)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import click

from local_runner.cli.app import App, comma_list, command, in_project, raw_output
from local_runner.cli.output import FILES_OF_DATUM, GREEN, RED, YELLOW, lay_out
from local_runner.cli.specs import read_specs
from local_runner.documents.infos import datum_info_document
from local_runner.errors import Invalid, LocalRunnerError, Refused
from local_runner.model.datums import DatumInfo, DatumStats
from local_runner.model.refs import META, JobRef, RepoRef
from local_runner.model.units import go_duration, human_duration, human_size

HEADER = ("ID", "FILES", "STATUS", "TIME")
FILE_HEADER = ("  REPO", "COMMIT", "PATH")

WORKER_PORT = "PPS_WORKER_GRPC_PORT"

_JOB = "PIPELINE@JOB-ID"
_COLOURS = {"success": GREEN, "unknown": GREEN, "failed": RED}


@command("list datum edges@5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("job", metavar=f"[{_JOB}]", required=False)
@click.option("-f", "--file", "spec", default="", metavar="SPEC", help="The datums a pipeline with this spec would have now.")
@raw_output
@in_project
def list_datum(app: App, job: str | None, spec: str) -> None:
    """List the datums of a job, or of a spec that need not be a pipeline yet."""
    if job and spec:
        raise Invalid("can't specify both a job and a pipeline spec", hint=f"leave {job} or --file {spec} out")
    if job:
        try:
            ref = app.job(job)
            found = app.runner.list_datum(ref)
            app.out.show(found, lambda info: datum_info_document(info, ref), HEADER, lambda info: _row(app, info))
        except LocalRunnerError:
            app.out.show((), datum_info_document, HEADER, lambda info: _row(app, info))  # the header, as on a cluster
            raise
    elif spec:
        document = next(read_specs(spec), None)
        if document is None:
            raise Invalid(f"{spec} holds no pipeline spec", hint="it has to be JSON or YAML with pipeline and input")
        app.out.show(app.runner.list_datum_of(document.values, app.project), datum_info_document, HEADER, lambda info: _row(app, info))
    else:
        raise Invalid("must specify either a job or a pipeline spec", hint="PIPELINE@JOB-ID, as `list job` shows it, or -f SPEC")


@command("inspect datum edges@5f93d03b65fa421996185e53f7f8b1e4 7c71b022…")
@click.argument("job", metavar=_JOB)
@click.argument("datum", metavar="DATUM-ID")
@raw_output
@in_project
def inspect_datum(app: App, job: str, datum: str) -> None:
    """Show a datum of a job: its files, how long it took, where its record is."""
    ref = app.job(job)
    info = app.runner.inspect_datum(ref, datum)
    app.out.show_one(info, lambda info: datum_info_document(info, ref, with_state=True), lambda info: _text(info, ref))


@command("restart datum edges@5f93d03b65fa421996185e53f7f8b1e4 /liberty.jpg")
@click.argument("job", metavar=_JOB)
@click.argument("paths", metavar="PATH[,PATH...]")
@in_project
def restart_datum(app: App, job: str, paths: str) -> None:
    """Stop a datum that is being worked on, found by the paths of its files; it counts as a failed attempt."""
    app.runner.restart_datum(app.job(job), comma_list([paths]))


@command("next datum --error 'out of memory'", hidden=True)
@click.option("--error", default="", metavar="TEXT", help="Why the datum before failed; it succeeded if nothing is said.")
def next_datum(app: App, error: str) -> None:
    """End the present datum and wait for the next, whose variables are then in /pfs/.env; for user code with datum batching."""
    from local_runner.engine.batching.client import next_datum as ask  # brings gRPC with it, and only workers ask

    port = os.environ.get(WORKER_PORT, "")
    if not re.fullmatch("[0-9]{1,5}", port):
        raise Refused("`next datum` is for the user code of a pipeline with datum_batching", hint=f"{WORKER_PORT} names no port")
    ask(int(port), error)  # the answer repeats the variables; pachctl prints nothing, and neither do we


def _row(app: App, info: DatumInfo) -> tuple[str, ...]:
    files = ", ".join(f"{file.source.source.repo}@{file.commit}:{file.path}" for file in info.datum.inputs)
    word = "-" if info.state == "unknown" else info.state
    return info.datum.id or "-", files, app.out.paint(word, _COLOURS.get(info.state, YELLOW)), _time(info)


def _time(info: DatumInfo) -> str:
    if info.stats is None and info.state != "unknown":
        return "-"
    # A datum that is only possible took no time, which the cluster words like this.
    return human_duration(_total(info.stats or DatumStats()))


def _total(stats: DatumStats) -> float:
    return stats.download_time + stats.process_time + stats.upload_time


def _text(info: DatumInfo, job: JobRef) -> Iterator[str]:
    stats, ran = info.stats or DatumStats(), info.job or job.id
    yield f"ID\t{info.datum.id}"
    yield f"Job ID\t{ran}"
    yield "Image ID\t"
    yield f"State\t{info.state.upper()}"
    if info.reason:
        yield f"Reason\t{info.reason}"
    yield f"Data Downloaded\t{human_size(stats.download_bytes)}"
    yield f"Data Uploaded\t{human_size(stats.upload_bytes)}"
    yield f"Total Time\t{go_duration(_total(stats))}"
    yield f"Download Time\t{go_duration(stats.download_time)}"
    yield f"Process Time\t{go_duration(stats.process_time)}"
    yield f"Upload Time\t{go_duration(stats.upload_time)}"
    yield "PFS State:"
    meta = RepoRef(job.pipeline.project, job.pipeline.name, META)
    yield from lay_out(FILE_HEADER, [(f"  {meta}", ran, f"/pfs/{info.datum.id}")], FILES_OF_DATUM)
    yield "Inputs:"
    inputs = [(f"  {file.source.source.repo}", file.commit, file.path) for file in info.datum.inputs]
    yield from lay_out(FILE_HEADER, inputs, FILES_OF_DATUM)
