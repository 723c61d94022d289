"""What user code may try on the engine, which has the rights of the host: each is a pipeline in the sandbox.

Afterwards the host and the home are looked at.
SANDBOX.md has these beside the attempts on the sandbox itself (tests/contracts/breakouts.py).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef
from tests.reference.machine import Machine
from tests.support.lab import copy

needs_sandbox = pytest.mark.skipif(bool(SandboxExecutor().why_not()), reason=SandboxExecutor().why_not())

INSIDE = "work done inside the sandbox"
DESCRIPTORS = "descriptors, never paths"


@dataclass(frozen=True, slots=True)
class Attempt:
    """`script` is run for each of three datums; `@LURE@` is a folder of the host with a file that is the bait, and its name."""

    name: str
    holds: str
    script: str
    fields: tuple[tuple[str, Any], ...] = ()


# What stands at `place` becomes a link to the lure, or is made one again and again by a process that outlives its datum.
_REPLACE = "mkdir -p @LURE@; echo inside > @LURE@/inside; out=$(readlink -f /pfs/out); {}"
_DAEMON = """
import os, sys, time
if os.fork():
    open("/pfs/out/" + os.environ["PACH_DATUM_ID"], "w").write("x")
    time.sleep(0.05)
    os._exit(0)
os.setsid()
for descriptor in (0, 1, 2):
    os.close(descriptor)
end = time.time() + 3
while time.time() < end:
    for folder, folders, files in os.walk("/pfs/.scratch"):
        for name in folders + files:
            path = os.path.join(folder, name)
            if {condition}:
                try:
                    os.rename(path, "/pfs/.scratch/gone-%d" % time.time_ns())
                    os.symlink("@LURE@", path)
                except OSError:
                    pass
"""


def _daemon(condition: str) -> str:
    return f"cat > /tmp/daemon.py <<'END'\n{_DAEMON.replace('{condition}', condition)}\nEND\npython3 /tmp/daemon.py"


ATTEMPTS = (
    Attempt("let out be a link to a folder of the host", INSIDE, _REPLACE.format("rmdir $out; ln -s @LURE@ $out")),
    Attempt(
        "let the datum's folder be a link to the host",
        INSIDE,
        _REPLACE.format("d=$(dirname $out); mkdir @LURE@/out; cp @LURE@/* @LURE@/out/; mv $d $d.away; ln -s @LURE@ $d"),
    ),
    Attempt(
        "let a folder above the datum's be a link to the host",
        INSIDE,
        _REPLACE.format("d=$(dirname $(dirname $(dirname $out))); mv $d $d.away; ln -s @LURE@ $d"),
    ),
    Attempt("commit a file of the host by a link", INSIDE, "ln -s @LURE@/@BAIT@ /pfs/out/l$PACH_DATUM_ID"),
    Attempt("commit a folder of the host by a link", INSIDE, "ln -s @LURE@ /pfs/out/l$PACH_DATUM_ID"),
    Attempt("commit what is above a folder of the host", INSIDE, "ln -s $(dirname @LURE@) /pfs/out/l$PACH_DATUM_ID"),
    Attempt("commit the host by links that climb", INSIDE, "ln -s ../../../../../../../../../..@LURE@ /pfs/out/l$PACH_DATUM_ID"),
    Attempt(
        "commit the host by links of processes", INSIDE, "for p in 1 self; do ln -s /proc/$p/root@LURE@ /pfs/out/$p$PACH_DATUM_ID; done"
    ),
    Attempt(
        "commit the home by a link", INSIDE, "ln -s @HOME@ /pfs/out/l$PACH_DATUM_ID; ln -s @HOME@/records.sqlite /pfs/out/r$PACH_DATUM_ID"
    ),
    Attempt("commit the host with a failed command", INSIDE, "rm -rf /pfs/out; ln -s @LURE@ /pfs/out; exit 1"),
    Attempt(
        "commit the host by the error command",
        INSIDE,
        "exit 1",
        (("transform", {"cmd": ["bash"], "stdin": ["exit 1"], "err_cmd": ["sh"], "err_stdin": ["ln -s @LURE@ /pfs/out/l; exit 0"]}),),
    ),
    Attempt("swap out for a link while it is collected", INSIDE, _daemon("name == 'out'")),
    Attempt("swap folders of outputs for links while they are collected", INSIDE, _daemon("'/out' in folder")),
    Attempt("swap inputs for links while they are laid out", INSIDE, _daemon("name == 'in'"), (("datum_set_spec", {"number": 3}),)),
    Attempt("swap parts for links while they are laid out", INSIDE, _daemon("'parts' in name"), (("datum_set_spec", {"number": 3}),)),
    Attempt("swap all folders for links", INSIDE, _daemon("'gone' not in path"), (("datum_set_spec", {"number": 3}),)),
    Attempt(
        "swap lazy inputs for links until they are closed",
        DESCRIPTORS,
        _daemon("name in ('in', 'a', 'b', 'c')"),
        (("input", {"pfs": {"repo": "data", "name": "in", "glob": "/*", "lazy": True}}),),
    ),
    Attempt("hold the engine by a pipe", INSIDE, "mkfifo /pfs/out/p$PACH_DATUM_ID; echo x > /pfs/out/x$PACH_DATUM_ID"),
    Attempt("let out be a pipe", INSIDE, "out=$(readlink -f /pfs/out); rmdir $out; mkfifo $out"),
    Attempt("let out be a file", INSIDE, "out=$(readlink -f /pfs/out); rmdir $out; echo x > $out"),
    Attempt("commit a device", INSIDE, "mknod /pfs/out/d$PACH_DATUM_ID c 1 5 || true"),
    Attempt("change inputs for the next datum", INSIDE, "echo bad > $(readlink -f /pfs/in/*); rm -rf /pfs/in/*; true"),
    Attempt(
        "nest folders deeper than a path is long",
        DESCRIPTORS,
        "python3 -c \"import os; os.chdir('/tmp')\nfor n in range(3000): os.mkdir('a'); os.chdir('a')\"",
    ),
    Attempt(
        "leave what nobody may look into", DESCRIPTORS, "mkdir -p /tmp/x/y /pfs/out/x; touch /tmp/x/y/z; chmod 0 /tmp/x/y /tmp/x /pfs/out/x"
    ),
    Attempt("stop the launcher and all processes", INSIDE, "kill -STOP -1; kill -9 -1; true"),
    Attempt("leave processes that go on", INSIDE, "for n in 1 2 3; do setsid sleep 600 > /dev/null 2>&1 < /dev/null & done; true"),
)


@dataclass(frozen=True)
class Host:
    lure: Path
    bait: str


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A folder of the host with one file; below /srv or /opt, as the temporary folders of the host are hidden twice."""
    parent = next((folder for folder in ("/srv", "/opt") if os.access(folder, os.W_OK)), str(tmp_path))
    with tempfile.TemporaryDirectory(prefix="lure-", dir=parent) as folder:
        bait = f"bait{uuid.uuid4().hex[:12]}"
        Path(folder, bait).write_text(bait)
        yield Host(Path(folder), bait)


