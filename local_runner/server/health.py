"""Whether the server answers, for those who ask before they begin."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from local_runner.errors import NotFound
from local_runner.server.call import Call
from local_runner.server.schema import Message, new, services

_SERVING = 1
_LOOK_SECONDS = 60.0


def check(call: Call, request: Message) -> Message:
    """Raises `NotFound` for a service that is not there; "" is the whole server."""
    if request.service and request.service not in services():
        raise NotFound(f"unknown service {request.service}")
    return new("grpc.health.v1.HealthCheckResponse", status=_SERVING)


def watch(call: Call, request: Message) -> Iterator[Message]:
    """What `check` says, once, as it does not change while the server is there; the call lasts until the client hangs up."""
    yield check(call, request)
    ended = threading.Event()
    call.stop.calls(ended.set)
    while not ended.wait(_LOOK_SECONDS):
        pass
