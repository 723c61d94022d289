"""Every executor that runs real processes leaves the same commits behind: the same history, twice, compared down to hashes and tags."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings

from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.datums import DatumInfo
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import CommitQuery
from tests.reference.machine import Machine
from tests.support.histories import Event, begin, happen, histories

WHY_NOT = SandboxExecutor().why_not()

# Copies, links to the input, folders, a pipe, names with blanks; what says "bad" fails, what says "mended" is recovered.
UP = (
    'grep -rq bad "$in" && exit 3',
    'grep -rqw mended "$in" && exit 4',
    'name=$(basename "$in")',
    "mkdir /pfs/out/copies /pfs/out/links /pfs/out/empty && mkfifo /pfs/out/pipe",
    'cp -r "$in" "/pfs/out/copies/$name"',
    'ln -s "$in" "/pfs/out/links/$name"',
    'test -d "$in" && ls -R "$in" | wc -l > "/pfs/out/about $name"',
    "true",
)
DOWN = ("cat $(find -L /pfs/in -type f | sort) | sort > /pfs/out/all", "ln -s /pfs/in /pfs/out/as-it-was")
MEND: dict[str, Any] = {"err_cmd": ["sh", "-c", "grep -rqw mended /pfs/in/"]}

PATHS = ["/a", "/b c", "/d/x", "/d/y", "/d/e/z", "/big"]
CONTENTS = ["1", "2", "bad", "mended", "", "x" * 1_200_000, None]


def history(machine: Machine, seed: int) -> None:
    """Commits, failures, updates, and work between some of them; the same for the same seed."""
    chance = random.Random(seed)
    up = {"pfs": {"repo": "data", "name": "in", "glob": "/*"}}
    down = {"pfs": {"repo": "up", "name": "in", "glob": "/"}}
    machine.put("data@master", {"/a": "first", "/d/x": "first"})
    machine.script("up", *UP, input=up, transform=MEND, datum_tries=2)
    machine.script("down", *DOWN, input=down)
    machine.run_all()
    for _ in range(6):
        machine.put("data@master", {path: chance.choice(CONTENTS) for path in chance.sample(PATHS, 2)})
        if chance.random() < 0.7:
            machine.run_all()
    machine.script("up", *UP, "touch /pfs/out/$PACH_DATUM_ID", input=up, transform=MEND, update=True, datum_tries=1)
    machine.put("data@master", dict.fromkeys(PATHS, "good"))
    machine.run_all()
    machine.put("data@master", {"/d/y": "bad", "/a": None})
    machine.run_all()
    machine.script("down", *DOWN, input=down, update=True, reprocess=True)
    machine.put("data@master", {"/d/y": "mended"})
    machine.run_all()


def account(machine: Machine) -> list[dict[str, Any]]:
    """Everything of all jobs that is not a time or an id made by chance, oldest first."""
    jobs = (info for name in ("up", "down") for info in reversed(machine.jobs(name)))
    return [_job(machine, info) for info in jobs]


def _job(machine: Machine, info: JobInfo) -> dict[str, Any]:
    commit = CommitQuery(info.job.pipeline.repo, id=info.job.id)
    return {
        "pipeline": info.job.pipeline.name,
        "version": info.pipeline_version,
        "end": (info.state, info.reason.replace(info.job.id, "job"), info.counters),
        "bytes": (info.stats.download_bytes, info.stats.upload_bytes),
        "files": _files(machine, commit),
        "datums": [_datum(datum) for datum in machine.runner.list_datum(info.job)],
    }


def _files(machine: Machine, commit: CommitQuery) -> list[tuple[object, ...]] | None:
    """None for a commit that was squashed or dropped, and for content that nobody can read."""
    with contextlib.suppress(LocalRunnerError):
        return [(file.path, file.hash, file.size, file.datum) for file in machine.runner.glob_file(commit, "/**")]
    return None


def _datum(info: DatumInfo) -> tuple[object, ...]:
    return info.datum.id, info.state, info.reason, [(file.path, file.hash, file.size) for file in info.datum.inputs]


@contextlib.contextmanager
def machines() -> Iterator[tuple[Machine, Machine]]:
    """One with processes, one with sandboxes. A command at a time, so that it is the same datum that is the first to fail."""
    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:

        def machine(executor: Executor) -> Machine:
            return stack.enter_context(contextlib.closing(Machine(Path(folder) / executor.name, executor, jobs=1)))

        yield machine(ProcessExecutor()), machine(SandboxExecutor())


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
@pytest.mark.parametrize("seed", range(3))
def test_processes_and_sandboxes_leave_the_same_commits(seed: int) -> None:
    with machines() as both:
        for machine in both:
            history(machine, seed)
        process, sandbox = map(account, both)
    for expected, found in zip(process, sandbox, strict=True):
        assert found == expected
    # It would be nothing to agree on a history in which nothing happens.
    assert {job["end"][0].word for job in sandbox} >= {"success", "failure", "unrunnable"}
    assert any(job["end"][2].recovered for job in sandbox)


def make(machine: Machine, name: str, update: bool, reprocess: bool) -> None:
    source, script = {"up": ({"repo": "data", "glob": "/*"}, UP), "down": ({"repo": "up", "glob": "/"}, DOWN)}[name]
    machine.script(name, *script, input={"pfs": {"name": "in", **source}}, update=update, reprocess=reprocess, datum_tries=1)


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
@settings(max_examples=5, deadline=None)
@given(histories(longest=6))
def test_any_history_leaves_the_same_commits_whether_processes_or_sandboxes_ran_it(events: list[Event]) -> None:
    with machines() as both:
        for machine in both:
            begin(machine, partial(make, machine))
            happen(machine, partial(make, machine), [*events, ("work", None)])
        process, sandbox = map(account, both)
    assert sandbox == process