def _filled(value: Any, host: Host, home: Path) -> Any:
    if isinstance(value, str):
        return value.replace("@LURE@", str(host.lure)).replace("@BAIT@", host.bait).replace("@HOME@", str(home))
    if isinstance(value, dict):
        return {key: _filled(part, host, home) for key, part in value.items()}
    return [_filled(part, host, home) for part in value] if isinstance(value, list) else value


@needs_sandbox
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.name for attempt in ATTEMPTS])
def test_the_engine_is_no_way_out(home: Path, host: Host, attempt: Attempt) -> None:
    machine = Machine(home, SandboxExecutor(), jobs=1)
    machine.put("data@master", {"/a": "1", "/b": "2", "/c": "3" * 2_000_000})  # one that is brought as a part
    fields = {"datum_tries": 1, **_filled(dict(attempt.fields), host, home)}
    machine.script("p", _filled(attempt.script, host, home), datum_timeout="20s", **fields)
    machine.run_all()
    assert machine.state("p") in (JobState.SUCCESS, JobState.FAILURE)

    assert os.listdir(host.lure) == [host.bait]
    assert (host.lure / host.bait).read_text() == host.bait
    written = machine.files("p@master") if machine.state("p") is JobState.SUCCESS else {}
    assert not [path for path, content in written.items() if host.bait in path or host.bait in content or "SQLite" in content]
    assert host.bait not in "".join(str(line) for line in machine.runner.logs(PipelineRef("default", "p")) if line.get("user"))
    # All goes on, with the inputs as they were.
    machine.real = machine.executor
    machine.pipeline("next", "data:/*", copy)
    machine.run_all()
    assert machine.files("next@master") == machine.files("data@master") == {"/a": "1", "/b": "2", "/c": "3" * 2_000_000}
    assert machine.runner.fsck() == []
    assert not any(folder.exists() for folder in machine.runner.database.home.workers)
    machine.close()
