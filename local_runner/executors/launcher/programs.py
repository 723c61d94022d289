"""Finds programs, starts them, and says in words why that failed. Imports next to nothing, as the launcher imports it."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # typeshed leaves it out
import errno
import os
import sys
from typing import Any

from local_runner.executors.launcher.killing import is_process_1, kill_descendants

_CROWDED = b"there are very many processes: a worker has at most %d, and who asks for more is told: Resource temporarily unavailable\n"


class Starter:
    """Starts programs, of which `processes` may exist at once (0: any number)."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._programs: dict[tuple[str, str], str] = {}
        self._null = os.open(os.devnull, os.O_RDONLY)

    @property
    def crowded(self) -> bytes:
        """A line for the log of a command that failed while there were very many processes."""
        return _CROWDED % self._processes

    def is_crowded(self) -> bool:
        """Whether more than half of the allowed processes exist, so that another command may lack some."""
        return bool(self._processes) and len(os.listdir("/proc")) > self._processes // 2

    def find(self, argv: list[str], path: str) -> str:
        """As `find_program`, with a cache: searching a PATH of a dozen folders takes 40 µs. Raises OSError."""
        where = (argv[0] if argv else "", path)
        found = self._programs.get(where)
        if found is None or not os.access(found, os.X_OK):
            found = self._programs[where] = find_program(argv, path)
        return found

    def arrange_pipes(self, pipes: list[int], *, with_stdin: bool) -> dict[str, Any]:
        """Make the pipes of a command: read, write of stdout, stderr and then stdin. Returns what `posix_spawn` has to know."""
        pipes += os.pipe() + os.pipe() + (os.pipe() if with_stdin else ())
        reads_from = pipes[4] if with_stdin else self._null
        actions = [(os.POSIX_SPAWN_DUP2, reads_from, 0), (os.POSIX_SPAWN_DUP2, pipes[1], 1), (os.POSIX_SPAWN_DUP2, pipes[3], 2)]
        return {"file_actions": actions, "setpgroup": 0}

    def start(
        self, program: str, argv: list[str], env: dict[str, str], arranged: dict[str, Any], *, is_alone: bool, memory: int = 0
    ) -> int:
        """The process's number. Unless the launcher `is_alone`, leftovers are killed where they take the room. Raises OSError.

        Its `memory` is limited from its first instruction on, as what it starts has the limit that it had then.
        """
        if not memory or sys.platform != "linux":
            return self._spawn(program, argv, env, arranged, is_alone=is_alone)
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard))
        try:
            pid = self._spawn(program, argv, env, arranged, is_alone=is_alone)
        except (MemoryError, OSError) as why:
            if isinstance(why, OSError) and why.errno != errno.ENOMEM:
                raise
            pid = 0  # the launcher has more already
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        pid = pid or self._spawn(program, argv, env, arranged, is_alone=is_alone)
        limit_memory(pid, memory)
        return pid

    def _spawn(self, program: str, argv: list[str], env: dict[str, str], arranged: dict[str, Any], *, is_alone: bool) -> int:
        signals = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)  # ignored here
        if not is_alone and self.is_crowded():
            kill_descendants()
        try:
            return os.posix_spawn(program, argv, env, setsigmask=(), setsigdef=signals, **arranged)
        except BlockingIOError:  # EAGAIN: there are as many processes as there may be
            if not is_process_1():
                raise
        kill_descendants()
        return os.posix_spawn(program, argv, env, setsigmask=(), setsigdef=signals, **arranged)


def find_program(argv: list[str], path: str) -> str:
    """argv[0] as a file: as it is if it names a folder, else the first executable of that name in `path`. Raises OSError."""
    name = argv[0] if argv else ""
    if "/" in name:
        return name
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if name and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise OSError(f'exec: "{name}": executable file not found in $PATH')


def limit_memory(pid: int, most: int) -> None:
    """Limit the memory of a process and its descendants, each for itself; allocations beyond that fail."""
    if sys.platform == "linux":
        import resource

        try:
            resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))
        except OSError:  # it has ended
            return


def explain(why: OSError | ValueError, argv: list[str]) -> str:
    if isinstance(why, OSError) and why.strerror:
        return f"exec: {argv[0]}: {in_words(why)}"
    return str(why)


def in_words(why: OSError) -> str:
    return (why.strerror or str(why)).lower()
