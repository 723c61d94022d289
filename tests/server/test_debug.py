"""What somebody who looks for a fault takes along."""

import io
import json
import tarfile

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
