"""`datum shell` and `datum run`: open a shell in a datum, or run it again, without committing anything."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, command
from local_runner.cli.datum_select import EXAMPLE, Named, datum_arguments, entered
from local_runner.cli.output import lay_out, note
from local_runner.errors import Invalid, LocalRunnerError, Refused, Unavailable, WorkFailed
from local_runner.executors.terminal import Terminal
from local_runner.export.words import command_text, short
from local_runner.model.units import human_size

if TYPE_CHECKING:
    from local_runner.engine.datum_lookup import Before
    from local_runner.engine.datum_session import DatumSession
    from local_runner.storage.objects import Content

# An interactive shell of the image's; one whose prompt no file of the host's changes.
_SHELL = """if command -v bash >/dev/null 2>&1
then PS1='{name}:\\w\\$ ' exec bash --norc --noprofile -i
else PS1='{name}$ ' exec sh -i
fi"""
_SHELLS = ("sh", "bash", "dash", "zsh", "ash")
_PYTHON = re.compile(r"(?:\S*/)?python[\d.]*")
_UNDER_PDB = ("-m", "pdb", "-c", "continue")
# In a script: at the start of a command, with the flags that do not matter here, and with something to run that pdb can run.
_PYTHON_IN_SCRIPT = re.compile(
    r"((?:^|[;&|(]|\bexec|\bthen|\bdo)\s*(?:[\w./-]*/)?python[\d.]*(?:\s+-[uBEIsSOq]+)*)(?=\s+(?:-m\s|[^\s<-]))", re.M
)
_SHOWN = 20  # files of a kind
_LAST_LINES = 20  # of what a command printed, which may say why it failed


@command(f"datum shell {EXAMPLE}")
@datum_arguments
def shell(app: App, job: str, datum: str, spec: str, executor: str) -> None:
    """Open a shell in a datum: /pfs as its command finds it, the same environment, the same executor. Nothing is committed.

    The datum is that of a job (PIPELINE@JOB-ID and its id, or the paths of its files), one that the present heads make (PIPELINE and
    paths), or the one that wrote a FILE (REPO@COMMIT:PATH). Paths are [INPUT:]PATH, with commas between several; DATUM may be left out
    where there is only one. What is not typed at a terminal is run as a script.
    """
    with entered(app, Named(job, datum, spec, executor)) as session:
        note(f"its command: {command_text(session.entry.spec, session.translate)}")
        if sys.stdin.isatty() and sys.stdout.isatty():
            script = _SHELL.format(name=session.entry.spec.pipeline.name)
            more = {"TERM": os.environ.get("TERM", "dumb")}
            result = session.run(["sh", "-c", script], _show, terminal=Terminal(), more=more, once=False)
        else:
            result = session.run(["sh"], _show, stdin=sys.stdin.buffer.read(), once=False)
            if result.exit_code:
                raise WorkFailed(f"the script failed: {result.reason}")
        if result.exit_code is None:
            raise Unavailable(f"no shell there: {result.reason}", hint="datum run needs none")
        _report(session, ran=False)


@command(f"datum run --pdb {EXAMPLE}")
@datum_arguments
@click.option("--pdb", is_flag=True, help="Run a Python command under pdb, which stops where it fails; q leaves.")
def run(app: App, job: str, datum: str, spec: str, executor: str, pdb: bool) -> None:
    """Run the command of a datum once, here, and say how what it wrote differs from what it wrote before. Nothing is committed.

    Which datum, see `datum shell`.
    """
    if pdb and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("--pdb needs a terminal", hint="leave it out to run the command as it is")
    with entered(app, Named(job, datum, spec, executor)) as session:
        transform, last = session.entry.spec.transform, deque[str](maxlen=_LAST_LINES)

        def show(stream: str, block: bytes) -> None:
            last.extend(block.decode(errors="replace").splitlines()[-_LAST_LINES:])
            _show(stream, block)

        if pdb:
            more = {"TERM": os.environ.get("TERM", "dumb")}
            result = session.run(under_pdb(transform.cmd, transform.stdin), _show, terminal=Terminal(), more=more)
        else:
            result = session.run(transform.cmd, show, stdin=session.stdin, timeout=session.entry.spec.datum_timeout)
        problem = _report(session)
        if not result.accepted(transform.accept_return_code):
            problem = result.reason
            for sentence in session.explain(tuple(last), problem):
                note(sentence)
        if problem:
            raise WorkFailed(f"datum {session.entry.datum.id} failed: {problem}")


def under_pdb(cmd: Sequence[str], stdin: Sequence[str]) -> list[str]:
    """The command with its Python under pdb; a script on standard input becomes an argument, as the keyboard takes its place.

    Raises `Invalid` where there is no Python to be seen.
    """
    head, *rest = cmd
    name = os.path.basename(head)
    if _PYTHON.fullmatch(name):
        at = 0
        while at < len(rest) and rest[at].startswith("-") and rest[at] not in ("-m", "-c", "-"):
            at += 2 if rest[at] in ("-W", "-X") else 1
        if at < len(rest) and rest[at] not in ("-c", "-"):
            return [head, *rest[:at], *_UNDER_PDB, *rest[at:]]
    elif name.endswith(".py"):
        return ["python3", *_UNDER_PDB, *cmd]
    elif name in _SHELLS:
        script = "\n".join(stdin) if not rest else rest[1] if rest[0] == "-c" and len(rest) > 1 else ""
        changed, count = _PYTHON_IN_SCRIPT.subn(rf"\1 {' '.join(_UNDER_PDB)}", script)
        if count:
            return [head, "-c", changed, *rest[2:]]
    raise Invalid(f"--pdb is for Python, and the command is {shlex.join(cmd)}", hint="datum shell lets you start a debugger yourself")


def _show(stream: str, block: bytes) -> None:
    print(block.decode(errors="replace"), file=sys.stdout if stream == "stdout" else sys.stderr, flush=True)


def _report(session: DatumSession, ran: bool = True) -> str:
    """Print how the output differs from before; returns why it could not be committed, "" if it could."""
    try:
        written = {file.path: file.content for file in session.written()}
    except LocalRunnerError as error:  # `BadOutput`
        return error.message
    before = session.entry.before
    if before and not ran:
        before = replace(before, files={path: content for path, content in before.files.items() if path in written})
    if not (written or (before and before.files)):
        note("nothing was written to /pfs/out")
        return ""
    for line in _differences(written, before):
        note(line)
    note("nothing was committed")
    return ""


def _differences(written: dict[str, Content], before: Before | None) -> Iterator[str]:
    if before is None:
        yield from lay_out(("IN /pfs/out", "SIZE"), [(path, human_size(content.size)) for path, content in sorted(written.items())])
        return
    then = f"{short(before.job.pipeline)}@{before.job.id}{'' if before.same_inputs else ', of other input files'}"
    rows, same = [], 0
    for path in sorted(written.keys() | before.files.keys()):
        new, old = written.get(path), before.files.get(path)
        if new and old and new.name == old.name:
            same += 1
        else:
            what = "differs" if new and old else "new" if new else "not written"
            rows.append((path, human_size(new.size) if new else "-", human_size(old.size) if old else "-", what))
    if rows:
        yield from lay_out(("IN /pfs/out", "NOW", "THEN", f"COMPARED WITH {then}"), rows)
    if same:
        yield f"{same} file{'s' * (same != 1)} in /pfs/out as in {then}"
