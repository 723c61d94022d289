"""Prints what commands return: tables as pachctl draws them, documents for `--raw`, and colour; only data goes to standard output."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from local_runner.cli.streams import GREEN, RED, YELLOW, printable_log, shown, tell
from local_runner.model.units import human_duration, human_size, rfc3339

SCREEN = 50  # lines after which a table repeats its header

__all__ = ["GREEN", "RED", "YELLOW"]

_YAML_TEXT = "tag:yaml.org,2002:str"
_OLD_TRUTH = frozenset(("y", "n", "yes", "no", "on", "off"))
_ESCAPE = re.compile("\x1b\\[[0-9;]*m")
_T = TypeVar("_T")

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns of a table are, in cells of a terminal: at least `least`, and `gap` more than what stands in them."""

    least: int = 0
    gap: int = 1


LIST = Columns()
FILES_OF_DATUM, WORKERS, VERSIONS = Columns(10, 3), Columns(20, 3), Columns(20, 3)  # pachctl prints these tables wider than lists


def lay_out(header: Row, rows: Iterable[Row], columns: Columns = LIST) -> Iterator[str]:
    """The lines of a table: every cell, the last too, is padded to its column (reference pps 4.11).

    Columns are measured for one screen at a time, so that a long list begins to appear before it is complete.
    """
    screen = [header]
    for row in rows:
        if len(screen) == SCREEN:
            yield from _aligned(screen, columns)
            screen = [header]
        screen.append(row)
    yield from _aligned(screen, columns)


def _aligned(rows: Sequence[Row], columns: Columns) -> Iterator[str]:
    widths = [max(columns.least, max(map(width_of, cells)) + columns.gap) for cells in zip(*rows, strict=True)]
    for row in rows:
        yield "".join(cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True))


def width_of(cell: str) -> int:
    """The cells of a terminal that a text takes: none for escapes and for marks on the character before, two for wide characters."""
    if cell.isascii():
        return len(_ESCAPE.sub("", cell)) if "\x1b" in cell else len(cell)
    plain = _ESCAPE.sub("", cell)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain)


def wants_colour() -> bool:
    """Whether to colour: only a terminal, and not if `NO_COLOR` is set; pachctl colours always."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


@dataclass(frozen=True, slots=True)
class Output:
    """Standard output with the flags that shape it. `now` is what ages count from, in seconds since the epoch."""

    raw: bool = False
    yaml: bool = False
    full_timestamps: bool = False
    colour: bool = False
    terminal: bool = False  # the output goes to a terminal, which it must not control
    now: float = field(default_factory=time.time)

    def line(self, text: str = "") -> None:
        sys.stdout.write((shown(text) if self.terminal else text) + "\n")

    def log_line(self, text: str) -> None:
        """Print a line of user code."""
        sys.stdout.write((printable_log(text) if self.terminal else text) + "\n")

    def table(self, header: Row, rows: Iterable[Row], columns: Columns = LIST) -> None:
        if self.terminal:
            rows = (tuple(shown(cell, newlines=False) for cell in row) for row in rows)
        for line in lay_out(header, rows, columns):
            self.line(line)

    def wrapped(self, header: Row, rows: Iterable[Row]) -> Iterator[str]:
        """The lines of a table that pachctl does not have; for a terminal no wider than that."""
        if self.terminal:
            from local_runner.cli.fitting import fit  # textwrap takes 5 ms, and few tables are wrapped

            safe = [tuple(shown(cell, newlines=False) for cell in row) for row in rows]
            header, *rows = fit([header, *safe], shutil.get_terminal_size().columns)
        return lay_out(header, rows)

    def documents(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """One after another: JSON without separator, or YAML as a stream."""
        dump = _yaml_stream() if self.yaml else _json_text
        for document in documents:
            sys.stdout.write(dump(document))

    def show(self, items: Iterable[_T], document: Callable[[_T], Mapping[str, Any]], header: Row, row: Callable[[_T], Row]) -> None:
        """A list: documents with `--raw`, else a table."""
        if self.raw:
            self.documents(map(document, items))
        else:
            self.table(header, map(row, items))

    def show_one(self, item: _T, document: Callable[[_T], Mapping[str, Any]], text: Callable[[_T], Iterable[str]]) -> None:
        """One thing: its document with `--raw`, else lines of text."""
        if self.raw:
            self.documents([document(item)])
        else:
            for line in text(item):
                self.line(line)

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and colour else text

    def when(self, seconds: float | None) -> str:
        """A moment as "3 minutes ago", as RFC 3339 with `--full-timestamps`, "-" if it has not come."""
        if seconds is None:
            return "-"
        return rfc3339(int(seconds)) if self.full_timestamps else f"{human_duration(self.now - seconds)} ago"

    def progress(self, done: int, unfinished: int, failed: int) -> str:
        """A bar of eight cells; the last one is red if anything failed, however little it was."""
        total, cells = done + unfinished + failed, []
        for cell in range(8):
            at = cell * total
            if cell == 7 and failed:
                colour = RED
            elif at < done * 8:
                colour = GREEN
            elif at < (done + unfinished) * 8:
                colour = YELLOW
            else:
                colour = RED
            cells.append(self.paint("▇", colour) if at < total * 8 else " ")
        return "".join(cells)


def size(exact: int | None, upper_bound: int = 0) -> str:
    """A size of which perhaps only a bound is known: "4B" or "≤ 4B"."""
    return f"≤ {human_size(upper_bound)}" if exact is None else human_size(exact)


def note(text: str) -> None:
    """Print a note on standard error."""
    sys.stdout.flush()
    tell(text)


def _json_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _yaml_stream() -> Callable[[Mapping[str, Any]], str]:
    import io

    from ruamel.yaml import YAML, ScalarNode  # 60 ms, for `-o yaml` only

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1 << 20  # a line of text stays one line
    yaml.indent(mapping=2, sequence=4, offset=2)

    def quoted_if_ambiguous(representer: Any, text: str) -> Any:
        """A YAML scalar as Go writes it: quoted if it would else be read as a number, a time or a truth value."""
        plain = yaml.resolver.resolve(ScalarNode, text, (True, False)) == _YAML_TEXT and text.lower() not in _OLD_TRUTH
        return representer.represent_scalar(_YAML_TEXT, text, style=None if plain else '"')

    yaml.representer.add_representer(str, quoted_if_ambiguous)
    separator = ""

    def dump(document: Mapping[str, Any]) -> str:
        nonlocal separator
        text = io.StringIO()
        yaml.dump(document, text)
        before, separator = separator, "---\n"
        return before + text.getvalue()

    return dump
