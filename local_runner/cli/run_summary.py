"""Prints the end of a run of the project: the table of pipelines, why one failed, and the files of the last repos."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import click

from local_runner.cli.failures import last_words
from local_runner.cli.output import note
from local_runner.errors import WorkFailed
from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobInfo, JobSetInfo, JobState
from local_runner.model.refs import CommitQuery, FileQuery, JobRef, PipelineRef
from local_runner.runner import Runner

_SHOWN_FILES = 20  # of the result; `list file` shows all


def show_jobs(ended: Sequence[JobInfo], began: float) -> None:
    """The table of a run that began then: one row a pipeline, its jobs added up."""
    rows: dict[str, list[JobInfo]] = {}
    for info in ended:
        rows.setdefault(info.job.pipeline.name, []).append(info)
    if not rows:
        return
    lines = [("PIPELINE", "RUN", "REUSED", "FAILED", "SECONDS", "STATE")]
    for name, infos in rows.items():
        last = infos[-1]
        seconds = sum(max((i.finished or 0) - max(i.started or 0, began), 0) for i in infos)
        counts = last.counters
        ran = sum(i.counters.processed + i.counters.recovered for i in infos)
        failed = sum(i.counters.failed for i in infos)
        lines.append((name, str(ran), str(counts.skipped), str(failed), f"{seconds:.2f}", last.state.word))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        numbers = (cell.rjust(width) for cell, width in zip(line[1:5], widths[1:5], strict=True))
        click.echo("  ".join((line[0].ljust(widths[0]), *numbers, line[5])))


def wait_for_jobs(runner: Runner, sets: Iterable[str]) -> None:
    """Stay until the jobs of these commit sets have ended, with progress. Raises `WorkFailed` if one did not succeed."""
    from local_runner.cli.progress import RunProgress

    ended: list[JobInfo] = []
    with RunProgress(quiet=False) as progress:
        known: dict[JobRef, JobInfo] = {}

        def watch(found: JobSetInfo) -> None:
            for info in found.jobs:
                if known.get(info.job) != info:
                    known[info.job] = info
                    progress.job_changed(info)

        for set_id in sets:
            ended += runner.inspect_job_set(set_id, wait=True, watch=watch).jobs
    report_failures(runner, ended)


def report_failures(runner: Runner, ended: Sequence[JobInfo]) -> None:
    """Raises `WorkFailed` if the last job of a pipeline did not succeed, after its failing datums' last lines. Others may have warnings."""
    latest = {info.job.pipeline: info for info in ended}
    for info in latest.values():
        for warning in info.warnings if info.state is JobState.SUCCESS else ():
            note(f"warning: {info.job.pipeline.name}: {warning}")
    failed = [info for info in latest.values() if info.state is not JobState.SUCCESS]
    for info in failed:
        note(f"\n{info.job.pipeline.name}: {info.state.word}: {info.reason.strip()}")
        for line in last_words(runner, info):
            note(line)
    if failed:
        names = ", ".join(info.job.pipeline.name for info in failed)
        raise WorkFailed(f"did not succeed: {names}", hint="mend it and run again: what succeeded is not repeated, unless its code changed")


def show_results(runner: Runner, needed: Container[PipelineRef] | None) -> None:
    """Print the files in the output repos that no other pipeline reads; only those `needed`, unless all were."""
    infos = [info for info in runner.list_pipeline() if needed is None or info.pipeline in needed]
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
