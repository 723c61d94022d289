"""Commands about the whole home."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, asks, command, in_project, raw_output
from local_runner.cli.output import RED, VERSIONS, note
from local_runner.errors import Invalid, LocalRunnerError, Unavailable
from local_runner.model.names import clean_path
from local_runner.model.units import human_size, parse_go_duration

if TYPE_CHECKING:
    from local_runner.repos.repair import Files

HEADER = ("COMPONENT", "VERSION")

_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}  # of processors, which pachctl prints


@command("version --client-only")
@click.option("--client-only", is_flag=True, help="Print nothing but the version.")
@click.option("--print-architecture", is_flag=True, help="Print processor and system first.")
@click.option("--compare", is_flag=True, expose_value=False, help="Accepted as by pachctl: client and server are one.")
@click.option("--timeout", default="", metavar="DURATION", help="Accepted as by pachctl: nothing is asked that could take long.")
@click.option("--enterprise", is_flag=True, expose_value=False, hidden=True)
@raw_output
def version(app: App, client_only: bool, print_architecture: bool, timeout: str) -> None:
    """Print the version."""
    if timeout not in ("", "default"):
        parse_go_duration(timeout)
    if print_architecture:
        app.out.line(_GO_NAMES.get(platform.machine(), platform.machine()))
        app.out.line(platform.system().lower())
    from importlib import metadata  # 20 ms

    try:
        found = metadata.version("local_runner")
    except metadata.PackageNotFoundError:
        raise Unavailable("this copy is not installed, so it has no version", hint="pip install it") from None
    if app.out.raw:
        major, minor, micro = found.split(".")[:3]
        app.out.documents([{"major": int(major), "minor": int(minor), "micro": int(micro)}])
    elif client_only:
        app.out.line(found)
    else:
        app.out.table(HEADER, [("local_runner", found)], VERSIONS)


@command("delete all")
@asks
def delete_all(app: App, yes: bool) -> None:
    """Delete every repo, pipeline, job and file of the home; asks first."""
    note("All repos, commits, files, pipelines and jobs will be deleted.")
    repos = [str(info.repo) for info in app.runner.list_repo()]
    pipelines = [str(info.pipeline) for info in app.runner.list_pipeline()]
    for what, names in (("Repos", repos), ("Pipelines", pipelines)):
        if names:
            note(f"{what} to delete: {', '.join(app.out.paint(name, RED) for name in names)}")
    if app.confirm(yes):
        app.runner.delete_all()


@command("fsck --quick")
@click.option("--quick", is_flag=True, help="Do not read the content of every file.")
@click.option("-f", "--fix", is_flag=True, help="Mend what can be mended from what is there, and say what is lost.")
@click.option("--zombie", default="", metavar="REPO@COMMIT", help="Only check this commit, for files that no datum of its job wrote.")
@click.option("--zombie-all", is_flag=True, help="Accepted as by pachctl: all commits are checked anyway.")
@in_project
def fsck(app: App, quick: bool, fix: bool, zombie: str, zombie_all: bool) -> int:
    """Check that nothing is missing or damaged in the home, and change nothing; exit status 1 says that something is.

    With --fix, contents are put again from the files that local_runner.toml names, datums whose outputs are lost are marked to run
    again, rubbish of killed processes goes; what then remains is lost, and exit status 1 says so.
    """
    if zombie and zombie_all:
        raise Invalid("either check all pipelines for zombie files or provide a single commit")
    runner = app.runner
    if fix:
        for sentence in runner.mend(_project_files()):
            note(sentence)
    findings = runner.fsck(contents=not quick)
    if zombie:
        commit = str(runner.inspect_commit(app.commit(zombie)).commit)
        findings = [finding for finding in findings if finding.subject == commit]
    for finding in findings:
        app.out.line(f"{finding.subject}: {finding.problem}")
    if not findings:
        app.out.line("No errors found.")
    elif fix:
        note("the above is lost: put those files again, or run their pipeline again with --reprocess")
    left = [] if fix or findings else runner.leftovers()
    if left:
        size = human_size(sum(leftover.size for leftover in left))
        note(f"killed processes left {len(left)} files and folders ({size}), which cost room only: fsck --fix removes them")
    return int(bool(findings))


def _project_files() -> Iterator[Files]:
    """The files of each input repo of the project here, from which lost contents can be put again."""
    from local_runner.project.file import chosen_project
    from local_runner.project.update import project_files  # with --fix only

    with contextlib.suppress(LocalRunnerError):  # no project, or one that cannot be read
        for repo in chosen_project(Path.cwd()).repos:
            yield [found for target, source in repo.files.items() for found in project_files(repo, clean_path(target), source)]
