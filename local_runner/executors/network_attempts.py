"""Counts how often processes of a worker without network tried to leave it, as Linux counts it for each network namespace.

Where there is only a loopback interface, a packet for anywhere else finds no route. A name server on the loopback interface, as
systemd's, is not there in the namespace: a question to it comes to a port where nobody listens.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path

_RESOLVER = Path("/etc/resolv.conf")


def network_attempts(process: int) -> int:
    """How many packets could not leave the namespace of a process; 0 where that cannot be known. 60 µs."""
    attempts = 0
    with contextlib.suppress(OSError, ValueError):
        lines = Path(f"/proc/{process}/net/snmp").read_text().splitlines()
        for names, numbers in zip(lines[::2], lines[1::2], strict=False):
            counted = dict(zip(names.split(), numbers.split(), strict=False))
            attempts += int(counted.get("OutNoRoutes", 0)) if names.startswith("Ip:") else 0
            attempts += int(counted.get("NoPorts", 0)) if names.startswith("Udp:") and _asks_itself() else 0
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/net/snmp6").read_text().splitlines():
            name, _, number = line.partition(" ")
            attempts += int(number) if name.strip() == "Ip6OutNoRoutes" else 0
    return attempts


@lru_cache(maxsize=1)
def _asks_itself() -> bool:
    """Whether names are looked up at a server on the loopback interface, which is also what happens without any server."""
    try:
        lines = _RESOLVER.read_text().splitlines()
    except OSError:
        return True
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return not servers or any(server.startswith("127.") or server == "::1" for server in servers)
