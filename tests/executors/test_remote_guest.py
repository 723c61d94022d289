"""Workers for an engine elsewhere, without a cluster between: what comes back is what there was, and nothing is waited for in vain."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.base import RunRequest, RunResult, WorkerRequest
from local_runner.executors.host_files import VARIABLE
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.remote import wire
from local_runner.executors.remote.contents import Sender
from local_runner.executors.remote.host import HostSettings, RemoteHost
from local_runner.executors.remote.worker import RemoteWorker
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.file_hash import file_hash
from tests.contracts.bench import soon


class Near:
    """The way to a host of this process."""

    where = cache = "here"

    def __init__(self, host: RemoteHost) -> None:
        self.host = host

    def ask(self, verb: str, *details: Any) -> Any:
        return wire.value_of(self.host.answer(wire.question(verb, *details)))

    def submit(self, worker: str, number: int, label: str) -> Near:
        threading.Thread(target=self.host.run, args=(worker, number), daemon=True).start()
        return self

    def trouble(self) -> str:
        return ""

    def drop(self) -> None:
        pass


class Store:
    """Contents by their hashes."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {file_hash(content): content for content in contents}

    def read(self, name: bytes) -> list[bytes]:
        return [self.contents[name]]

    def file(self, name: bytes) -> Path | None:
        return None


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Near]:
    host = RemoteHost(HostSettings("process", str(tmp_path / "cache"), cache_bytes=1 << 20), tmp_path / "workers", "test")
    yield Near(host)
    host.close()


def opened(near: Near, tmp_path: Path, *contents: bytes, **more: Any) -> RemoteWorker:
    request = WorkerRequest("p-1", tmp_path / "pfs", tmp_path / "folder", {"PATH": os.defpath}, contents=Store(*contents), **more)
    return RemoteWorker(near, request, Sender(), lease=60.0)


def tree(*contents: bytes) -> Tree:
    """A datum with these contents as its input, and a folder for output."""
    folder = ".scratch/set/one/pfs/one"
    stored = [(f"in/{number}", file_hash(content), len(content), False) for number, content in enumerate(contents)]
    return Tree(folder, {"in": f"{folder}/in", "out": f"{folder}/out"}, [("in", 0o755), ("out", 0o777)], stored=stored)


def run(worker: RemoteWorker, given: Tree, shell: str) -> RunResult:
    return worker.run(RunRequest(("sh", "-c", worker.translate(shell)), {}, given, lambda *_: None))


@pytest.mark.parametrize("size", [0, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_what_lies_on_another_disk_comes_back_whole(near: Near, tmp_path: Path, size: int) -> None:
    """Such a file is not handed over by the launcher, but comes in small pieces."""
    elsewhere = Path("/dev/shm", f"local_runner-{os.getpid()}")
    elsewhere.write_bytes(os.urandom(size))
    worker = opened(near, tmp_path)
    try:
        assert run(worker, tree(), f"ln -s {elsewhere} /pfs/out/file").exit_code == 0
        assert [found.content.read() for found in worker.collect(tree().folder, ["out"], [])] == [elsewhere.read_bytes()]
    finally:
        worker.close()
        elsewhere.unlink()


def test_a_datum_that_is_larger_than_the_cache_gets_all_its_files(near: Near, tmp_path: Path) -> None:
    contents = [os.urandom(300_000) for _ in range(8)]
    worker = opened(near, tmp_path, *contents)
    assert run(worker, tree(*contents), "cat /pfs/in/* > /pfs/out/file").exit_code == 0
    assert [found.content.read() for found in worker.collect(tree().folder, ["out"], [])] == [b"".join(contents)]
    worker.close()


def test_what_does_not_fit_into_the_cache_at_once_is_said(near: Near, tmp_path: Path) -> None:
    """A process that stays is given all files of a datum at once."""
    contents = [os.urandom(300_000) for _ in range(8)]
    worker = opened(near, tmp_path, *contents)
    for bring in (worker.lay, worker.bring):
        with pytest.raises(Unavailable, match="no room for all that is needed at once"):
            bring(tree(*contents))
    worker.close()


def test_a_worker_that_stays_in_the_way_does_not_keep_others_alive(near: Near, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for lease in (0.0, 0.0):
        RemoteWorker(near, WorkerRequest("p-1", tmp_path / "pfs", tmp_path / "folder", {}), Sender(), lease=lease)
    guests = near.host._guests

    def fail() -> None:
        raise OSError("busy")

    monkeypatch.setattr(next(iter(guests.values())), "close", fail)
    assert soon(lambda: not guests)


def test_a_cancel_that_comes_late_is_not_for_the_next_command(near: Near, tmp_path: Path) -> None:
    worker = opened(near, tmp_path)
    run(worker, tree(), "true")
    late = threading.Timer(0.2, lambda: near.ask("cancel", worker.id, 1))
    late.start()
    assert run(worker, tree(), "sleep 0.5").exit_code == 0
    late.join()
    worker.close()


def test_a_command_is_run_once_even_if_a_cluster_asks_again(near: Near, tmp_path: Path) -> None:
    """Its output is being collected by then."""
    worker = opened(near, tmp_path)
    run(worker, tree(), "echo ran >> /pfs/out/file")
    near.host.run(worker.id, 1)
    assert [found.content.read() for found in worker.collect(tree().folder, ["out"], [])] == [b"ran\n"]
    worker.close()


@pytest.mark.skipif(bool(SandboxExecutor().why_not()), reason="the sandbox does not work here")
def test_the_folders_of_other_workers_are_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the machine shows what is around them: secrets of other pipelines lie there."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "secret").write_text("hush")
    host = RemoteHost(HostSettings("sandbox", str(tmp_path / "cache")), tmp_path / "workers", "test")
    near, said = Near(host), []
    one = opened(near, tmp_path, mounts={"/secret": tmp_path / "secret"})
    two = opened(near, tmp_path)
    script = f"find {tmp_path}/workers -type f | grep -c mounts"
    two.run(RunRequest(("sh", "-c", script), {}, None, lambda stream, block: said.append(block)))
    assert b"".join(said).strip() == b"0"
    one.close()
    two.close()
    host.close()
