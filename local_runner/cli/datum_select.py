"""Shared by `datum shell`, `run`, `export` and `test`: how a datum is named, and with which executor it is opened."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from local_runner.cli.app import App, in_project
from local_runner.cli.output import note
from local_runner.cli.sources import STDIN, read_text
from local_runner.cli.streams import printable
from local_runner.errors import Invalid, LocalRunnerError
from local_runner.model.refs import PipelineRef

if TYPE_CHECKING:
    from local_runner.engine.datum_lookup import Candidates, FoundDatum
    from local_runner.engine.datum_session import DatumSession
    from local_runner.engine.worker_request import MakeRequest
    from local_runner.executors.base import Executor
    from local_runner.model.pipelines import PipelineSpec

EXAMPLE = "edges@5f93d03b65fa421996185e53f7f8b1e4 /liberty.jpg"

_EXIT_HANGUP = 129  # what shells give for SIGHUP

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
    from local_runner.engine.datum_lookup import of_file

    if not (named.job or named.spec):
        raise Invalid("no datum is named", hint="name a job and a datum, a pipeline and an input file, or a file that a datum wrote")
    with app.runner.database.read() as session:
        if ":" in named.job and not named.spec:
            if named.datum:
                raise Invalid(f"{named.job} is a file, which was written by one datum", hint=f"leave {named.datum} out")
            return of_file(session, app.file(named.job))
        candidates, wanted = _candidates(app, named)
        return candidates.entry(session, wanted)


def _candidates(app: App, named: Named) -> tuple[Candidates, str]:
    """The datums to choose from, and the words that choose one."""
    from local_runner.engine.datum_lookup import of_heads, of_job, of_spec

    with app.runner.database.read() as session:
        if named.spec:
            document, is_whole = _read_document(named.spec)
            is_alone = not named.datum and (is_whole or named.job.startswith("/"))  # then the one word is the datum
            pipeline, datum = ("", named.job) if is_alone else (named.job, named.datum)
            if not (pipeline or is_whole):
                raise Invalid(f"{named.spec} holds no transform", hint="name the pipeline whose input it is to be")
            return of_spec(session, document, app.project, app.pipeline(pipeline) if pipeline else None), datum
        if "@" in named.job:
            return of_job(session, app.job(named.job)), named.datum
        return of_heads(session, app.pipeline(named.job)), named.datum


def _read_document(source: str) -> tuple[dict[str, Any], bool]:
    """The first document of a file; and whether it is a whole spec, and not only an input. Raises `SpecError`, `Invalid`."""
    from local_runner.specs.read import examine_documents

    text = read_text(source)
    for document, errors in examine_documents(text, "standard input" if source == STDIN else source):
        is_whole = "transform" in document.values
        for error in errors if is_whole or not document.values else ():
            raise error
        return document.values, is_whole
    raise Invalid(f"{source} holds no spec")


class Executors(NamedTuple):
    """The executor a datum is opened with, and the reason for that choice; `make_request` makes the request for its worker."""

    executor: Executor
    make_request: MakeRequest
    why: str


def find_executor(app: App, entry: FoundDatum, executor: str = "") -> Executors:
    """Raises `Unavailable` for an executor this host cannot run."""
    from local_runner.cli.commands.engine import EXECUTOR_VARIABLE
    from local_runner.engine.config import EngineConfig
    from local_runner.engine.worker_request import WorkerRequests
    from local_runner.engine_host import images_of
    from local_runner.executors.table import choose

    chosen, why = choose(executor or os.environ.get(EXECUTOR_VARIABLE, "auto"))
    config = EngineConfig(chosen, images=partial(images_of, app.runner.home))
    return Executors(chosen, WorkerRequests(app.runner.database, config).of(entry.spec, entry.spec_commit), why)


@contextlib.contextmanager
def entered(app: App, named: Named) -> Iterator[DatumSession]:
    """The datum, laid out in a worker; prints which and where. SIGTERM and SIGHUP clean up as well."""
    from local_runner.cli.commands.run import terminable
    from local_runner.engine.datum_session import open_datum_session

    entry = find_datum(app, named)
    if not entry.spec.transform.cmd:
        raise Invalid(f"pipeline {entry.spec.pipeline} has no transform.cmd", hint="without one there is nothing to run")
    place = find_executor(app, entry, named.executor)
    note(place.why)
    with terminable(), _closable(), open_datum_session(app.runner.database, place.executor, place.make_request, entry) as found:
        note(describe(entry))
        for name in _changed_code(app, entry):
            note(f"note: {name} is not what it was then")
        yield found


@contextlib.contextmanager
def _closable() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, lambda *_: sys.exit(_EXIT_HANGUP))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def describe(entry: FoundDatum) -> str:
    """ "datum 7c71b022… of edges: images:/liberty.jpg"."""
    files = ", ".join(f"{file.source.name}:{file.path}" for file in entry.datum.inputs)
    return printable(f"datum {entry.datum.id} of {short(entry.spec.pipeline)}: {files}", newlines=False)


def short(pipeline: PipelineRef) -> str:
    return pipeline.name if pipeline.project == "default" else str(pipeline)


def command_text(spec: PipelineSpec, translate: Callable[[str], str] = str) -> str:
    """The command of a spec as text for a shell."""
    words, lines = shlex.join(spec.transform.cmd), spec.transform.stdin
    end = "END"
    while end in "\n".join(lines).split("\n"):
        end += "_"
    text = "\n".join([f"{words} <<'{end}'", *lines, end]) if lines else words
    return translate(text)


def _changed_code(app: App, entry: FoundDatum) -> list[str]:
    """The files behind the image that changed since this version of the pipeline was made, as far as known."""
    from local_runner.planning.changes import code_changes
    from local_runner.project.file import read_project
    from local_runner.project.update import code_of

    if not entry.code:
        return []
    try:
        now = code_of(read_project(app.runner.home.parent), entry.spec)
    except LocalRunnerError:  # the worker will say it better
        return []
    return [cause.name for cause in code_changes(entry.code, now)]
