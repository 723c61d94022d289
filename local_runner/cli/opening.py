"""Opens the home that a command works on, and says where one was made, or that none is here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from local_runner.cli.contexts import chosen_context
from local_runner.cli.output import note
from local_runner.errors import Unavailable
from local_runner.model.names import is_text
from local_runner.runner import Runner
from local_runner.storage.home import PROJECT_FILE, VARIABLE, find_home, homes_near, is_made

_SHOWN = 3  # homes that are named


def open_runner(stack: ExitStack, *, makes_home: bool, transactional: bool, start_engine: Callable[[Runner], None] | None) -> Runner:
    """The runner of the home that is found from the working folder, closed with the stack. Raises `Unavailable`,
    and `NotFound` for a context that does not exist.

    Where there is none yet, one is made for a command that `makes_home`, which is said unless a variable or a project file names the
    place. Any other command works on an empty one that is gone with the stack, and other homes nearby are named.
    """
    chosen_context()
    home = find_home()
    if not is_text(str(home)):
        raise Unavailable(f"the path of the home is no UTF-8 text: {str(home)!a}", hint=f"{VARIABLE} names another")
    others = _others(home)
    if makes_home or is_made(home):
        is_new = not is_made(home)
        runner = stack.enter_context(Runner.open(transactional=transactional, waiting=_say_who_writes, start_engine=start_engine))
        if is_new and not _is_named(home):
            note(f"made a home at {home}{others}")
        return runner
    _check_place(home)
    if others:
        note(f"there is no home at {home} yet{others}")
    empty = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="local_runner-")))
    return stack.enter_context(Runner.open(empty / home.name, background=False))


def _check_place(home: Path) -> None:
    """Raises `Unavailable` for a place where no home could ever be made: what only looks would call it empty for ever."""
    there = next(folder for folder in (home, *home.parents) if os.path.lexists(folder))
    why_not = "Not a directory" if not there.is_dir() else "Permission denied" if not os.access(there, os.W_OK) else ""
    if why_not and (_is_named(home) or not there.is_dir()):
        raise Unavailable(f"cannot use {home} as home: {why_not}", hint=f"set {VARIABLE} to a folder that can be written")


def _is_named(home: Path) -> bool:
    """Whether a person said that the home is there: by the variable, or by the project file beside it."""
    return bool(os.environ.get(VARIABLE)) or (home.parent / PROJECT_FILE).is_file()


def _others(home: Path) -> str:
    """The homes that may have been meant in place of one that is not there, to put after a sentence on it; "" where one was named."""
    if is_made(home) or _is_named(home):
        return ""
    near = homes_near(home.parent)
    names = ", ".join(map(str, near[:_SHOWN])) + ("" if len(near) <= _SHOWN else f" and {len(near) - _SHOWN} more")
    return f"; near it: {names} (for commands in that folder, or with {VARIABLE})" if near else ""


def _say_who_writes(holder: str) -> None:
    note(f"waiting for {holder or 'another process'}, which writes to this home")
