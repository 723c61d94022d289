"""Clients that wait, hang up, or come in crowds cost nothing that stays."""

import gc
import os
import threading
import time
from collections.abc import Callable

import pytest

from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef, parse_commit, parse_repo
from local_runner.server.listen import Done, Server
from local_runner.server.threads import CallThreads
from local_runner.storage.commit_records import CommitRecords, CommitRow
from tests.support.api_client import ApiClient, file
from tests.support.lab import Lab

DATA = {"repo": {"name": "data"}}


def eventually(look: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_those_who_wait_do_not_keep_others_waiting(client: ApiClient, calls: list[Done]) -> None:
    client("pfs_v2.API/CreateRepo", **DATA)
    waiting = [client.start("pfs_v2.API/SubscribeCommit", **DATA) for _ in range(100)]
    client("pfs_v2.API/InspectRepo", **DATA)
    for stream in waiting:
        stream.cancel()
    assert eventually(lambda: sum(call.path.endswith("SubscribeCommit") for call in calls) == 100)
    assert {call.code for call in calls if call.path.endswith("SubscribeCommit")} == {"CANCELLED"}


def test_a_new_commit_reaches_everybody_who_subscribed(client: ApiClient) -> None:
    client("pfs_v2.API/CreateRepo", **DATA)
    streams = [client.start("pfs_v2.API/SubscribeCommit", **DATA, branch="master") for _ in range(5)]
    client.put("data", {"/a": b"1"})
    assert len({next(stream).commit.id for stream in streams}) == 1
    for stream in streams:
        stream.cancel()


def test_a_client_that_reads_no_further_leaves_nothing_behind(lab: Lab, client: ApiClient, server: Server, calls: list[Done]) -> None:
    client("pfs_v2.API/CreateRepo", **DATA)
    client.put("data", {"/large": os.urandom(8 << 20)})
    for _ in range(20):
        stream = client.start("pfs_v2.API/GetFile", file=file("data", "/large"))
        next(stream)
        stream.cancel()
    assert eventually(lambda: sum(call.path.endswith("GetFile") for call in calls) == 20)


def test_threads_and_descriptors_go_when_the_crowd_has_gone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from local_runner.server import listen, threads

    monkeypatch.setattr(listen, "CallThreads", lambda ended: threads.CallThreads(ended, idle_seconds=0.2))
    server = Server(lab.runner, listen.Address())
    server.start()
    client = ApiClient(server.port)
    client("pfs_v2.API/CreateRepo", **DATA)
    client.put("data", {"/large": os.urandom(32 << 20)})

    def after_a_crowd() -> tuple[int, int]:
        """Descriptors and threads when it has gone."""
        streams = [client.start("pfs_v2.API/SubscribeCommit", **DATA) for _ in range(30)]
        streams += [client.start("pfs_v2.API/GetFile", file=file("data", "/large")) for _ in range(20)]
        assert eventually(lambda: server._threads.count >= 40)
        for stream in streams:
            stream.cancel()
        del streams, stream
        assert eventually(lambda: server._threads.count == 0)
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    # SQLite keeps descriptors of its file as long as anybody has it open, and takes them again: the first crowd's are no fewer.
    descriptors, of_threads = after_a_crowd()
    for _ in range(2):
        again = after_a_crowd()
        assert again[0] <= descriptors + 20
        assert again[1] <= of_threads + 2
    client.close()
    server.stop(grace=0)


def test_a_server_that_is_stopped_ends_those_who_wait(lab: Lab) -> None:
    from local_runner.server.listen import Address

    done: list[Done] = []
    server = Server(lab.runner, Address(), done.append)
    server.start()
    client = ApiClient(server.port)
    client("pfs_v2.API/CreateRepo", **DATA)
    client.put("data", {"/a": b"1"})
    stream = client.start("pfs_v2.API/SubscribeCommit", **DATA)
    next(stream)
    server.stop(grace=0.1)
    assert eventually(lambda: any(call.path.endswith("SubscribeCommit") for call in done))
    stream.cancel()
    client.close()


def test_a_thread_that_is_counted_on_as_it_ends_does_the_work() -> None:
    ended = []
    pool = CallThreads(lambda: ended.append(1), idle_seconds=0.001)
    for number in range(300):
        assert pool.submit(lambda number=number: number).result(timeout=60) == number
        if number % 3 == 0:
            time.sleep(0.001)
    pool.shutdown()
    assert len(ended) >= 1
    assert pool.count == 0


def test_a_subscription_looks_only_at_what_is_new(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    newer = CommitRecords.newer

    def counted(records: CommitRecords, repo: int, key: int) -> list[CommitRow]:
        asked.append(key)
        return newer(records, repo, key)

    monkeypatch.setattr(CommitRecords, "newer", counted)
    old = lab.put("data@master", {"/a": "1"})
    lab.put("data@other", {"/a": "1"})
    seen = lab.runner.subscribe_commit(parse_repo("data"), "master")
    assert next(seen).commit == old
    for number in range(3):
        new = lab.put("data@master", {"/a": str(number)})
        assert next(seen).commit == new
    assert len(set(asked)) == len(asked) == 4
    after = lab.runner.subscribe_commit(parse_repo("data"), "master", parse_commit(f"data@{old.id}"))
    assert [next(after).commit.id for _ in range(3)] == [info.commit.id for info in lab.runner.list_commit(parse_repo("data"))][2::-1]


def test_a_job_is_told_again_whenever_its_state_changes_and_never_when_it_is_over(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    seen = lab.runner.subscribe_job(PipelineRef("default", "copy"))
    assert next(seen).state is JobState.CREATED
    lab.run_all()
    assert next(seen).state is JobState.SUCCESS
    lab.put("data@master", {"/b": "1"})
    assert next(seen).state is JobState.CREATED
