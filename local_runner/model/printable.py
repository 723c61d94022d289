"""Text that a terminal shows as it is, and never obeys."""

from __future__ import annotations

import re

# What a terminal obeys instead of showing it: control characters but for newline and tab, and what turns the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, *, newlines: bool = True) -> str:
    """Text as it may be shown on a terminal: what a terminal would obey is escaped, as in `\\x1b`; without `newlines` those, too."""
    safe = _CONTROL.sub(_escaped, text)
    return safe if newlines else safe.replace("\n", "\\n").replace("\t", "\\t")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
