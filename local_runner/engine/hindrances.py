"""Says of a datum that failed what this runner withheld from its user code, where the failure looks like it.

A sandbox shows only as a strange error of a program: a name that cannot be resolved, a file that cannot be written. Here that error is
recognised, and told with what to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from local_runner.executors.base import MOST_PROCESSES
from local_runner.model.units import human_size
from local_runner.specs.command_words import shell_hint

NETWORK_ANNOTATION, NETWORK_VARIABLE = "local_runner/network", "LOCAL_RUNNER_NETWORK"
NETWORK = (
    f'user code tried to reach the network, which this runner forbids; to allow it, write the annotation "{NETWORK_ANNOTATION}": "true"'
    f" into metadata.annotations of the spec, or for all pipelines set {NETWORK_VARIABLE}=1, or `run --network`"
)
PROCESSES = f"user code had as many processes and threads as a worker may have, {MOST_PROCESSES}: let it start fewer at a time"
READ_ONLY = (
    "this host's files are read-only for user code: it may write to /pfs/out, /tmp and its home folder, and make files beside those"
    " of the host; in an image that is kept here (`image pull`) it may write everywhere"
)
MERGED = (
    "secrets and /sys are read-only for user code, and so is an image whose layers Linux does not stack here: it may write to /pfs/out,"
    " /tmp, /var/tmp and its home folder, and make files beside those of the image"
)

# What programs, languages and libraries say where there is no network.
_NO_NETWORK = re.compile(
    r"(could ?n[o']t|failed to|unable to|cannot|can't) (be )?(resolve|look ?up|connect to host|reach)|resolving host|name resolution"
    r"|name or service not known|nodename nor servname|no address associated|no such host|unknown ?host|bad address '"
    r"|temporary failure in name|network is (unreachable|down)|no route to host|name does not resolve|not resolve host"
    r"|connection refused"  # there is only the worker's own loopback interface
    r"|\b(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|getaddrinfo|NameResolutionError|UnknownHostException|gaierror)\b",
    re.IGNORECASE,
)
_NO_MEMORY = re.compile(
    r"MemoryError|cannot allocate|can't allocate|unable to allocate|failed to allocate|bad_alloc|out of memory|OutOfMemory|memory exhausted"
    r"|\bENOMEM\b|not enough memory|insufficient memory|could not reserve enough space|allocation failed",
    re.IGNORECASE,
)
_DIED_FOR_MEMORY = re.compile(r"signal: (killed|aborted|segmentation fault)|exit status (134|137|139)$")
_NO_PROCESS = re.compile(
    r"can't start new thread|cannot fork|fork: retry|can't fork|unable to create (new )?(native )?thread|thread constructor failed"
    r"|pthread_create|resource temporarily unavailable|\bEAGAIN\b|BlockingIOError",
    re.IGNORECASE,
)
# What shells, loaders and languages say of programs, libraries and packages that are not there.
_NOT_THERE = re.compile(
    r"not found|no such file|no module named|cannot open shared object|there is no package called|can't cd to|cannot find (module|package)",
    re.IGNORECASE,
)
_READ_ONLY = re.compile(r"read-only file ?system|\bEROFS\b", re.IGNORECASE)
_DENIED = re.compile(r"permission denied|\bEACCES\b", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w.])/[\w.+@-]+(?:/[\w.+@-]+)*")
_INPUT = re.compile(r"(?<![\w.])/pfs/([\w-]+)")
_OWN = ("/pfs", "/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/home", "/root")
_MOST_OF_IMAGE = 3  # sentences about what was not built
_SHELL_WORDS = re.compile(r"[*?]|\[[^\]]+\]|\$\w|\$\{|~/")


@dataclass(frozen=True, slots=True)
class Withheld:
    """What the user code of a pipeline does without. The texts say so, with what to do.

    `not_built` is what the Dockerfile of its image does and nobody did here, what matters first. `memory` is its limit in bytes, 0
    without one. `read_only` says which files it cannot write to, "" if it may write everywhere. `inputs` are its folders under /pfs.
    """

    cmd: Sequence[str] = ()
    inputs: Sequence[str] = ()
    missing_image: str = ""
    not_built: Sequence[str] = ()
    missing_secrets: Sequence[str] = ()
    has_network: bool = True
    memory: int = 0
    limits_processes: bool = False
    read_only: str = ""


def hindrances(withheld: Withheld, lines: Sequence[str], reason: str, *, tried_network: bool = False) -> list[str]:
    """Sentences on what may have made a datum fail that printed `lines` last and ended for `reason`, the likeliest first.

    `tried_network` says whether its worker was seen trying to reach the network.
    """
    return list(dict.fromkeys(_found(withheld, "\n".join((*lines, reason)), reason, tried_network=tried_network)))


def mistakes(withheld: Withheld, lines: Sequence[str]) -> list[str]:
    """Sentences on what may be wrong with the command itself. They are for the log: a cluster fails just so, with the same reason."""
    found = (shell_hint(withheld.cmd), _strange_input(withheld.inputs, "\n".join(lines)) if withheld.inputs else "")
    return [sentence for sentence in found if sentence]


def _found(withheld: Withheld, said: str, reason: str, *, tried_network: bool) -> Iterator[str]:
    if withheld.missing_image:
        yield withheld.missing_image
    if _NOT_THERE.search(said):
        yield from withheld.not_built[:_MOST_OF_IMAGE]
    yield from withheld.missing_secrets
    if not withheld.has_network and (tried_network or _NO_NETWORK.search(said)):
        yield NETWORK
    if withheld.memory and (_NO_MEMORY.search(said) or _DIED_FOR_MEMORY.search(reason)):
        size = human_size(withheld.memory)
        yield f"user code may have run out of memory: resource_limits.memory of its spec allows {size}; write more there, or leave it out"
    elif withheld.limits_processes and _NO_PROCESS.search(said):
        yield PROCESSES
    is_denied = withheld.read_only == READ_ONLY and any(map(_is_denied, said.splitlines()))
    if withheld.read_only and (is_denied or _READ_ONLY.search(said)):
        yield withheld.read_only
    if unexpanded := [word for word in withheld.cmd[1:] if _SHELL_WORDS.search(word) and word in said]:
        yield f"no shell reads transform.cmd, so {unexpanded[0]} stays as it is: write {json.dumps(['sh', '-c', ' '.join(withheld.cmd)])}"


def _strange_input(inputs: Sequence[str], said: str) -> str:
    """Says that a folder below /pfs that a program missed is none of the inputs; "" if it missed none."""
    missed = [name for line in said.splitlines() if _NOT_THERE.search(line) for name in _INPUT.findall(line)]
    strange = next((name for name in missed if name not in (*inputs, "out")), "")
    return f"there is no /pfs/{strange}: the inputs are {', '.join(f'/pfs/{name}' for name in inputs)}" if strange else ""


def _is_denied(line: str) -> bool:
    """Whether a line says that a file outside of what user code may write to is denied."""
    paths = _PATH.findall(line) if _DENIED.search(line) else []
    return any(not path.startswith(tuple(f"{own}/" for own in _OWN)) and PurePosixPath(path).name != path for path in paths)
