"""Runs a command line: parses it, runs the command, prints an error in one line, and returns the exit status."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local_runner.cli import streams
from local_runner.cli.tree import ROOT_FLAGS, Root
from local_runner.errors import EXIT_FAILURE, EXIT_UNAVAILABLE, EXIT_USAGE, LocalRunnerError

if TYPE_CHECKING:
    from local_runner.runner import Runner

EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141  # what shells give for SIGINT and SIGPIPE

_SHOWN = 100
_LONG = re.compile(rf"\S{{{3 * _SHOWN},}}")  # no name, and no number that anyone would read again

_NAMES = ("local_runner", "pachctl")


def main(args: Sequence[str] | None = None, start_engine: Callable[[Runner], None] | None = None) -> int:
    """Run one command line (that of the process, if none is given) and return its exit status, which is chosen here alone.

    `start_engine` is called where an engine would be started in the background, as by `Runner.open`.
    """
    given = list(sys.argv[1:] if args is None else args)
    return report(lambda: _run(given, start_engine), given)


def report(run: Callable[[], int], given: Sequence[str]) -> int:
    """The exit status of what is run for a command line; says what went wrong, if anything does."""
    streams.prepare()
    try:
        status = run()
    except click.UsageError as error:
        return _fail(error.format_message(), f"see {error.ctx.command_path if error.ctx else _program()} --help", EXIT_USAGE)
    except LocalRunnerError as error:
        return _fail(error.message, error.hint, error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except streams.OutputFailed as error:
        return _output_failed(error)
    except OSError as error:
        return _fail(_words(error), "", EXIT_UNAVAILABLE)
    except UnicodeError as error:
        return _fail(f"something given is no UTF-8 text: {error}", "", EXIT_USAGE)
    except RecursionError:
        return _fail("something given is nested too deeply", "", EXIT_USAGE)
    except MemoryError:
        return _fail("there is not enough memory for this", "", EXIT_UNAVAILABLE)
    except Exception as error:
        where = _save_crash(given)
        return _fail(f"internal error: {type(error).__name__}: {error}", f"please report it, with the end of {where}", EXIT_FAILURE)
    failed = streams.output_error()
    return status if failed is None else _output_failed(failed)


def _run(given: list[str], start_engine: Callable[[Runner], None] | None) -> int:
    if not given or (given[0].startswith("-") and given[0] not in ROOT_FLAGS):
        given = ["run", *given]
    root = Root()
    try:
        with root.make_context(_program(), given, obj=start_engine) as ctx:
            result = root.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return result if isinstance(result, int) else 0


def _program() -> str:
    name = Path(sys.argv[0]).name
    return name if name in _NAMES else "python -m local_runner"


def _output_failed(error: OSError) -> int:
    streams.silence(1)
    if error.errno == errno.EPIPE:
        return EXIT_BROKEN_PIPE
    return _fail(f"cannot write to standard output: {_words(error)}", "", EXIT_UNAVAILABLE)


def _words(error: OSError) -> str:
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _fail(message: str, hint: str, status: int) -> int:
    streams.output_error()
    text = "; ".join(filter(None, map(str.strip, message.splitlines())))
    streams.tell(_LONG.sub(lambda word: f"{word[0][:_SHOWN]}…", text))
    if hint:
        streams.tell(f"hint: {hint}")
    return status


def _save_crash(given: Sequence[str]) -> Path:
    """Keeps the traceback, which no person is shown, in the home; beside other temporary files if there is none."""
    from local_runner.storage.home import find_home  # only after a bug

    home = find_home()
    place = (home if home.is_dir() else Path(tempfile.gettempdir())) / "crash.log"
    with contextlib.suppress(OSError), place.open("a", errors="backslashreplace") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {given!r}\n{traceback.format_exc()}\n")
    return place
