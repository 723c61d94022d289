"""A crowd of clients that write, read, subscribe, stop half-way and send anything: nothing is lost, and nothing stays of them.

`--reliability-scale` says for how long, and how many calls are made up: 50 means 100,000.
"""

import gc
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from local_runner.server import listen, threads
from local_runner.server.listen import Address, Server
from local_runner.server.schema import Document, from_document, message_class, methods, new
from tests.server.test_hostile import CALLS, CODES, code_of, sent_for
from tests.server.test_waiting import eventually
from tests.support.api_client import ApiClient, changes, file
from tests.support.lab import Lab

CLIENTS = 64
DATA = {"repo": {"name": "data"}}
LARGE = os.urandom(4 << 20)


@pytest.fixture
def server(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Its threads end soon after they have had nothing to do."""
    monkeypatch.setattr(listen, "CallThreads", lambda ended: threads.CallThreads(ended, idle_seconds=0.2))
    found = Server(lab.runner, Address())
    found.start()
    yield found
    found.stop(grace=0)


def resident_mebibytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Crowd:
    """Clients that go on until `end`, each in a thread and on a connection of its own; `failed` has what none of them expected."""

    def __init__(self, port: int, seconds: float) -> None:
        self._port, self._end = port, time.monotonic() + seconds
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []

    def run(self, work: dict[str, Callable[[ApiClient, int], None]]) -> None:
        kinds = list(work)
        crowd = [threading.Thread(target=self._go_on, args=(kinds[n % len(kinds)], work[kinds[n % len(kinds)]], n)) for n in range(CLIENTS)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

    def _go_on(self, kind: str, step: Callable[[ApiClient, int], None], number: int) -> None:
        with closing(ApiClient(self._port, timeout=60)) as client:
            while time.monotonic() < self._end:
                try:
                    step(client, number)
                    self.done[kind] += 1
                except Exception as error:
                    self.failed.append(f"{kind}: {error!r}")
                    return


def test_a_crowd_of_clients_loses_no_write_and_leaves_nothing_behind(
    lab: Lab, server: Server, client: ApiClient, reliability_scale: float
) -> None:
    client("pfs_v2.API/CreateRepo", **DATA)
    client.put("data", {"/large": LARGE})
    before = resident_mebibytes()
    written: dict[int, int] = {}

    def write(one: ApiClient, number: int) -> None:
        count = written.get(number, 0)
        one.put("data", {f"/{number}/{count}": b"%d" % count}, branch=f"b{number}")
        written[number] = count + 1

    def read(one: ApiClient, number: int) -> None:
        assert one.get("data", "/large") == LARGE

    def look(one: ApiClient, number: int) -> None:
        assert one("pfs_v2.API/ListFile", file=file("data", "/"))
        assert one("pfs_v2.API/InspectRepo", **DATA)

    def subscribe(one: ApiClient, number: int) -> None:
        stream = one.start("pfs_v2.API/SubscribeCommit", **DATA)
        next(stream)
        stream.cancel()

    def hang_up(one: ApiClient, number: int) -> None:
        stream = one.start("pfs_v2.API/GetFile", file=file("data", "/large"))
        next(stream)
        stream.cancel()

    def break_off(one: ApiClient, number: int) -> None:
        """In the middle of a write, which must not be made then."""

        def messages() -> Iterator[Any]:
            yield _message({"set_commit": {"branch": {**DATA, "name": "broken"}}})
            yield from map(_message, changes({"/never": b"x" * 1000}))
            time.sleep(0.05)
            call.cancel()
            time.sleep(0.05)

        call = one.begin("pfs_v2.API/ModifyFile", messages())
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result()

    crowd = Crowd(server.port, 15 * reliability_scale)
    crowd.run({"write": write, "read": read, "look": look, "subscribe": subscribe, "hang up": hang_up, "break off": break_off, "w": write})
    assert not crowd.failed
    assert min(crowd.done.values()) > 0
    for number, count in written.items():
        assert lab.files(f"data@b{number}") == {f"/{number}/{n}": str(n) for n in range(count)}
    assert "broken" not in [info["branch"]["name"] for info in client("pfs_v2.API/ListBranch", **DATA)]
    assert eventually(lambda: server._threads.count == 0)
    gc.collect()
    assert resident_mebibytes() - before < 400
    assert lab.runner.fsck() == []


def _message(document: Document) -> Any:
    return from_document("pfs_v2.ModifyFileRequest", document)


def test_made_up_calls_are_answered_or_refused(client: ApiClient, reliability_scale: float, seed: int) -> None:
    """Whole messages, cut ones, ones with bytes changed, and noise, in any order."""
    chance = random.Random(seed)
    client("pfs_v2.API/CreateRepo", **DATA)
    client.put("data", {"/a": b"1"})
    client._timeout = 10
    sound = [_sound(chance, path) for path in CALLS]
    for _ in range(int(2000 * reliability_scale)):
        path, data = chance.choice(sound)
        for _ in range(chance.choice((0, 1, 1, 3))):
            if data:
                at = chance.randrange(len(data))
                data = data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]
        data = data[: chance.choice((len(data), len(data), chance.randrange(len(data) + 1)))]
        assert code_of(client, path, sent_for(methods()[path], data)) in CODES, (path, data)
    assert client("grpc.health.v1.Health/Check") == {"status": "SERVING"}


def _sound(chance: random.Random, path: str) -> tuple[str, bytes]:
    """A call with a message that names what is there where it can."""
    name = methods()[path].request
    found = message_class(name)()
    repo = new("pfs_v2.Repo", name="data", type="user")
    branch = new("pfs_v2.Branch", repo=repo, name="master")
    parts = {"pfs_v2.Repo": repo, "pfs_v2.Branch": branch, "pfs_v2.Commit": new("pfs_v2.Commit", repo=repo, branch=branch)}
    parts["pfs_v2.File"] = new("pfs_v2.File", commit=parts["pfs_v2.Commit"], path="/a")
    for field in found.DESCRIPTOR.fields:
        kind = field.message_type.full_name if field.message_type is not None else ""
        if kind in parts and field.label != field.LABEL_REPEATED:
            getattr(found, field.name).CopyFrom(parts[kind])
    content: bytes = found.SerializeToString()
    return path, content or bytes(chance.randrange(256) for _ in range(8))
