"""A lab with a server in front of it."""

from collections.abc import Iterator

import pytest

from local_runner.server.listen import Address, Done, Server
from tests.support.api_client import ApiClient
from tests.support.lab import Lab


@pytest.fixture
def calls() -> list[Done]:
    """What the server says of calls that are over."""
    return []


@pytest.fixture
def server(lab: Lab, calls: list[Done]) -> Iterator[Server]:
    found = Server(lab.runner, Address(), calls.append)
    found.start()
    yield found
    found.stop(grace=0)


@pytest.fixture
def client(server: Server) -> Iterator[ApiClient]:
    found = ApiClient(server.port)
    yield found
    found.close()
