"""Whatever programs do to their folders, each datum sees and leaves what it would if all its folders had been made for it alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine

ROOT = Path(__file__).parents[2]
MEDDLING = (ROOT / "tests/support/meddling.py").read_text()
ASKING = (ROOT / "benchmarks/asking.py").read_text().replace("def write_a_file(", "def _unused(")
PLAIN = [sys.executable, "-S", "-c", MEDDLING, "/pfs"]
BATCHING = [sys.executable, "-S", "-c", f"{MEDDLING}\nwrite_a_file = meddle_with_datum\n{ASKING}", "x"]
BATCHING[3] = BATCHING[3].replace('if __name__ == "__main__" and sys.argv[1:]:', "if False:")

FOLDERS = ["out", "in", "other", "other/x", "other/x/d", "out/d", "..", "../.."]
FILES = ["other/a", "other/x/d/b", "out/a", "out/d/b", "in/new", "new", "../new", ".env"]
ANY = st.sampled_from(FOLDERS + FILES)
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(FILES), st.sampled_from(["", "1", "22", "new content"])),
    st.tuples(
        st.sampled_from(["copy with dates", "dates"]), st.sampled_from(["in", "other", "other/x"]), st.sampled_from(["out", "out/d"])
    ),
    st.tuples(st.sampled_from(["dates", "hard link", "move", "link"]), ANY, ANY),
    st.tuples(st.sampled_from(["old", "remove", "folder", "access list", "hold"]), ANY, st.just("")),
    st.tuples(st.sampled_from(["map", "pipe"]), st.sampled_from(FILES), st.just("")),
    st.tuples(st.just("mode"), ANY, st.sampled_from(["0", "500", "700", "777", "4755"])),
    st.tuples(st.just("attribute"), ANY, st.text("ab", max_size=2)),
    st.tuples(st.just("daemon"), st.sampled_from(FOLDERS[:6]), st.just("")),
    st.tuples(st.just("fail"), st.just(""), st.just("")),
)
Ops = list[tuple[str, str, str]]
# What the model cannot tell: where `out` itself or a folder above it was taken away, what is collected is an error of its own.
SETTLED = {("remove", "out"), ("remove", ".."), ("remove", "../..")}


def is_settled(op: tuple[str, str, str]) -> bool:
    tells = ".env" in op[1:] and op[0] in ("move", "link", "hard link")  # what is in there no model knows
    moves_out = tells or (op[0] in ("move", "link", "hard link") and {"out", "..", "../..", "in", "other"} & set(op[1:]))
    return not moves_out and op[:2] not in SETTLED and not (op[0] == "hard link" and op[2].startswith(".."))


PROGRAMS = st.lists(st.lists(OPERATIONS.filter(is_settled), max_size=5), min_size=2, max_size=6)


INPUT = {"cross": [{"pfs": {"repo": "data", "name": "in", "glob": "/*"}}, {"pfs": {"repo": "other", "glob": "/"}}]}
OTHER = {"a": "content of a", "x/d/b": "b"}


def expected(number: int, ops: Ops, folder: Path) -> tuple[Any, dict[str, str] | None]:
    """What a datum sees, and what it leaves in `out` (None if it fails), in folders made for it alone."""
    own = folder / f"{number}"
    datum = own / "pfs" / "datum"
    for path, mode in (("", 0o755), ("out", 0o755), ("in", 0o700), ("other", 0o700), ("other/x", 0o755), ("other/x/d", 0o755)):
        (datum / path).mkdir(parents=True)
        (datum / path).chmod(mode)
    (datum / ".env").touch()
    for path, content in {f"in/{number}": json.dumps(ops), **{f"other/{path}": content for path, content in OTHER.items()}}.items():
        (datum / path).write_text(content)
    command = [sys.executable, "-S", "-c", MEDDLING, str(datum)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, umask=0o022)
    _, view = json.loads(done.stdout)
    left = {}
    for parent, names, files in os.walk(datum / "out"):
        for name in files + [name for name in names if Path(parent, name).is_symlink()]:
            path = Path(parent, name)
            inside = path.relative_to(datum / "out").as_posix()
            try:
                target = path.resolve(strict=True)
            except (OSError, RuntimeError):
                return view, None
            if target.is_dir():
                for file in target.rglob("*"):
                    if file.is_symlink() and not (file.exists() and file.resolve().is_file()):
                        return view, None
                    if file.is_fifo():
                        return view, None
                    if file.is_file():
                        left[f"/{inside}/{file.relative_to(target)}"] = file.read_text()
            elif target.is_file():
                left[f"/{inside}"] = target.read_text()
            elif path.is_symlink():
                return view, None
    return view, None if done.returncode else left


EXECUTORS: dict[str, type] = {"sandbox": SandboxExecutor, "process": ProcessExecutor}


@pytest.fixture(params=sorted(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> Executor:
    found: Executor = EXECUTORS[request.param]()
    if found.why_not():
        pytest.skip(found.why_not())
    return found


@pytest.mark.parametrize("batching", [False, True], ids=["plain", "batching"])
def test_each_datum_sees_and_leaves_what_it_would_in_folders_of_its_own(
    executor: Executor, batching: bool, reliability_scale: float
) -> None:
    @settings(
        max_examples=max(1, round(12 * reliability_scale)), suppress_health_check=list(HealthCheck), derandomize=reliability_scale <= 1
    )
    @given(PROGRAMS)
    def check(programs: list[Ops]) -> None:
        compare(executor, programs, batching)

    check()


def compare(executor: Executor, programs: list[Ops], batching: bool) -> None:
    if batching:  # one that fails ends the process of those after it
        programs = [[op for op in ops if op[0] not in ("fail", "daemon")] for ops in programs]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, closing(Machine(Path(folder) / "home", executor, jobs=1)) as machine:
        machine.put("data@master", {f"/{number}": json.dumps(ops) for number, ops in enumerate(programs)})
        machine.put("other@master", {f"/{path}": content for path, content in OTHER.items()})
        transform = {"cmd": BATCHING if batching else PLAIN, "stdin": [], "datum_batching": batching}
        machine.script(
            "p", input=INPUT, transform=transform, datum_tries=1, datum_set_spec={"number": 10}, parallelism_spec={"constant": 1}
        )
        machine.run_all()
        listed = list(machine.runner.list_datum(machine.job("p").job))
        datums = {int(file.path[1:]): info for info in listed for file in info.datum.inputs if file.source.name == "in"}
        saw = dict(json.loads(line) for line in machine.printed("p") if line.startswith('["'))
        models = Path(folder) / "models"
        wanted = {number: expected(number, ops, models) for number, ops in enumerate(programs)}
        for number, (view, left) in wanted.items():
            info = datums[number]
            assert json.loads(json.dumps(saw[f"{number}"]).replace(info.datum.id, "datum")) == view, programs[number]
            assert (info.state != "failed") == (left is not None), (programs[number], info.reason)
        if machine.state("p") is JobState.SUCCESS:
            found: dict[int, dict[str, str]] = {number: {} for number in datums}
            ids = {info.datum.id: number for number, info in datums.items()}
            for path, (content, tag) in machine._contents("p@master").items():
                found[ids[tag]][path] = content.decode()
            assert found == {number: left for number, (_, left) in wanted.items()}
