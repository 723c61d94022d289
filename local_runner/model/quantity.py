"""Kubernetes' way to write a number, as its `resource.ParseQuantity` reads it: "64M", "1.5Gi", "100m", "1e3"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from local_runner.errors import Invalid

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)?|[eE]([+-]?\d+))", re.ASCII)
_POWERS: Mapping[str, int] = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"
_SHOWN, _LONGEST, _MOST_ZEROS = 60, 1000, 30  # characters of a wrong text; of one that is read; the power of ten of a number

# How people write sizes elsewhere, and what Kubernetes calls them.
_ELSEWHERE = re.compile(r"([+-]?[0-9.]+) ?([kKMGTPE])(i?)[bB]?")


def quantity(text: str) -> Decimal:
    """The number. Raises `Invalid` for what Kubernetes does not read: blanks, "2GB", "64m B"."""
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if not found or abs(int(found[3] or 0)) > _MOST_ZEROS:
        raise Invalid(f"{text[:_SHOWN]!r} is not a quantity", hint=f"write {suggested(text)}")
    number, unit, exponent = Decimal(found[1]), found[2] or "", found[3] or ""
    scale = Decimal(1024 ** (_BINARY.index(unit[0]) + 1)) if unit.endswith("i") else Decimal(10) ** int(exponent or _POWERS.get(unit, 0))
    return number * scale


def suggested(text: str) -> str:
    """What to write in place of a text that is no quantity: "2G" for "2GB"; else two examples."""
    found = _ELSEWHERE.fullmatch(text.strip())
    if found and found[1].count(".") <= 1 and re.search(r"\d", found[1]):
        number, letter, binary = found.groups()
        return f'"{number}{"k" if letter in "kK" and not binary else letter.upper()}{binary}"'
    return 'a number and a unit, as in "500M" or "2Gi"'


def odd_amount(text: str) -> str:
    """What is odd about a text for an amount of bytes that a cluster takes, or ignores, without a word; "" if nothing is."""
    try:
        size = quantity(text)
    except Invalid as error:
        return f"{error.message}: it is ignored, as on a cluster; {error.hint}"
    if size < 0:
        return f"{text!r} is below zero: it is ignored here, and a cluster makes no worker with it"
    if 0 < size < 1:
        return (
            f"{text!r} is less than a byte, for m is a thousandth: it is ignored here, and a cluster makes no worker with it; write M or Mi"
        )
    return ""
