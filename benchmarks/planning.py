"""From files to a plan: seconds and peak memory of many datums, for a first job with pretended user code and for one with nothing to do.

python benchmarks/planning.py [CASE …]      # each step in a process of its own, so that its memory is its own
python benchmarks/planning.py --profile CASE     # where the time of the first job goes, on the thread of the engine
"""

from __future__ import annotations

import cProfile
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from measure import machine, table, verdict

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.executors.scripted import ScriptedExecutor
from local_runner.model.inputs import leaves
from local_runner.model.refs import CommitQuery, PipelineRef, RepoRef
from local_runner.planning.plan import plan_job
from local_runner.planning.prepare import datums_of
from local_runner.repos.commits import resolve
from local_runner.runner import Runner
from local_runner.specs.inputs import parse_input
from local_runner.storage.home import open_home
from local_runner.storage.usage import usage

PIPELINE = PipelineRef("default", "planned")
PROMISED, LARGEST = "100000 files", "1000000 files"
# Seconds, MB; for the cases they are promised for.
BARS: Mapping[str, Mapping[str, tuple[float | None, float | None]]] = {
    PROMISED: {"plan": (2.0, 300), "first": (30, 300), "again": (1.5, None)},
    LARGEST: {"plan": (None, 1000), "again": (12, None)},
}
_ROOM = 1000  # bytes that the store grows by with each datum of a first job, in the case that is promised


def _each(repo: str, **more: str) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": "/*", **more}}


def _keyed(repo: str, word: str) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": "/(*)-*", word: "$1"}}


# Name -> (repo -> number of files in it, input). File n of a repo is called /<n // 5>-<n>, so that five make a group.
CASES: Mapping[str, tuple[Mapping[str, int], dict[str, Any]]] = {
    "1000 files": ({"a": 1_000}, _each("a")),
    "10000 files": ({"a": 10_000}, _each("a")),
    PROMISED: ({"a": 100_000}, _each("a")),
    LARGEST: ({"a": 1_000_000}, _each("a")),
    "cross 300 x 300": ({"a": 300, "b": 300}, {"cross": [_each("a"), _each("b")]}),
    "join 10000 x 10000": (
        {"a": 10_000, "b": 10_000},
        {"join": [{"pfs": {"repo": repo, "glob": "/*-(*)", "joinOn": "$1"}} for repo in ("a", "b")]},
    ),
    "group of 50000": ({"a": 50_000}, {"group": [_keyed("a", "groupBy")]}),
}


def fill(runner: Runner, case: str) -> int:
    for name, files in CASES[case][0].items():
        repo = RepoRef("default", name)
        runner.create_repo(repo)
        with runner.modify_file(CommitQuery(repo, "master")) as changes:
            for number in range(files):
                changes.put(f"/{number // 5:05}-{number:05}", b"%d\n" % number)
    return 0


def plan(runner: Runner, case: str) -> int:
    """Enumerate and plan from the store, as a job does before its first datum."""
    with runner.database.read() as session:
        expression = parse_input(CASES[case][1], "", "default")
        commits = {leaf.source: resolve(session, CommitQuery(leaf.source.repo, "master")) for leaf in leaves(expression)}
        datums, _ = datums_of(session, expression, commits)
        return plan_job(datums, {}, "salt").total


def first(runner: Runner, case: str) -> int:
    spec = {
        "pipeline": {"name": PIPELINE.name},
        "transform": {"cmd": ["true"]},
        "input": CASES[case][1],
        "parallelism_spec": {"constant": 2},
        "datum_set_spec": {"number": 1000},
    }
    with engine_of(runner, EngineConfig(ScriptedExecutor(lambda datum: 0), 2)) as engine:
        runner.create_pipeline(spec, project="default")
        engine.work()
    counters = next(iter(runner.list_job())).counters
    assert counters.processed == counters.total, counters
    return counters.total


def again(runner: Runner, case: str) -> int:
    """A new version of the same pipeline: a job that reuses every datum."""
    with engine_of(runner, EngineConfig(ScriptedExecutor(lambda datum: 1), 2)) as engine:
        runner.rerun_pipeline(PIPELINE)
        engine.work()
    counters = next(iter(runner.list_job())).counters
    assert counters.skipped == counters.total, counters
    return counters.total


STEPS = {"fill": fill, "plan": plan, "first": first, "again": again}


def step(home: str, case: str, name: str) -> None:
    """In a process of its own: do it and print [datums, seconds, peak MB]."""
    with Runner.open(Path(home), background=False) as runner:
        began = time.perf_counter()
        count = STEPS[name](runner, case)
        took = time.perf_counter() - began
    print(json.dumps([count, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, usage(open_home(Path(home))).total]))


def measure(case: str) -> list[object]:
    row: list[object] = [case]
    before = 0
    with tempfile.TemporaryDirectory(prefix="planning-") as folder:
        for name in STEPS:
            argv = [sys.executable, __file__, "--step", f"{folder}/home", case, name]
            count, seconds, memory, size = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
            if name == "plan":
                row.append(count)
                before = size
            if name != "fill":
                most, megabytes = BARS.get(case, {}).get(name, (None, None))
                row.append(f"{seconds:.3g}" + (f" {verdict(seconds, most)}" if most else ""))
                row.append(f"{memory}" + (f" {verdict(memory, megabytes)}" if megabytes else ""))
            if name == "first":
                grown = (size - before) / count
                row.append(f"{grown:.0f}" + (f" {verdict(grown, _ROOM)}" if case == PROMISED else ""))
    return row


def main(cases: Iterable[str]) -> None:
    print(machine())
    head = ("input", "datums", "plan, s", "MB", "first job, s", "MB", "store, bytes a datum", "no change, s", "MB")
    print(table(head, [measure(case) for case in cases]))


def profile(case: str) -> None:
    with tempfile.TemporaryDirectory(prefix="planning-") as folder:
        step(f"{folder}/home", case, "fill")
        profiler = cProfile.Profile()
        profiler.runcall(step, f"{folder}/home", case, "first")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        step(*sys.argv[2:])
    elif sys.argv[1:2] == ["--profile"]:
        profile(sys.argv[2])
    else:
        main(sys.argv[1:] or [case for case in CASES if case != LARGEST])
