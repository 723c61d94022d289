"""The one port that leads out of a worker's own network: connections to it are made to the same port outside, where the runner is.

Runs in the launcher, which imports it only for a worker whose commands ask for their datums: socket costs it 6 ms.
"""

from __future__ import annotations

import os
import socket
import threading

from local_runner.executors import linux

_LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16


def station_porter(port: int) -> socket.socket:
    """Start a process that stays in the present network and makes connections to `port` of it. It ends with the thread that called this.

    What it is to carry is handed in through the socket that is returned, by `open_port`.
    """
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        try:
            linux.die_with_parent()
            os.dup2(theirs.detach(), 0)
            os.closerange(1, 64)  # the engine is to see when the launcher closes what it holds
            _carry_all(socket.socket(fileno=0), port)
        finally:
            os._exit(0)
    theirs.close()
    return ours


def open_port(porter: socket.socket, port: int) -> None:
    """Let connections to a port of the present network be carried by a process in another. Raises OSError."""
    with porter, socket.create_server((_LOOPBACK, port)) as server:
        socket.send_fds(porter, [b"+"], [server.fileno()])


def _carry_all(handed: socket.socket, port: int) -> None:
    _, (descriptor, *_), _, _ = socket.recv_fds(handed, 1, 1)
    # A listening socket belongs to the network it was made in, whoever accepts from it.
    server = socket.socket(fileno=descriptor)
    while True:
        inside, _ = server.accept()
        threading.Thread(target=_carry, args=(inside, port), daemon=True).start()


def _carry(inside: socket.socket, port: int) -> None:
    with inside:
        try:
            outside = socket.create_connection((_LOOPBACK, port))
        except OSError:
            return
        with outside:
            back = threading.Thread(target=_copy, args=(outside, inside), daemon=True)
            back.start()
            _copy(inside, outside)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
