"""Counts how often processes of a worker without network tried to leave it, as Linux counts it for each network namespace.

Where there is only a loopback interface, a packet for anywhere else finds no route. A name server on the loopback interface, as
systemd's, is not there in the namespace: a question to it comes to a port where nobody listens.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

_LONGEST = 1 << 16
_OF_IPV6 = re.compile(rb"Ip6OutNoRoutes\s+(\d+)")
_RESOLVER = Path("/etc/resolv.conf")


def network_attempts(process: int) -> int:
    """How many packets could not leave the namespace of a process; 0 where that cannot be known, and for no process (0). 60 µs."""
    if not process:
        return 0
    counted = _counters(process, "snmp")
    attempts = _of_protocol(counted, b"Ip:", b"OutNoRoutes")
    if _asks_itself():
        attempts += _of_protocol(counted, b"Udp:", b"NoPorts")
    found = _OF_IPV6.search(_counters(process, "snmp6"))
    return attempts + (int(found[1]) if found else 0)


def _counters(process: int, name: str) -> bytes:
    try:
        file = os.open(f"/proc/{process}/net/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, _LONGEST)
    except OSError:
        return b""
    finally:
        os.close(file)


def _of_protocol(counters: bytes, protocol: bytes, name: bytes) -> int:
    """A counter, of which there is a line of names and one of numbers."""
    lines = [line.split() for line in counters.split(b"\n") if line.startswith(protocol)]
    if len(lines) != 2 or name not in lines[0]:
        return 0
    return int(lines[1][lines[0].index(name)])


@lru_cache(maxsize=1)
def _asks_itself() -> bool:
    """Whether names are looked up at a server on the loopback interface, which is also what happens without any server."""
    try:
        lines = _RESOLVER.read_text().splitlines()
    except OSError:
        return True
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return not servers or any(server.startswith("127.") or server == "::1" for server in servers)
