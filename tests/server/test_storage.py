"""What clients ask about the contents that a home stores."""

import base64

import pytest

from tests.support.api_client import ApiClient
from tests.support.lab import Lab

CHECK = "pfs_v2.API/CheckStorage"


@pytest.fixture
def data(client: ApiClient) -> ApiClient:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    client.put("data", {"/small": b"1", "/the same": b"1", "/large": b"2" * 100_000})
    return client


def test_each_content_counts_once(data: ApiClient) -> None:
    assert data(CHECK) == {"chunk_object_count": "2"}
    assert data(CHECK, read_chunk_data=True) == {"chunk_object_count": "2"}


def test_a_range_of_hashes_is_checked_alone(lab: Lab, data: ApiClient) -> None:
    with lab.runner.database.read() as session:
        first, second = sorted(session.objects.names())
    between = base64.b64encode(second).decode()
    assert data(CHECK, chunk_end=between) == data(CHECK, chunk_begin=between) == {"chunk_object_count": "1"}
    assert first < second


def test_a_damaged_content_is_named_when_it_is_read(lab: Lab, data: ApiClient) -> None:
    (large,) = (path for path in (lab.runner.home / "objects").glob("*/*"))
    large.chmod(0o644)
    large.write_bytes(b"3" * 100_000)
    assert data(CHECK) == {"chunk_object_count": "2"}
    assert data.error(CHECK, read_chunk_data=True)[0] == "UNAVAILABLE"
