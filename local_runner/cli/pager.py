"""Sends long output through a pager on a terminal, as pachctl does: `$PAGER`, else `less -RFX`."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from local_runner.errors import Invalid

_F = TypeVar("_F", bound=Callable[..., object])


@contextlib.contextmanager
def paged(wanted: bool = True) -> Iterator[None]:
    """Send what the block prints through the pager, if standard output is a terminal. Leaving the pager ends the block."""
    try:
        program = shlex.split(os.environ.get("PAGER", "")) or ["less", "-RFX"]
    except ValueError as error:
        raise Invalid(f"PAGER: {error}: {os.environ['PAGER']}", hint="unset it, or close the quotes") from None
    if not wanted or not sys.stdout.isatty() or shutil.which(program[0]) is None:
        yield
        return
    terminal = sys.stdout
    with subprocess.Popen(program, stdin=subprocess.PIPE) as pager:
        assert pager.stdin
        # Ctrl-C is the pager's: it ends a search there, not us.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with contextlib.suppress(BrokenPipeError), io.TextIOWrapper(pager.stdin, errors="backslashreplace") as pipe:
                sys.stdout = pipe
                yield
        finally:
            sys.stdout = terminal
            pager.wait()
            signal.signal(signal.SIGINT, before)


def with_pager(function: _F) -> _F:
    """Decorates commands whose whole output goes through the pager."""
    return click.option("--no-pager", is_flag=True, help="Do not page on a terminal.")(function)
