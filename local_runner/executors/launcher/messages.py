"""The messages between a launcher and the engine, and their encoding on a socket.

Messages are marshalled tuples after their length in four bytes; both ends are one version of one program on one machine.

    to the launcher    plan {…}: first, once · ("spawn", id, tree or None, argv, env, folder, stdin, timeout, size of a terminal or None)
                       ("kill", id, cancelled) · ("type", id, keys) · ("resize", id, size): for a command that has a terminal
    from the launcher  ("ready",) or ("broken", why) · ("output", id, stream, bytes) · ("end", id, how) · ("unlaid", id, why): no tree
    about trees        ("lay", tree) -> why not, or "" · ("look",) -> what is left · ("collect", …), ("more",): as in collect.py
"""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple, TypedDict

from local_runner.executors.launcher.tree import TreeChanges

CHUNK = 1 << 16


class WorkerPlan(TypedDict):
    """How a launcher sets itself up. `empty`, `steps`, `layers` and `upper` are for the sandbox, see mounts.py; else `empty` is "".

    With `network` the sandbox has one of its own, else it has the host's. `memory` is what each process may take of it, in bytes, and
    each place in memory; `processes` are the most there may be, which outside the sandbox somebody else sees to. 0 is no limit.
    `pfs` is where processes find `/pfs`.
    """

    env: dict[str, str]
    empty: str
    steps: list[tuple[str, str, str]]
    layers: list[str]
    upper: str
    user: tuple[int, int] | None
    network: bool
    memory: int
    processes: int
    pfs: str


class End(NamedTuple):
    """How a command ended; the fields are those of base.RunResult, which would be slow to import here."""

    exit_code: int | None
    seconds: float
    timed_out: bool = False
    cancelled: bool = False
    error: str = ""
    laying: float = 0.0
    left: TreeChanges = TreeChanges()

    def plain(self) -> tuple[Any, ...]:
        return (*self[:-1], tuple(self.left))


def pack(message: Any) -> bytes:
    body = marshal.dumps(message)
    return len(body).to_bytes(4, "big") + body


def unpack(received: bytearray) -> list[Any]:
    """The complete messages in `received`, which keeps the rest."""
    messages, at = [], 0
    while len(received) - at >= 4:
        end = at + 4 + int.from_bytes(received[at : at + 4], "big")
        if end > len(received):
            break
        messages.append(marshal.loads(received[at + 4 : end]))
        at = end
    del received[:at]
    return messages


def describe(why: Exception) -> str:
    """An exception as text for the other end."""
    if isinstance(why, OSError) and why.strerror:
        return f"{why.filename}: {why.strerror}" if why.filename else why.strerror
    return f"{type(why).__name__}: {why}"
