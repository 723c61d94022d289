"""What the benchmarks share: running whole processes, taking their time, and printing tables that can be kept as they are."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MEBI = 1 << 20


class Took(NamedTuple):
    """Seconds on the clock, and of processor time of a process with all its children that were waited for."""

    wall: float
    cpu: float


def run(argv: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> Took:
    """Run a command to its end, silently. Raises RuntimeError with what it printed if it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in argv],
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))} failed in {folder}:\n{printed.decode(errors='replace')}")
    return Took(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)


def large_file(path: Path, mebibytes: int) -> None:
    """Write a file of random bytes."""
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(MEBI))


def small_files(folder: Path, count: int) -> None:
    """Write so many files of 1,000 random bytes, in a hundred folders."""
    for number in range(count):
        path = folder / f"{number % 100:02}" / f"{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000))


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> str:
    """One line about where and when, to stand above a table that is kept."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load at the start {load:.1f}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats get three digits that count."""
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def verdict(value: float, bar: float) -> str:
    return f"{'reached' if value <= bar else 'MISSED'} (<= {bar:g})"
