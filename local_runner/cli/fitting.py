"""Fits the rows of a table that only people read to the width of their terminal: long cells go on in further lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from local_runner.cli.output import Row, width_of

_LEAST = 12  # no column becomes narrower, whatever the terminal


def fit(rows: Sequence[Row], width: int) -> Iterator[Row]:
    """The rows, of which those become several that would be wider than `width` cells of a terminal; the widest columns give way."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    room = _shared_out(widths, width)
    for row in rows:
        cells = [_cut(cell, most) if width_of(cell) > most else [cell] for cell, most in zip(row, room, strict=True)]
        yield from zip_longest(*cells, fillvalue="")


def _shared_out(widths: Sequence[int], width: int) -> list[int]:
    """The widths, lowered where they are largest until all of them, with a blank behind each, take no more than `width`."""
    room = list(widths)
    while sum(room) + len(room) > width and max(room) > _LEAST:
        largest = max(room)
        room[room.index(largest)] = largest - 1
    return room


def _cut(cell: str, most: int) -> list[str]:
    return textwrap.wrap(cell, most, break_on_hyphens=False) or [""]
