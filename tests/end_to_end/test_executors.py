"""The same search by every executor, its warm stages batched or started for each datum: the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.refs import parse_file
from local_runner.runner import Runner
from tests.end_to_end.project import ProjectCopy
from tests.support.containers import why_not

Outcome = dict[str, tuple[list[tuple[str, int, str]], list[tuple[str, str]]]]

REASONS = {
    "sandbox": SandboxExecutor().why_not(),
    "process": ProcessExecutor().why_not(),
    "container": why_not(),
}


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    for package in ("sklearn", "python_pachyderm"):
        pytest.importorskip(package, reason="needs the extra `stages`")
    if REASONS["sandbox"]:
        pytest.skip(REASONS["sandbox"])
    return search(tmp_path_factory.mktemp("sandbox") / "project", "sandbox", batched=True)


# The client library of a batching stage reads /pfs/.env, which is not there where nothing is at /pfs.
@pytest.mark.parametrize(("executor", "batched"), [("sandbox", False), ("process", False), ("container", True), ("container", False)])
def test_every_executor_makes_the_same_bytes(wanted: Outcome, tmp_path: Path, executor: str, batched: bool) -> None:
    if REASONS[executor]:
        pytest.skip(REASONS[executor])
    assert search(tmp_path / "project", executor, batched=batched) == wanted


def search(root: Path, executor: str, *, batched: bool) -> Outcome:
    """A search over two models: pipeline -> the files of its output, and id and state of its datums."""
    project = ProjectCopy.fresh(root)
    project.write("parameters/c_parameters.txt", "8\n")
    project.write("parameters/gamma_parameters.txt", "0.25\n0.004\n")
    if not batched:
        for name in ("model", "test"):
            spec = json.loads((root / f"pipelines/{name}.json").read_text())
            del spec["transform"]["datum_batching"]
            project.write(f"pipelines/{name}.json", json.dumps(spec))
    ran = project.local_runner(f"--executor {executor}")
    assert ran.status == 0, ran.text
    found: Outcome = {}
    with Runner.open(root / ".local_runner", background=False) as runner:
        for job in runner.list_job(history=-1):
            name = job.job.pipeline.name
            files = [(file.path, file.size, file.hash.hex()) for file in runner.list_file(parse_file(f"{name}@master:/"))]
            found[name] = files, sorted((info.datum.id, info.state) for info in runner.list_datum(job.job))
    assert len(found["model"][0]) == 2
    return found
