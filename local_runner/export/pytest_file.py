"""Writes a test for pytest: the code as it then is has to make of a datum's inputs what was committed of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from local_runner.engine.datum_lookup import FoundDatum
from local_runner.errors import Refused
from local_runner.executors.base import WorkerRequest
from local_runner.export.folder import write_folder, write_output
from local_runner.export.words import describe, short
from local_runner.storage.database import Session

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


def write_test(session: Session, entry: FoundDatum, request: WorkerRequest, file: Path | None) -> Path:
    """Write the test, and inputs and output to a folder beside it of the same name; returns its file, which `file` may name.

    Raises `Refused` if the file is there, or there is no output to compare with.
    """
    before = entry.before
    if before is None or not before.same_inputs:
        why = "its input files were others" if before else "it did not succeed yet"
        raise Refused(f"nothing to compare with: {why} ({describe(entry)})", hint="name a job in which it did: PIPELINE@JOB-ID")
    file = file or Path(f"test_{_identifier(entry)}.py")
    if file.exists():
        raise Refused(f"{file} is there already", hint="name another file")
    folder = file.with_suffix("")
    write_folder(session, entry, request, folder, with_code=False)
    write_output(session, before, folder / "expected")
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
    return file


def _identifier(entry: FoundDatum) -> str:
    return f"{re.sub(r'[^a-zA-Z0-9]', '_', entry.spec.pipeline.name)}_{entry.datum.id[:8]}"
