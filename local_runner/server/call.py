"""One call of a client, as its handler sees it; and what a handler is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from local_runner.api.stop import Stop
from local_runner.runner import Runner
from local_runner.server.schema import Message

_OLD_CLIENT = "python-pachyderm"


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and what for. `runner` joins the transaction the call names, and stops waiting when the client is gone.

    `home` is the same runner without a transaction, `agent` what the client says it is. `address_of` gives the address at which a key of
    a bucket can be fetched for a while, where there is an S3 gateway.
    """

    runner: Runner
    home: Runner
    stop: Stop
    agent: str = ""
    transaction: str = ""
    address_of: Callable[[str, str], str] | None = None

    @property
    def wants_branches(self) -> bool:
        """Whether the client expects the branch of a commit in it, as before 2.6."""
        return self.agent.startswith(_OLD_CLIENT)


Answer = Message | bytes  # a message, or one that is already as on the wire
# From a message, or an iterator of them if the call takes a stream, to a message, or an iterator of them if it gives a stream.
Handler = Callable[[Call, Any], "Answer | Iterator[Answer]"]

_Reader = TypeVar("_Reader", bound=Callable[..., Any])


def reads_bytes(handler: _Reader) -> _Reader:
    """Decorates a handler that is given messages as they are on the wire, and reads them itself."""
    handler.reads_bytes = True  # type: ignore[attr-defined]
    return handler
