"""Enters another process's user and network namespaces."""

from __future__ import annotations

import contextlib
import os

from local_runner.executors.launcher import linux

# The user namespace first: without it, who is not root may not enter the other.
_KINDS = ("user", "net")


def join_namespaces(process: int) -> None:
    """Join the user and network namespaces of another process. The caller must be single-threaded. Raises OSError."""
    with contextlib.ExitStack() as stack:
        entered = []
        for kind in _KINDS:
            if os.readlink(f"/proc/{process}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"):
                entered.append(os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
                stack.callback(os.close, entered[-1])
        for namespace in entered:
            linux.enter(namespace)
