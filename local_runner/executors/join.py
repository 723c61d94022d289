"""How a process of the runner gets to where a worker's processes are: what it listens on they reach, what it writes they find."""

from __future__ import annotations

import contextlib
import os

from local_runner.executors import linux

# The user namespace first: without it, who is not root may not enter the others.
_KINDS = ("user", "net", "mnt")


def join_namespaces(process: int) -> None:
    """See the files and the network that another process sees, from now on. The caller must not have threads. Raises OSError.

    Links that lead out of the other's files lead nowhere then, for this process as for that one.
    """
    with contextlib.ExitStack() as stack:
        entered = []
        for kind in _KINDS:
            if os.readlink(f"/proc/{process}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"):
                entered.append(os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
                stack.callback(os.close, entered[-1])
        for namespace in entered:
            linux.enter(namespace)
