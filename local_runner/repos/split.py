"""Splits a file into many by records, as `put file --split` of Pachyderm 1.x did (reference pfs 1.9)."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice

from local_runner.errors import Invalid

KINDS = ("line", "json", "csv")


def records(kind: str, content: bytes, source: str = "the input") -> Iterator[bytes]:
    """The records of a content: lines with their newline, JSON values, or rows of CSV written anew. Raises `Invalid`."""
    if kind == "line":
        yield from content.splitlines(keepends=True) if b"\r" not in content else _lines(content)
    elif kind == "json":
        yield from _json_values(content.decode(), source)
    elif kind == "csv":
        yield from _csv_rows(content.decode(), source)
    else:
        raise Invalid(f"cannot split by {kind}", hint=f"it is one of {', '.join(KINDS)}")


def pieces(
    found: Iterable[bytes], *, datums: int = 0, size: int = 0, header_records: int = 0, first: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Named pieces: one record each, or up to `datums` records or `size` bytes; each begins with the header records.

    Names are sixteen hex digits, counted from `first`.
    """
    iterator = iter(found)
    header = b"".join(islice(iterator, header_records))
    datums = datums or (0 if size else 1)
    held: list[bytes] = []
    for record in iterator:
        held.append(record)
        if (datums and len(held) >= datums) or (size and sum(map(len, held)) >= size):
            yield f"{first:016x}", header + b"".join(held)
            first, held = first + 1, []
    if held:
        yield f"{first:016x}", header + b"".join(held)


def _lines(content: bytes) -> Iterator[bytes]:
    """Cut after newlines only; `splitlines` would cut at carriage returns too."""
    yield from io.BytesIO(content)


def _json_values(text: str, source: str) -> Iterator[bytes]:
    decoder, at = json.JSONDecoder(parse_int=str, parse_float=str), 0  # numbers of any length: what they are does not matter here
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            _, end = decoder.raw_decode(text, at)
        except ValueError as error:
            line = text.count("\n", 0, at) + 1
            raise Invalid(f"{source}: line {line}: no JSON value: {error}") from None
        except RecursionError:
            line = text.count("\n", 0, at) + 1
            raise Invalid(f"{source}: line {line}: a JSON value that is nested too deeply", hint="split it by line") from None
        yield text[at:end].encode()
        at = end


def _csv_rows(text: str, source: str) -> Iterator[bytes]:
    csv.field_size_limit(sys.maxsize)  # of a cell; the text is in memory as it is
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in rows:
            out = io.StringIO(newline="")
            csv.writer(out, lineterminator="\n").writerow(row)
            yield out.getvalue().encode()
    except csv.Error as error:
        raise Invalid(f"{source}: line {rows.line_num}: no CSV: {error}") from None
