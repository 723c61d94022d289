"""`datum export` and `datum test`: write a datum as a folder, or as a test of its code."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from local_runner.cli.app import App, command
from local_runner.cli.datum_folder import write_folder
from local_runner.cli.datum_select import EXAMPLE, Named, datum_flags, describe, find_datum, find_executor, short
from local_runner.cli.output import note
from local_runner.errors import Invalid, Refused

if TYPE_CHECKING:
    from local_runner.engine.datum_lookup import Before, FoundDatum
    from local_runner.executors.base import WorkerRequest
    from local_runner.storage.database import Database

_F = TypeVar("_F", bound=Callable[..., object])

_TEST = '''\
# {about}
"""The command of a datum still makes of its inputs what it made of them in {job}. Written by `datum test`; yours to change."""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
DATUM = HERE / {folder}  # its inputs, how to run it, and in `expected` what it wrote
# Where the image has its files, and where they come from: they are tested as they are now.
CODE = {code}


def files(folder):
    return {{path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}}


def test_{name}(tmp_path):
    shutil.copytree(DATUM, tmp_path / "datum")
    for target, source in CODE.items():
        place = tmp_path / f"datum/code{{target}}"
        place.parent.mkdir(parents=True, exist_ok=True)
        if (HERE / source).is_dir():
            shutil.copytree(HERE / source, place, dirs_exist_ok=True)
        else:
            shutil.copy(HERE / source, place)
    done = subprocess.run(["sh", tmp_path / "datum/run.sh"], capture_output=True, text=True, check=False)
    assert done.returncode in {codes}, done.stdout + done.stderr
    assert files(tmp_path / "datum/pfs/out") == files(DATUM / "expected")
'''


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
    write_folder(app.runner.database, entry, _request(app, entry, executor), Path(folder))
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
    before = entry.before
    if before is None or not before.same_inputs:
        why = "its input files were others" if before else "it did not succeed yet"
        raise Refused(f"nothing to compare with: {why} ({describe(entry)})", hint="name a job in which it did: PIPELINE@JOB-ID")
    file = file or Path(f"test_{_identifier(entry)}.py")
    if file.exists():
        raise Refused(f"{file} is there already", hint="name another file")
    request, folder = _request(app, entry, executor), file.with_suffix("")
    write_folder(app.runner.database, entry, request, folder, with_code=False)
    _write_expected(app.runner.database, before, folder / "expected")
    code = {target: os.path.relpath(source, file.parent) for target, source in sorted(request.code.items())}
    file.write_text(
        _TEST.format(
            about=describe(entry),
            job=f"{short(before.job.pipeline)}@{before.job.id}",
            folder=ascii(folder.name),
            code=json.dumps(code, indent=4),
            name=_identifier(entry),
            codes=sorted({0, *entry.spec.transform.accept_return_code}),
        )
    )
    note(f"{describe(entry)}: pytest {_argument(str(file))} tests it")


def _argument(path: str) -> str:
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _named(words: Sequence[str], spec: str, executor: str) -> Named:
    if len(words) > 2:
        raise Invalid(f"too many words: {' '.join(words)}", hint="several paths of one datum go with commas between them")
    job, datum = (*words, "", "")[:2]
    return Named(job, datum, spec, executor)


def _request(app: App, entry: FoundDatum, executor: str) -> WorkerRequest:
    """The request for a worker of the datum, with folders that do not exist."""
    return find_executor(app, entry, executor).make_request("datum", Path("/pfs"), Path("/pfs"), 0)


def _write_expected(database: Database, before: Before, folder: Path) -> None:
    folder.mkdir()
    with database.read() as session:
        for path, content in before.files.items():
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            session.objects.place(content.name, target)


def _identifier(entry: FoundDatum) -> str:
    return f"{re.sub(r'[^a-zA-Z0-9]', '_', entry.spec.pipeline.name)}_{entry.datum.id[:8]}"
