"""Finds out how a text that is no YAML could be mended: small edits where it breaks, of which the first that helps is the hint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# `key: value` or `- value` on a line, with the value apart.
_VALUE = re.compile(r"(?P<front>\s*(?:-\s+)*(?:[\w.\"'-]+\s*:\s+|-\s+))(?P<value>\S.*?)(?P<end>\s*)")
_COMMENT = re.compile(r"(?<!:)\s*//.*")
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as YAML counts lines
_CLOSING = frozenset("}]")
_LINES_LOOKED_AT = 20
_LONGEST_HINT = 200
_LONGEST_TEXT = 20_000  # of one that is longer nothing is tried

TEMPLATE_HINT = "this is a template that was not rendered: put the value in place of {{ … }}, or render it first"
_MERGE_MARK = re.compile(r"^(<{7}|>{7})( |$)", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{\w+\}")


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
    lines = _LINE_END.split(text)
    if at.line >= len(lines):
        return ""
    line = lines[at.line]
    if "{{" in line or "{%" in line:
        return TEMPLATE_HINT
    if hint := foreign_hint(text):
        return hint
    if unfilled := _VARIABLE.match(line, max(at.column - 1, 0)):
        return f"put the value in place of {unfilled[0]}: variables are not filled in here"
    if len(text) > _LONGEST_TEXT:
        return ""
    for edit in _edits(lines, line, at):
        later = breaks(edit.text)
        if later is None or later.line > at.line + edit.text.count("\n") - (len(lines) - 1):
            return edit.hint
    return ""


def foreign_hint(text: str) -> str:
    """What to do with a text that was written for another program; "" for any other."""
    if _MERGE_MARK.search(text):
        return "take out what a merge left: its lines of <<<<<<<, ======= and >>>>>>>, and one of the two versions between them"
    if text.lstrip().startswith(("function(", "local ")):
        return "this is a jsonnet template: give it with --jsonnet FILE, and its parameters with --arg NAME=VALUE"
    return ""


def _edits(lines: list[str], line: str, at: Place) -> Iterator[_Edit]:
    """What may help, the likeliest first."""

    def with_line(*changed: str, number: int = at.line) -> str:
        return "\n".join([*lines[:number], *changed, *lines[number + 1 :]])

    before, after = line[: at.column], line[at.column :]
    if after.startswith(("{", "[")):
        yield _Edit(with_line(*filter(str.strip, (before,)), "---", after), "put a line --- between two specs")
    if after.startswith(","):
        yield _Edit(with_line(before, "---", after[1:]), "put a line --- between two specs, in place of the comma")
    indent = _indent(line)
    if "\t" in indent:
        spaced = [_indent(one).replace("\t", "  ") + one[len(_indent(one)) :] for one in lines]
        yield _Edit("\n".join(spaced), "indent with blanks, not with tabs")
    if not after and at.line + 1 >= len(lines):
        for closing in ("}", "]", '"', "'"):
            yield _Edit("\n".join(lines).rstrip() + closing, f"put {closing} at the end: it is opened and never closed")
    for number in (at.line, at.line - 1):
        if number >= 0 and (comment := _COMMENT.search(lines[number])):
            yield _Edit(with_line(lines[number][: comment.start()], number=number), f"take out {comment[0].strip()}: comments begin with #")
    for number in (at.line, at.line - 1):
        if number >= 0 and (found := _VALUE.fullmatch(lines[number])) and (quoted := _quoted(found["value"])):
            front = found["front"].strip()
            if len(quoted) <= _LONGEST_HINT:
                yield _Edit(with_line(found["front"] + quoted, number=number), f"put it in quotes: {front} {quoted}")
    if after and before.endswith("\\"):
        yield _Edit(with_line(f"{before}\\{after}"), f'write \\\\{after[0]} in place of \\{after[0]} between "')
    if not before or before[-1].isspace():
        yield _Edit(with_line(f"{before},{after}"), "put a comma before it")
    if after[:1] in _CLOSING:
        yield _Edit(with_line(before + after[1:]), f"take out this {after[0]}: nothing is open that it could close")
    for number in range(at.line - 1, max(-1, at.line - _LINES_LOOKED_AT), -1):
        if lines[number].strip() and _indent(lines[number]) != indent:
            yield _Edit(with_line(_indent(lines[number]) + line.lstrip()), "begin it below one of the lines above, it stands between them")


def _quoted(value: str) -> str:
    """A value in quotes that hold it: in others, if it has some that do not; "" for a list or an object."""
    if value.startswith('"'):
        inner = value[1:].removesuffix('"')
        return f"'{inner}'" if "'" not in inner else ""
    if value.startswith("'"):
        return json.dumps(value[1:].removesuffix("'"), ensure_ascii=False)
    return "" if value.startswith(("[", "{")) else json.dumps(value, ensure_ascii=False)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
