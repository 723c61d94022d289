"""`watch`: bring the project up to date, and again whenever one of its files changes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from local_runner.cli.app import App, command
from local_runner.cli.interrupts import terminable
from local_runner.cli.output import note
from local_runner.cli.project_run import Flags, bring_up, run_flags
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.project.file import PROJECT_FILE, chosen_project, project_root
from local_runner.project.watch import ProjectWatcher, changes

_SHOWN_CHANGES = 5


@command("watch model --keep-going", makes_home=True)
@run_flags
def watch(app: App, **given: Any) -> None:
    """Bring the project up to date, and again whenever an input file, a spec or code changes, until Ctrl-C.

    A run whose specs or code change meanwhile is broken off and begins anew; changed input waits for its end.
    """
    flags, start = Flags(**given).enter(), Path.cwd()
    anchors = flags.files or (project_root(start) / PROJECT_FILE,)
    with contextlib.suppress(Invalid):  # what can be mended; not a file that is not there
        chosen_project(start, flags.files)
    watcher = ProjectWatcher(partial(chosen_project, start, flags.files), anchors)
    with terminable():
        while True:
            seen = watcher.begin()
            _bring_up(app, watcher, flags)
            if not flags.quiet and not watcher.is_outdated():
                note(f"watching {len(seen)} files; Ctrl-C ends")
            found = watcher.wait(seen)
            for sentence in changes(seen, found, anchors[0].parent)[:_SHOWN_CHANGES]:
                note(f"{time.strftime('%H:%M:%S')} {sentence}")
            flags = dataclasses.replace(flags, always_make=False)


def _bring_up(app: App, watcher: ProjectWatcher, flags: Flags) -> None:
    """Run the project once; an error is printed, and watching goes on."""
    try:
        with ExitStack() as stack:
            project = watcher.read()
            os.chdir(project.root)
            # A new `App`: a home that was removed meanwhile is made anew.
            bring_up(App(app.out, stack, makes_home=True), project, flags, watcher.is_outdated)
    except LocalRunnerError as error:
        note(error.message)
        if error.hint:
            note(f"hint: {error.hint}")
    except OSError as error:  # a file that went away while it was read
        note(str(error))
