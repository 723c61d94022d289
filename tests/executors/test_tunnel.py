from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from local_runner.executors.tunnel import Tunnel


class Ends(NamedTuple):
    inner: Tunnel
    outer: Tunnel
    inside: socket.socket
    outside: socket.socket


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that sends back what it gets."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Two ends with pipes between them, and one stream that both carry."""
    there, back = os.pipe(), os.pipe()
    inner, outer = Tunnel(there[0], back[1], ports=()), Tunnel(back[0], there[1], ports=())
    (inside, theirs), (outside, ours) = socket.socketpair(), socket.socketpair()
    inner.join(0, theirs)
    outer.join(0, ours)
    threads = [threading.Thread(target=end.deliver) for end in (inner, outer)]
    for thread in threads:
        thread.start()
    yield Ends(inner, outer, inside, outside)
    inside.close()
    outside.close()
    os.close(there[1])
    threads[0].join()
    os.close(back[1])
    threads[1].join()
    os.close(there[0])
    os.close(back[0])


def test_bytes_arrive_on_the_other_side_both_ways_at_once(ends: Ends) -> None:
    content = os.urandom(1_000_000)

    def send(stream: socket.socket) -> None:
        stream.sendall(content)
        stream.shutdown(socket.SHUT_WR)

    senders = [threading.Thread(target=send, args=(stream,)) for stream in (ends.inside, ends.outside)]
    received: dict[int, bytes] = {}

    def receive(number: int, stream: socket.socket) -> None:
        received[number] = b"".join(iter(lambda: stream.recv(65536), b""))

    receivers = [threading.Thread(target=receive, args=pair) for pair in enumerate((ends.inside, ends.outside))]
    for thread in senders + receivers:
        thread.start()
    for thread in senders + receivers:
        thread.join(60)
    assert received == {0: content, 1: content}


def test_the_end_of_a_stream_is_seen_on_the_other_side_and_its_answer_still_comes_back(ends: Ends) -> None:
    ends.inside.sendall(b"question")
    ends.inside.shutdown(socket.SHUT_WR)
    assert b"".join(iter(lambda: ends.outside.recv(100), b"")) == b"question"
    ends.outside.sendall(b"answer")
    ends.outside.close()
    assert b"".join(iter(lambda: ends.inside.recv(100), b"")) == b"answer"


def test_a_connection_to_a_port_nobody_listens_on_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    there, back = os.pipe(), os.pipe()
    outer = Tunnel(there[0], back[1], ports=(free,))
    thread = threading.Thread(target=outer.deliver)
    thread.start()
    os.write(there[1], b"\0\0\0\7\0\0\0\1x")
    assert os.read(back[0], 8) == b"\0\0\0\7\0\0\0\0"
    os.close(there[1])
    thread.join()
    for pipe in (there[0], *back):
        os.close(pipe)


def test_a_new_stream_is_a_connection_to_the_port(port: int) -> None:
    there, back = os.pipe(), os.pipe()
    outer = Tunnel(there[0], back[1], ports=(port,))
    thread = threading.Thread(target=outer.deliver)
    thread.start()
    for number in (2, 3):
        os.write(there[1], bytes([0, 0, 0, number, 0, 0, 0, 2]) + b"hi")
        assert os.read(back[0], 10) == bytes([0, 0, 0, number, 0, 0, 0, 2]) + b"hi"
        os.write(there[1], bytes([0, 0, 0, number, 0, 0, 0, 0]))
        assert os.read(back[0], 8) == bytes([0, 0, 0, number, 0, 0, 0, 0])
    os.close(there[1])
    thread.join()
    for pipe in (there[0], *back):
        os.close(pipe)
