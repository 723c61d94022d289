"""What a verb costs in a home of many pipelines, beside a home of few: creating one, putting one file, asking how things stand.

python benchmarks/many_pipelines.py [PIPELINES]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import machine, median, table, verdict

from local_runner.model.refs import RepoRef, parse_commit
from local_runner.pipelines.status import pipeline_status
from local_runner.runner import Runner

FEW = 10
ROUNDS = 7
NEW_BAR, PUT_BAR, STATUS_BAR = 2.0, 0.2, 1.0  # one more pipeline, times that among few; seconds of a put; seconds of a status
SHAPES = ("a chain", "all over one repo")


def fill(runner: Runner, shape: str, number: int) -> float:
    """Create so many pipelines; returns what the last `FEW` took, each."""
    began = 0.0
    for at in range(number):
        if at == number - FEW:
            began = time.process_time()
        create(runner, f"p{at}", f"p{at - 1}" if at and shape == SHAPES[0] else "data")
    return (time.process_time() - began) / FEW


def create(runner: Runner, name: str, source: str) -> None:
    document = {"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": source, "glob": "/*"}}}
    runner.create_pipeline(document, project="default")


def put(runner: Runner, content: bytes) -> None:
    with runner.modify_file(parse_commit("data@master")) as change:
        change.put("/file", content)


def took(work: Callable[[int], object]) -> float:
    """Processor time, the median of some rounds."""
    times = []
    for number in range(ROUNDS):
        began = time.process_time()
        work(number)
        times.append(time.process_time() - began)
    return median(times)


def measured(shape: str, number: int) -> tuple[float, float, float, float]:
    """Seconds of: one more pipeline below the last, one beside all, one put at the top, and a status."""
    with tempfile.TemporaryDirectory() as folder, Runner.open(Path(folder) / "home", background=False) as runner:
        for name in ("data", "other"):
            runner.create_repo(RepoRef("default", name))
        put(runner, b"first")
        below = fill(runner, shape, number)
        beside = took(lambda at: create(runner, f"beside{at}", "other"))
        one_put = took(lambda at: put(runner, str(at).encode()))
        with runner.database.read() as session:
            status = took(lambda at: pipeline_status(session))
        return below, beside, one_put, status


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print(machine(), end="\n\n")
    rows = []
    for shape in SHAPES:
        few, full = measured(shape, FEW), measured(shape, many)
        for name, at in (("one more below", 0), ("one more beside", 1)):
            ratio = full[at] / few[at]
            rows.append((shape, name, few[at] * 1000, full[at] * 1000, ratio, verdict(ratio, NEW_BAR)))
        for name, at, bar in (("one put at the top", 2, PUT_BAR), ("status", 3, STATUS_BAR)):
            rows.append((shape, name, few[at] * 1000, full[at] * 1000, full[at] / few[at], f"{verdict(full[at], bar)} s"))
    print(table(("shape", "verb", f"among {FEW}, ms", f"among {many}, ms", "ratio", "bar"), rows))


if __name__ == "__main__":
    main()
