"""The `pachctl` that user code finds on its PATH, bound to the home its datum is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine

SCRIPT = (
    "set -e",
    "pachctl get file other@master:/word > /pfs/out/word",
    "echo seen | pachctl put file notes@master:/$PACH_DATUM_ID",
    "pachctl list file notes@master > /dev/null",
)


@pytest.mark.parametrize("executor", [SandboxExecutor(), ProcessExecutor()], ids=["sandbox", "process"])
def test_user_code_reads_and_writes_repos_of_its_own_home(home: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    if executor.why_not():
        pytest.skip(executor.why_not())
    # Wherever the engine was started from, and whatever else is there.
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(home.parent / "elsewhere"))
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "1"})
    machine.put("other@master", {"/word": "hello"})
    machine.repo("notes")
    machine.script("p", *SCRIPT, input="/")
    machine.run_all()
    assert machine.state("p") is JobState.SUCCESS
    assert machine.files("p@master") == {"/word": "hello"}
    (info,) = machine.runner.list_datum(machine.job("p").job)
    assert machine.files("notes@master") == {f"/{info.datum.id}": "seen\n"}
    machine.close()
