"""The executor `dask`, on a real scheduler with real workers: what it owes the engine as any executor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_runner.errors import ClusterLost, Unavailable
from local_runner.executors.base import Executor, RunRequest, WorkerRequest
from tests.contracts.bench import Bench, soon
from tests.contracts.executor import ExecutorContract
from tests.contracts.isolation import IsolationContract

if TYPE_CHECKING:
    from local_runner.executors.dask.executor import DaskExecutor
    from tests.support.dask_cluster import DaskCluster


@pytest.fixture(scope="module")
def shared(dask_of_tests: DaskCluster) -> Iterator[DaskExecutor]:
    from local_runner.executors.dask.executor import DaskExecutor

    executor = DaskExecutor(dask_of_tests.settings())
    yield executor
    executor.close()


class TestDaskExecutor(ExecutorContract, IsolationContract):
    python = sys.executable

    @pytest.fixture
    def executor(self, shared: DaskExecutor, dask_of_tests: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> DaskExecutor:
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", dask_of_tests.address)  # for engines of processes of their own
        monkeypatch.setenv("DASK_LOCAL_RUNNER_LEASE", "3")
        monkeypatch.setenv("DASK_LOCAL_RUNNER_CACHE", str(dask_of_tests.folder / "cache"))
        return shared

    @pytest.fixture
    def bench(self, executor: Executor, tmp_path: Path) -> Iterator[Bench]:
        """Its folders are those of the other machine, which here happens to be this one."""
        with self.open(executor, tmp_path) as worker:
            yield Bench(worker, Path(worker.place))  # type: ignore[attr-defined]

    # What it owes nobody: it says so

    def test_a_command_may_have_a_terminal(self, bench: Bench) -> None:
        """There is none to lend on another machine."""
        from local_runner.executors.terminal import Terminal

        with pytest.raises(Unavailable, match="terminal cannot be lent"):
            bench.run("true", terminal=Terminal(0, 1))

    test_ctrl_c_at_a_terminal_is_for_the_command = None  # type: ignore[assignment]
    test_a_command_is_told_when_its_terminal_changes_its_size = None  # type: ignore[assignment]
    test_a_terminal_bears_much_in_both_directions = None  # type: ignore[assignment]
    test_a_command_that_cannot_be_started_leaves_the_terminal_as_it_was = None  # type: ignore[assignment]
    test_the_port_of_the_runner_is_reached_and_no_other = None  # type: ignore[assignment]
    test_a_worker_whose_launcher_was_killed_is_broken = None  # type: ignore[assignment]  # it is no child of this process
    test_pachctl_comes_last_in_path_and_has_the_runner_do_what_is_asked = None  # type: ignore[assignment]  # docs/DASK.md


def test_workers_that_only_the_scheduler_reaches_are_asked_by_way_of_it(
    dask_of_tests: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from outside of a network of containers whose scheduler has a port there."""
    from local_runner.executors.dask.executor import DaskExecutor

    executor = DaskExecutor(dask_of_tests.settings())
    pool, theirs = executor.cluster._client.rpc, {worker.address for worker in executor.cluster.workers()}
    connect = pool.connect

    async def refused(address: str, *more: Any, **options: Any) -> Any:
        if address in theirs:
            raise OSError("no route to host")
        return await connect(address, *more, **options)

    monkeypatch.setattr(pool, "connect", refused)
    try:
        assert executor.capabilities.runs_programs
        with executor.worker(WorkerRequest("p-1", tmp_path / "pfs", tmp_path / "folder", {"PATH": os.defpath})) as worker:
            assert worker.run(RunRequest(("true",), {}, None, lambda *_: None)).exit_code == 0
    finally:
        executor.close()


def test_it_is_said_how_user_code_runs_there(dask_of_tests: DaskCluster) -> None:
    """Where a worker's machine has no sandbox, `auto` is something else there than here."""
    from local_runner.executors.table import choose

    settings = dask_of_tests.settings(executor="process")
    table = {"scheduler": settings.scheduler, "cache": settings.cache, "executor": "process"}
    executor, why = choose("dask", lambda: table)
    executor.close()
    assert why.endswith("; there executor process, as asked")


def test_a_worker_that_is_frozen_does_not_keep_others_from_being_kept(dask_of_tests: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from local_runner.executors.dask.executor import DaskExecutor

    executor = DaskExecutor(dask_of_tests.settings(lease=1.0))
    cluster, kept = executor.cluster, []

    async def send(address: str, message: bytes) -> None:
        if address == "frozen":
            await asyncio.sleep(60)
        kept.append(address)

    monkeypatch.setattr(cluster, "_send", send)
    try:
        cluster.lease("1", "frozen")
        cluster.lease("2", "well")
        assert soon(lambda: len(kept) > 3, 10.0)
    finally:
        executor.close()


def test_a_scheduler_that_is_frozen_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from local_runner.executors.dask import cluster
    from local_runner.executors.dask.executor import DaskExecutor
    from tests.support.dask_cluster import DaskCluster

    monkeypatch.setattr(cluster, "_SILENT_SECONDS", 1.0)
    own = DaskCluster(tmp_path, 1)
    executor = DaskExecutor(own.settings(lease=1.0))
    try:
        assert soon(lambda: bool(executor.cluster.workers()))
        with executor.worker(WorkerRequest("p-1", tmp_path / "pfs", tmp_path / "folder", {"PATH": os.defpath})) as worker:
            own.kill("scheduler", signal.SIGSTOP)
            with pytest.raises(ClusterLost, match="does not answer"):
                worker.run(RunRequest(("true",), {}, None, lambda *_: None))
    finally:
        own.kill("scheduler", signal.SIGCONT)
        executor.close()
        own.close()


def test_a_cache_that_cannot_be_made_is_told_in_words(dask_of_tests: DaskCluster) -> None:
    from local_runner.executors.dask.executor import DaskExecutor

    executor = DaskExecutor(dask_of_tests.settings(cache="/proc/nothing/cache"))
    with pytest.raises(Unavailable, match="the cache of contents /proc/nothing/cache of a worker's machine cannot be written"):
        executor.cluster  # noqa: B018  # it connects
