"""Jobs whose datums run on the workers of a Dask cluster: the same commits, whatever happens to workers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_runner.executors.base import Executor
from local_runner.executors.table import choose
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine

if TYPE_CHECKING:
    from local_runner.executors.dask.executor import DaskExecutor
    from tests.support.dask_cluster import DaskCluster

LARGE = os.urandom(3_000_000)


def executor_of(cluster: DaskCluster, **more: Any) -> DaskExecutor:
    from local_runner.executors.dask.executor import DaskExecutor

    return DaskExecutor(cluster.settings(**more))


@pytest.fixture
def on_dask(dask_of_tests: DaskCluster) -> Iterator[DaskExecutor]:
    executor = executor_of(dask_of_tests)
    yield executor
    executor.close()


def results(home: Path, executor: Executor) -> dict[str, Any]:
    """What a job leaves that is given inputs of all kinds, copies, changes, links and prints."""
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "small", "/b": LARGE, "/c/d": "deep", "/c/e": b""})
    machine.put("more@master", {"/x": "1", "/y": LARGE[:100_000]})
    cross = [
        {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
        {"pfs": {"repo": "more", "name": "lazily", "glob": "/*", "lazy": True}},
    ]
    lines = [
        "cd /pfs/out; mkdir $PACH_DATUM_ID; cp -r /pfs/in/* $PACH_DATUM_ID/; cat /pfs/lazily/* > $PACH_DATUM_ID.lazy",
        "ln -s /pfs/in/* $PACH_DATUM_ID.link; echo $in; echo changed >> /pfs/.env",
    ]
    machine.script("p", *lines, input={"cross": cross})
    machine.run_all()
    assert machine.job("p").state is JobState.SUCCESS, machine.reasons("p")
    found = {path: info.hash for path, info in listed(machine, "p@master").items()}
    stats = machine.job("p").stats
    machine.close()
    return {"files": found, "downloaded": stats.download_bytes, "uploaded": stats.upload_bytes}


def listed(machine: Machine, commit: str) -> dict[str, Any]:
    from local_runner.model.refs import parse_file

    return {info.path: info for info in machine.runner.walk_file(parse_file(f"{commit}:/"))}


def test_a_job_leaves_the_same_bytes_as_in_the_sandbox(on_dask: DaskExecutor, tmp_path: Path) -> None:
    assert results(tmp_path / "far/home", on_dask) == results(tmp_path / "near/home", choose("auto")[0])
