"""Finds out how a text that is no YAML could be mended: small edits where it breaks, of which the first that helps is the hint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# `key: value` or `- value` on a line, with the value apart.
_VALUE = re.compile(r"(?P<front>\s*(?:-\s+)*(?:[\w.\"'-]+\s*:\s+|-\s+))(?P<value>\S.*?)(?P<end>\s*)")
_LONGEST_HINT = 200
_LONGEST_TEXT = 200_000  # of one that is longer nothing is tried

TEMPLATE_HINT = "this is a template that was not rendered: put the value in place of {{ … }}, or render it first"


class Place(NamedTuple):
    """A place in a text, both from 0."""

    line: int
    column: int


class _Edit(NamedTuple):
    text: str
    hint: str


def mending_hint(text: str, at: Place, breaks: Callable[[str], Place | None]) -> str:
    """What to change where a text breaks; "" if nothing is known to help. `breaks` says where another text does, None if nowhere.

    What helps makes the text break later, or not at all.
    """
    lines = text.split("\n")
    line = lines[at.line] if at.line < len(lines) else ""
    if "{{" in line or "{%" in line:
        return TEMPLATE_HINT
    if len(text) > _LONGEST_TEXT:
        return ""
    for edit in _edits(lines, line, at):
        later = breaks(edit.text)
        if later is None or later.line > at.line + edit.text.count("\n") - text.count("\n"):
            return edit.hint
    return ""


def _edits(lines: list[str], line: str, at: Place) -> Iterator[_Edit]:
    def with_line(*changed: str) -> str:
        return "\n".join([*lines[: at.line], *changed, *lines[at.line + 1 :]])

    before, after = line[: at.column], line[at.column :]
    if after.startswith(("{", "[")):
        yield _Edit(with_line(*filter(str.strip, (before,)), "---", after), "put a line --- between two specs")
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        spaced = [one.replace("\t", "  ") if not one[: len(one) - len(one.lstrip())].isspace() else one.expandtabs(2) for one in lines]
        yield _Edit("\n".join(spaced), "indent with blanks, not with tabs")
    if not after and at.line + 1 >= len(lines):
        for closing in ("}", "]", '"', "'"):
            yield _Edit("\n".join(lines).rstrip() + closing, f"put {closing} at the end: it is opened and never closed")
    for number in dict.fromkeys((at.line, at.line - 1)):
        if 0 <= number < len(lines) and (found := _VALUE.fullmatch(lines[number])):
            quoted = f"{found['front'].strip()} {json.dumps(found['value'], ensure_ascii=False)}"
            whole = [*lines[:number], f"{found['front']}{json.dumps(found['value'], ensure_ascii=False)}", *lines[number + 1 :]]
            if len(quoted) <= _LONGEST_HINT:
                yield _Edit("\n".join(whole), f"put it in quotes: {quoted}")
    yield _Edit(with_line(f"{before},{after}"), "put a comma before it")
