"""`datum export` and `datum test`: write a datum as a folder, or as a test of its code."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from local_runner.cli.app import App, command
from local_runner.cli.datum_select import EXAMPLE, Named, datum_flags, find_datum, find_executor
from local_runner.cli.output import note
from local_runner.errors import Invalid
from local_runner.export.words import describe

_F = TypeVar("_F", bound=Callable[..., object])


def _words(rest: str) -> Callable[[_F], _F]:
    """The arguments PIPELINE, DATUM and the command's own last one, taken as one list because DATUM may be left out."""

    def declare(function: _F) -> _F:
        job = click.argument("job", metavar="PIPELINE@JOB-ID | PIPELINE | FILE", default="")
        return job(click.argument("rest", metavar=rest, nargs=-1)(datum_flags(function)))

    return declare


@command(f"datum export {EXAMPLE} liberty")
@_words("[DATUM] DIR")
def export(app: App, job: str, rest: Sequence[str], spec: str, executor: str) -> None:
    """Write a datum to a new folder that needs neither this runner nor its home: inputs, code, environment, and `run.sh`.

    Which datum, see `datum shell`.
    """
    *words, folder = job, *rest
    if not folder or (not words and not spec):
        raise Invalid("datum export takes a datum and a folder", hint="the folder comes last")
    entry = find_datum(app, _named(words, spec, executor))
    app.runner.export_datum(entry, Path(folder), find_executor(app, executor)[0])
    note(f"{describe(entry)}: written to {folder}; sh {_argument(os.path.join(folder, 'run.sh'))} runs it")


@command(f"datum test {EXAMPLE} tests/test_liberty.py")
@_words("[DATUM] [FILE.py]")
def test(app: App, job: str, rest: Sequence[str], spec: str, executor: str) -> None:
    """Write a test for pytest: the code as it then is has to make of a datum's inputs what was committed of it.

    The inputs and the output go to a folder beside it, of the same name. Which datum, see `datum shell`.
    """
    words = [word for word in (job, *rest) if word]
    file = Path(words.pop()) if words and words[-1].endswith(".py") else None
    entry = find_datum(app, _named(words, spec, executor))
    file = app.runner.export_test(entry, file, find_executor(app, executor)[0])
    note(f"{describe(entry)}: pytest {_argument(str(file))} tests it")


def _argument(path: str) -> str:
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _named(words: Sequence[str], spec: str, executor: str) -> Named:
    if len(words) > 2:
        raise Invalid(f"too many words: {' '.join(words)}", hint="several paths of one datum go with commas between them")
    job, datum = (*words, "", "")[:2]
    return Named(job, datum, spec, executor)
