"""`run`, also plain `python -m local_runner`: bring everything up to date with the project file, with progress and results."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.app import App, command
from local_runner.cli.interrupts import terminable
from local_runner.cli.plan_text import look_ahead
from local_runner.cli.project_run import Flags, bring_up, compare, run_flags
from local_runner.project.file import chosen_project

if TYPE_CHECKING:
    pass


@command("run --dry-run", makes_home=True)
@run_flags
@click.option("-n", "--dry-run", "--just-print", is_flag=True, help="Say what would run and why, and change nothing.")
def run(app: App, dry_run: bool, **given: Any) -> None:
    """Bring the pipelines of local_runner.toml up to date: commit changed files, create or update pipelines, run what must run.

    With names of PIPELINEs, these and what they read, and nothing else.
    """
    flags = Flags(**given).enter()
    project = chosen_project(Path.cwd(), flags.files)
    os.chdir(project.root)  # the home is found from here
    if dry_run:
        app.makes_home = False
        look_ahead(app.out, partial(compare, project=project, flags=flags))
    else:
        with terminable():
            bring_up(app, project, flags)
