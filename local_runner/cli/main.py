"""From arguments to an exit status: runs the command, and says in one line what went wrong."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from local_runner.cli.tree import ROOT_FLAGS, Root
from local_runner.errors import EXIT_FAILURE, EXIT_UNAVAILABLE, EXIT_USAGE, LocalRunnerError

EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141  # what shells give for SIGINT and SIGPIPE

_NAMES = ("local_runner", "pachctl")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (that of the process, if none is given) and return its exit status; nobody else chooses one."""
    given = list(sys.argv[1:] if args is None else args)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is no UTF-8 is shown, not an error
    try:
        status = _run(given)
        sys.stdout.flush()
        return status
    except click.UsageError as error:
        return _fail(error.format_message(), f"see {error.ctx.command_path if error.ctx else _program()} --help", EXIT_USAGE)
    except LocalRunnerError as error:
        return _fail(error.message, error.hint, error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", "", EXIT_UNAVAILABLE)
    except Exception as error:
        where = _save_crash(given)
        return _fail(f"internal error: {type(error).__name__}: {error}", f"please report it, with the end of {where}", EXIT_FAILURE)


def _run(given: list[str]) -> int:
    if not given or (given[0].startswith("-") and given[0] not in ROOT_FLAGS):
        given = ["run", *given]
    root = Root()
    try:
        with root.make_context(_program(), given) as ctx:
            result = root.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else 0


def _program() -> str:
    name = Path(sys.argv[0]).name
    return name if name in _NAMES else "python -m local_runner"


def _fail(message: str, hint: str, status: int) -> int:
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print("; ".join(filter(None, map(str.strip, message.splitlines()))), file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return status


def _save_crash(given: Sequence[str]) -> Path:
    """Keeps the traceback, which no person is shown, in the home; beside other temporary files if there is none."""
    from local_runner.storage.home import find_home  # only after a bug

    home = find_home()
    place = (home if home.is_dir() else Path(tempfile.gettempdir())) / "crash.log"
    with place.open("a", errors="backslashreplace") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {given!r}\n{traceback.format_exc()}\n")
    return place
