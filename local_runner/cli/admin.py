"""Commands about the whole home."""

from __future__ import annotations

import click

from local_runner.cli.door import Door, command, raw_output
from local_runner.cli.output import RED, note

HEADER = ("COMPONENT", "VERSION")


@command("version --client-only")
@click.option("--client-only", is_flag=True, help="Print nothing but the version.")
@raw_output
def version(door: Door, client_only: bool) -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # 20 ms

    found = installed("local_runner")
    if door.out.raw:
        major, minor, micro = found.split(".")[:3]
        door.out.documents([{"major": int(major), "minor": int(minor), "micro": int(micro)}])
    elif client_only:
        door.out.line(found)
    else:
        door.out.table(HEADER, [("local_runner", found)])


@command("delete all")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete_all(door: Door, yes: bool) -> None:
    """Delete every repo, pipeline, job and file of the home; asks first."""
    note("All repos, commits, files, pipelines and jobs will be deleted.")
    repos = [str(info.repo) for info in door.runner.list_repo()]
    pipelines = [str(info.pipeline) for info in door.runner.list_pipeline()]
    for what, names in (("Repos", repos), ("Pipelines", pipelines)):
        if names:
            note(f"{what} to delete: {', '.join(door.out.paint(name, RED) for name in names)}")
    if door.confirm(yes):
        door.runner.delete_all()


@command("fsck --quick")
@click.option("--quick", is_flag=True, help="Do not read the content of every file.")
def fsck(door: Door, quick: bool) -> int:
    """Check that nothing is missing or damaged in the home, and change nothing; exit status 1 says that something is."""
    findings = door.runner.fsck(contents=not quick)
    for finding in findings:
        door.out.line(f"{finding.subject}: {finding.problem}")
    if not findings:
        door.out.line("No errors found.")
    return int(bool(findings))
