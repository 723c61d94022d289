"""What somebody who looks for a fault takes along."""

import io
import json
import sys
import tarfile
from pathlib import Path

from tests.support.api_client import ApiClient


def test_a_dump_says_what_the_server_and_the_engine_do(client: ApiClient) -> None:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    content = b"".join(piece.value for piece in client.start("debug_v2.Debug/Dump"))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert set(found) == {"version.json", "status.json", "threads.txt", "engine.log", "server.log"}
    assert json.loads(found["status.json"])["repos"][0]["repo"]["name"] == "data"
    assert b"thread call" in found["threads.txt"]


def test_a_dump_of_the_second_kind_says_how_far_it_is(client: ApiClient) -> None:
    asked = client("debug_v2.Debug/GetDumpV2Template")["request"]
    first, *rest = client.start("debug_v2.Debug/DumpV2", **asked)
    assert first.progress.progress == first.progress.total == 1
    assert b"".join(chunk.content.content for chunk in rest)[:2] == b"\x1f\x8b"


def test_a_profile_says_where_threads_were(client: ApiClient) -> None:
    content = b"".join(piece.value for piece in client.start("debug_v2.Debug/Profile", profile={"name": "cpu", "duration": "0.1s"}))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (only,) = archive
        stacks = archive.extractfile(only).read().decode().splitlines()  # type: ignore[union-attr]
    assert only.name == "cpu.txt"
    assert any("threading.Thread.run" in stack and int(stack.rpartition(" ")[2]) > 1 for stack in stacks)
    assert client.error("debug_v2.Debug/Profile", profile={"name": "cpu", "duration": "3600s"})[0] == "INVALID_ARGUMENT"


def test_the_program_of_the_server_is_pythons(client: ApiClient) -> None:
    first = next(client.start("debug_v2.Debug/Binary")).value
    assert first.startswith(Path(sys.executable).read_bytes()[:4])
