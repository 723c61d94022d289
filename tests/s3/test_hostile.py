"""Whatever comes in, an error of S3 goes out, nothing is half written, and the gateway goes on."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner import errors
from local_runner.errors import ContentLost, Refused, Unavailable
from local_runner.s3 import connection as connection_room
from local_runner.s3.documents import read_document
from local_runner.s3.errors import CODES, S3Error, as_s3_error
from local_runner.s3.server import serve_s3
from tests.s3.conftest import Gateway
from tests.support.lab import Lab

LOCAL = b"Host: 127.0.0.1\r\n"


@pytest.fixture
def ready(gateway: Gateway) -> Iterator[Gateway]:
    """What is there is as before when the test has ended, and the gateway still answers."""
    gateway.lab.put("data@master", {"/there": "1"})
    before = gateway.lab.head("data@master")
    yield gateway
    assert gateway.ask("GET", "/data/there").body == b"1"
    assert gateway.lab.head("data@master") == before
    assert not [line for line in gateway.lines if "Error:" in line or "Exception" in line]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X-A: " + b"y" * 70_000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(300)) + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + LOCAL + b" folded\r\nBad\x00Name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + LOCAL + LOCAL + b"\r\n", 400),
        (b"GET /data/%FF%FE HTTP/1.1\r\n" + LOCAL + b"\r\n", 400),
        (b"GET /data/\xff\xfe HTTP/1.1\r\n" + LOCAL + b"\r\n", 400),
        (b"GET /data?prefix=%C3 HTTP/1.1\r\n" + LOCAL + b"\r\n", 400),
        (b"GET data HTTP/1.1\r\n" + LOCAL + b"\r\n", 400),
        (b"GET /data/%zz HTTP/1.1\r\n" + LOCAL + b"\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"\r\n", 411),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: -1\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 1e3\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: chunked\r\n\r\nZ\r\nab\r\n0\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 100\r\n\r\ncut", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000, 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"x-amz-content-sha256: STREAMING-NOTHING\r\nContent-Length: 0\r\n\r\n", 501),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"x-amz-content-sha256: rubbish\r\nContent-Length: 0\r\n\r\n", 400),
        (b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"x-amz-checksum-rot13: x\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST /data?delete HTTP/1.1\r\n" + LOCAL + b"Content-Length: 3000000\r\n\r\n" + b" " * 3_000_000, 400),
    ],
)
def test_requests_that_are_none_are_refused_in_words(ready: Gateway, said: bytes, status: int) -> None:
    answer = ready.say(said)
    assert (answer.status, answer.code in CODES) == (status, True), answer.body


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>'


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        FILE,
        "",
        "<Delete>",
        "<Delete/>",
        "<Other/>",
        "<Delete><Object/></Delete>",
        "<Delete>" + "<a>" * 100 + "</a>" * 100 + "</Delete>",
        "<Delete><Object><Key>&undefined;</Key></Object></Delete>",
        "<Delete>" + "<Object><Key>k</Key></Object>" * 1001 + "</Delete>",
        '<?xml version="1.0" encoding="nonsense"?><Delete/>',
        "\ufffe",
        "not XML at all",
    ],
)
def test_documents_that_are_none_are_refused(ready: Gateway, body: str) -> None:
    answer = ready.ask("POST", "/data?delete", body.encode())
    assert (answer.status, answer.code) == (400, "MalformedXML")


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: f"<Delete>{text}</Delete>".encode()))
@settings(max_examples=200)
def test_a_document_is_read_or_refused_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(S3Error):
        assert read_document(body, "Delete").name == "Delete"


@given(
    st.lists(st.sampled_from([b"GET ", b"PUT ", b"/", b"data", b"?", b"uploads", b"%", b"\r\n", b" HTTP/1.1", b": ", b"\0", b"\xff", b"9"]))
)
@settings(max_examples=60)
def test_bytes_of_any_kind_bring_an_answer_or_an_end(gateway: Gateway, pieces: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", gateway.server.port), timeout=60) as connection:
        connection.sendall(b"".join(pieces) + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert not [line for line in gateway.lines if "Error:" in line or "Exception" in line]


def test_a_body_is_only_asked_for_when_it_is_wanted(ready: Gateway) -> None:
    expects = b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"
    refused = ready.say(b"PUT /nothing/x HTTP/1.1\r\n" + LOCAL + expects, end=False)
    assert (refused.status, refused.code) == (404, "NoSuchBucket")


def test_a_connection_is_used_again_after_small_errors(ready: Gateway) -> None:
    one = b"PUT /nothing/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 4\r\n\r\nbody"
    with socket.create_connection(("127.0.0.1", ready.server.port), timeout=60) as connection:
        connection.sendall(one * 3 + b"GET /data/there HTTP/1.1\r\nConnection: close\r\n" + LOCAL + b"\r\n")
        said = b""
        while piece := connection.recv(65536):
            said += piece
    assert said.count(b"NoSuchBucket") == 3
    assert said.endswith(b"1")


def test_web_pages_and_other_names_of_this_machine_are_not_answered(ready: Gateway) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example:30600"}):
        answer = ready.ask("GET", "/data/there", headers=headers)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    hosted = ready.ask("GET", "/there", headers={"Host": "data.localhost:30600"})
    assert (hosted.status, "path style" in hosted.body.decode()) == (400, True)


def test_a_client_that_stops_is_told_and_let_go(ready: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_room.Connection, "timeout", 0.2)
    answer = ready.say(b"PUT /data/x HTTP/1.1\r\n" + LOCAL + b"Content-Length: 10\r\n\r\nabc", end=False)
    assert (answer.status, answer.code) == (400, "RequestTimeout")


def test_content_that_is_damaged_ends_the_connection_and_not_the_gateway(ready: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks_off(content: Iterator[bytes], size: int) -> Iterator[bytes]:
        yield b"x"
        raise ContentLost("00")

    def is_damaged(content: Iterator[bytes], size: int) -> Iterator[bytes]:
        raise ContentLost("00")
        yield b""

    with monkeypatch.context() as patch:
        patch.setattr("local_runner.s3.objects.cut", is_damaged)
        told = ready.ask("GET", "/data/there")
        assert (told.status, told.code) == (500, "InternalError")
    with monkeypatch.context() as patch:
        patch.setattr("local_runner.s3.objects._content_type", lambda runner, info: "text/plain")
        patch.setattr("local_runner.s3.objects.cut", breaks_off)
        patch.setattr("local_runner.s3.objects.read_range", lambda text, size: (0, 9))
        with pytest.raises(http.client.IncompleteRead):
            ready.ask("GET", "/data/there")


def test_many_clients_at_once_leave_no_thread_and_no_descriptor(ready: Gateway) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def ask_at_once(clients: int) -> None:
        asking = [threading.Thread(target=ready.ask, args=("GET", "/data/there")) for _ in range(clients)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()

    threads = threading.active_count()
    ask_at_once(30)  # free connections to the records are kept, as many as were ever wanted at once
    files = descriptors()
    for _ in range(5):
        ask_at_once(10)
    until = time.monotonic() + 60
    spare = 12  # how many are wanted at once varies; fifty clients that each left one would be more
    while (threading.active_count() > threads or descriptors() > files + spare) and time.monotonic() < until:
        time.sleep(0.02)
    assert threading.active_count() <= threads
    assert descriptors() <= files + spare


def test_one_connection_too_many_is_told_to_come_later(ready: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.s3.server.MAX_CONNECTIONS", 0)
    answer = ready.say(b"", end=False)
    assert (answer.status, answer.code) == (503, "SlowDown")
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.RepoNotFound("r"), 404, "NoSuchBucket"),
        (errors.Invalid("wrong"), 400, "InvalidArgument"),
        (errors.Refused("not now"), 400, "InvalidRequest"),
        (errors.Busy("somebody writes"), 503, "SlowDown"),
        (errors.DiskFull("full"), 507, "InsufficientStorage"),
        (errors.ContentLost("00"), 500, "InternalError"),
        (errors.Unavailable("gone"), 503, "ServiceUnavailable"),
        (errors.Unsupported("never"), 501, "NotImplemented"),
        (errors.LocalRunnerError("something else"), 500, "InternalError"),
        (OSError(28, "No space left on device"), 507, "InsufficientStorage"),
        (OSError(5, "Input/output error"), 500, "InternalError"),
    ],
)
def test_each_error_of_the_runner_is_one_of_s3(
    ready: Gateway, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def fail(request: object) -> None:
        if isinstance(error, errors.LocalRunnerError):
            raise as_s3_error(error)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ready.server._listener.gateway, "answer", fail)
        answer = ready.ask("GET", "/data/there")
    assert (answer.status, answer.code) == (status, code)


def test_a_gateway_that_is_closed_ends_what_it_began(lab: Lab) -> None:
    lab.put("data@master", {"/there": "1"})
    server = serve_s3(lab.runner, ("127.0.0.1", 0))
    idle = socket.create_connection(("127.0.0.1", server.port))
    busy = socket.create_connection(("127.0.0.1", server.port))
    busy.sendall(b"PUT /data/new HTTP/1.1\r\n" + LOCAL + b"Content-Length: 5\r\n\r\nwhole")
    time.sleep(0.2)
    server.close()
    assert busy.recv(100).startswith(b"HTTP/1.1 200 ")
    assert idle.recv(1) == b""
    idle.close()
    busy.close()
    assert lab.files("data@master") == {"/there": "1", "/new": "whole"}


def test_a_port_that_is_taken_and_an_address_for_everybody_are_refused(lab: Lab) -> None:
    with serve_s3(lab.runner, ("127.0.0.1", 0)) as server, pytest.raises(Unavailable, match="Address already in use"):
        serve_s3(lab.runner, ("127.0.0.1", server.port))
    with pytest.raises(Refused, match="without a token"):
        serve_s3(lab.runner, ("0.0.0.0", 0))
