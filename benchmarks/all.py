"""One row for each promise about speed: runs the programs that measure them, one after the other, and prints one table at the end.

python benchmarks/all.py [--quick] [WORD …]     # with words, only the rows that have one of them in their name
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from measure import machine, table

HERE = Path(__file__).parent


class Line(NamedTuple):
    """A promise: the program that measures it, with its arguments (fewer and smaller with `--quick`), and the row it prints."""

    work: str
    program: str
    row: str
    whole: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


_LARGE = ((), ("64", "1"))
_NOOP = ((), ("200",))
LINES = (
    Line("put one large file", "large_files.py", "put", *_LARGE),
    Line("append 1 MiB to it", "large_files.py", "append", *_LARGE),
    Line("a job that turns it into another", "large_files.py", "job", *_LARGE),
    Line("get -r of 10,000 small files", "large_files.py", "get -r", *_LARGE),
    Line("search from empty", "main_job.py", "from empty"),
    Line("search, nothing changed", "main_job.py", "nothing changed"),
    Line("search, one added C", "main_job.py", "one added C"),
    Line("first job over many scripted datums", "planning.py", "100000 files", ("100000 files",), ("10000 files",)),
    Line("a million datums planned; nothing changed", "planning.py", "1000000 files", ("1000000 files",), ("1000 files",)),
    Line("a datum that does nothing, in the sandbox", "noop_datums.py", "sandbox", *_NOOP),
    Line("a datum that does nothing, as a process", "noop_datums.py", "process executor", *_NOOP),
    Line("a batched datum that does nothing", "noop_datums.py", "sandbox, batched", *_NOOP),
    Line("a batched datum that writes a file", "noop_datums.py", "batched, writing a file", *_NOOP),
    Line("a command that looks", "small_commands.py", "list repo", (), ("3",)),
)


@cache
def printed(program: str, arguments: tuple[str, ...]) -> str:
    """What a program prints; its words about its progress go to standard error. Raises `CalledProcessError` if it fails."""
    argv = [sys.executable, str(HERE / program), *arguments]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def cells(text: str) -> Iterable[tuple[Sequence[str], Sequence[str]]]:
    """The rows of all Markdown tables in a text, each with the head of its table."""
    head: list[str] = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if row and not head:
            head = row
        elif row and not set(row[0]) <= {"-"}:
            yield head, row
        elif not row:
            head = []


def figures(line: Line, arguments: tuple[str, ...]) -> str:
    """The cells of a promise's row, each with its head; why there are none, else."""
    wanted = arguments[0] if line.program == "planning.py" else line.row
    try:
        for head, row in cells(printed(line.program, arguments)):
            if row[0] == wanted:
                return "; ".join(f"{name or 'bar'}: {cell}" for name, cell in zip(head[1:], row[1:], strict=False) if cell)
    except subprocess.CalledProcessError as error:
        return f"FAILED with status {error.returncode}"
    return f"FAILED: it prints no row {wanted!r}"


def main(words: Sequence[str], *, quick: bool) -> int:
    rows = []
    began = machine()
    for line in LINES:
        if not words or any(word in line.work for word in words):
            arguments = line.quick if quick else line.whole
            rows.append((line.work, figures(line, arguments), " ".join((line.program, *arguments))))
            print(f"{line.work}: {rows[-1][1]}", file=sys.stderr, flush=True)
    print(f"{began}\n\n{table(('work', 'figures', 'measured by'), rows)}")
    return any("FAILED" in found for _, found, _ in rows)


if __name__ == "__main__":
    sys.exit(main([word for word in sys.argv[1:] if word != "--quick"], quick="--quick" in sys.argv))
