"""Shared by `datum shell`, `run`, `export` and `test`: how a datum is named, and with which executor it is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from local_runner.cli.app import App, in_project
from local_runner.cli.interrupts import closable, terminable
from local_runner.cli.output import note
from local_runner.cli.settings import EXECUTOR_VARIABLE
from local_runner.cli.sources import STDIN, read_text
from local_runner.errors import Invalid
from local_runner.executors.base import Executor
from local_runner.executors.table import DASK, choose
from local_runner.export.words import describe
from local_runner.project.file import dask_of
from local_runner.specs.read import examine_documents

if TYPE_CHECKING:
    from local_runner.engine.datum_lookup import FoundDatum
    from local_runner.engine.datum_session import DatumSession

EXAMPLE = "edges@5f93d03b65fa421996185e53f7f8b1e4 /liberty.jpg"


_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Named:
    """A datum as it was named on the command line, and the executor that was asked for."""

    job: str = ""
    datum: str = ""
    spec: str = ""
    executor: str = ""


def datum_flags(function: _F) -> _F:
    flags = (
        click.option(
            "--input", "spec", default="", metavar="SPEC", help="A datum of this spec, or of PIPELINE with this input; - for stdin."
        ),
        click.option("--executor", default="", metavar="NAME", help="How user code runs: auto, sandbox, process or container."),
        in_project,
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


def datum_arguments(function: _F) -> _F:
    """PIPELINE and DATUM, and the flags that go with them."""
    job = click.argument("job", metavar="PIPELINE@JOB-ID | PIPELINE | FILE", default="")
    return job(click.argument("datum", metavar="[DATUM]", default="")(datum_flags(function)))


def find_datum(app: App, named: Named) -> FoundDatum:
    """The datum that was named. Raises `NotFound`, `Invalid`."""
    runner, wanted = app.runner, named.datum
    if not (named.job or named.spec):
        raise Invalid("no datum is named", hint="name a job and a datum, a pipeline and an input file, or a file that a datum wrote")
    if named.spec:
        document, is_whole = _read_document(named.spec)
        is_alone = not wanted and (is_whole or named.job.startswith("/"))  # then the one word is the datum
        pipeline, wanted = ("", named.job) if is_alone else (named.job, wanted)
        if not (pipeline or is_whole):
            raise Invalid(f"{named.spec} holds no transform", hint="name the pipeline whose input it is to be")
        ref = app.pipeline(pipeline) if pipeline else None
        return runner.find_datum_of_spec(document, wanted, project=app.project, pipeline=ref)
    if ":" in named.job:
        if wanted:
            raise Invalid(f"{named.job} is a file, which was written by one datum", hint=f"leave {wanted} out")
        return runner.find_datum_of_file(app.file(named.job))
    if "@" in named.job:
        return runner.find_datum_of_job(app.job(named.job), wanted)
    return runner.find_datum_of_pipeline(app.pipeline(named.job), wanted)


def _read_document(source: str) -> tuple[dict[str, Any], bool]:
    """The first document of a file; and whether it is a whole spec, and not only an input. Raises `SpecError`, `Invalid`."""
    text = read_text(source)
    for document, errors in examine_documents(text, "standard input" if source == STDIN else source):
        is_whole = "transform" in document.values
        for error in errors if is_whole or not document.values else ():
            raise error
        return document.values, is_whole
    raise Invalid(f"{source} holds no spec")


def find_executor(app: App, name: str = "") -> tuple[Executor, str]:
    """Where a datum is entered, and why there: on this machine unless somebody names another. Raises `Unavailable` if that cannot be."""
    usual = os.environ.get(EXECUTOR_VARIABLE, "auto")
    return choose(name or ("auto" if usual == DASK else usual), lambda: dask_of(app.runner.home))


@contextlib.contextmanager
def entered(app: App, named: Named) -> Iterator[DatumSession]:
    """The datum, laid out in a worker; prints which and where. SIGTERM and SIGHUP clean up as well."""
    entry = find_datum(app, named)
    executor, why = find_executor(app, named.executor)
    note(why)
    with terminable(), closable(), app.runner.open_datum(entry, executor) as found:
        note(describe(entry))
        for name in app.runner.changed_code(entry):
            note(f"note: {name} is not what it was then")
        yield found
