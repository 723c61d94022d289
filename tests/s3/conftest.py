"""A gateway over a lab's home, with and without a token, and what asks it: a client of Amazon's, and bare HTTP."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from local_runner.s3.documents import Element, read_document
from local_runner.s3.server import S3Server, serve_s3
from tests.support.lab import Lab

TOKEN = "a-word/that+nobody=guesses"


@dataclass
class Answer:
    """What the gateway said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error."""
        return self.document("Error").value("Code")

    def document(self, root: str) -> Element:
        return read_document(self.body, root)


@dataclass
class Gateway:
    """A gateway that runs, and how to ask it."""

    server: S3Server
    lab: Lab
    token: str = ""
    lines: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            return _read(connection.getresponse())
        finally:
            connection.close()

    def say(self, *pieces: bytes, end: bool = True) -> Answer:
        """Send bytes as they are, and with `end` nothing after them."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as connection:
            for piece in pieces:
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return _read(response)

    def client(self, key: str = "pachyderm", secret: str = "", verify: str | None = None, **config: Any) -> Any:
        boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'local_runner[dev]'")
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.server.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret or self.token or "anything",
            region_name="us-east-1",
            verify=verify,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )


def _read(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Gateway]:
    """Without a token: whoever is on this machine may ask."""
    lines: list[str] = []
    with serve_s3(lab.runner, ("127.0.0.1", 0), log=lines.append) as server:
        yield Gateway(server, lab, lines=lines)


@pytest.fixture
def guarded(lab: Lab) -> Iterator[Gateway]:
    """With a token, which every request must be signed with."""
    with serve_s3(lab.runner, ("127.0.0.1", 0), TOKEN) as server:
        yield Gateway(server, lab, TOKEN)
