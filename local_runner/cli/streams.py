"""Guards the three standard streams of a command: none is missing, errors are words, and terminal escapes are shown escaped."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys

from local_runner.model.printable import printable

GREEN, YELLOW, RED = "32", "33", "31"

_PAINT = re.compile(f"(\x1b\\[(?:{GREEN}|{YELLOW}|{RED}|0)m)")
_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")


class OutputFailed(OSError):
    """Standard output cannot be written."""


def prepare() -> None:
    """Open what the caller closed, so that no file of ours becomes a standard stream.

    Nothing can be read from such an input or written to such an output, which fails as it would for any command; what is said to people
    goes nowhere. Text that is no UTF-8 is shown escaped. What cannot be printed raises `OutputFailed`.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    # Python has None for a stream that was closed when it began; a test has one of its own.
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stderr = sys.stderr or io.TextIOWrapper(open(2, "wb", closefd=False), line_buffering=True)  # noqa: SIM115 - it stays open
    if sys.stdout is sys.__stdout__ and not isinstance(sys.stdout, _Stdout):
        sys.stdout = _Stdout(sys.stdout.encoding if sys.stdout else None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Stdout(io.TextIOWrapper):
    def __init__(self, encoding: str | None) -> None:
        super().__init__(io.BufferedWriter(_Raw(1, "wb", closefd=False)), encoding, line_buffering=os.isatty(1))


class _Raw(io.FileIO):
    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # whatever a buffer is
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from None


def output_error() -> OSError | None:
    """Flush standard output; returns the error if that fails, else None. Later output is then dropped."""
    try:
        sys.stdout.flush()
    except OSError as error:
        silence(1)
        return error
    return None


def silence(number: int) -> None:
    """Send a standard stream to /dev/null: Python would write once more at its end, and complain."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def tell(text: str) -> None:
    """Print a line on standard error; that it cannot be written is no failure."""
    try:
        print(shown(text) if sys.stderr.isatty() else text, file=sys.stderr, flush=True)
    except OSError:
        silence(2)


def shown(text: str, newlines: bool = True) -> str:
    """A text of ours as it may be shown on a terminal: with our colours, all else that it would obey escaped."""
    parts = _PAINT.split(text)
    return "".join(part if number % 2 else printable(part, newlines=newlines) for number, part in enumerate(parts))


def printable_log(text: str) -> str:
    """A line that user code printed: it may have its colours, which end with it, and nothing else."""
    parts = _COLOUR.split(text)
    if len(parts) == 1:
        return printable(text)
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(parts)) + "\x1b[0m"
