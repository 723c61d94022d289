"""`plan`: print what would run, and why; `run --dry-run` prints the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, command, raw_output
from local_runner.cli.here import project_here
from local_runner.cli.plan_text import look_ahead

if TYPE_CHECKING:
    from local_runner.project.update import Changes
    from local_runner.runner import Runner


@command("plan model --diff")
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="Another project file, or spec files.")
@click.option("-B", "--always-make", is_flag=True, help="As if everything were to be done again.")
@click.option("--no-reprocess", is_flag=True, help="As if changed code ran nothing again, as on a cluster.")
@click.option("--diff", is_flag=True, help="Show how the text of changed input files differs.")
@click.option("-a", "--all", "everything", is_flag=True, help="List every datum, also those that are reused.")
@raw_output
def plan(
    app: App, pipelines: tuple[str, ...], files: tuple[Path, ...], always_make: bool, no_reprocess: bool, diff: bool, everything: bool
) -> None:
    """Say what would run, be reused or be removed, datum by datum, and why; change nothing.

    In a project: what `run` would do, for these PIPELINEs and what they read. Elsewhere: what the unfinished jobs of the home will do.
    """
    project = project_here(files)
    if project is not None:
        os.chdir(project.root)  # the home is found from here

    def compare(runner: Runner) -> Changes:
        return runner.compare(project, pipelines, reprocess=not no_reprocess, always_make=always_make)

    look_ahead(app.out, compare, diff=diff, everything=everything)
