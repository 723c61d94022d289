"""Globs as trees, their text, and an obviously right matcher: no regular expressions, only sets of places where a match may end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """Characters that stand for themselves; `escaped`, each with a backslash, whether it needs one or not."""

    text: str
    escaped: bool = False


@dataclass(frozen=True)
class Star:
    """`*`, or `**` where it crosses."""

    crosses: bool


@dataclass(frozen=True)
class One:
    """`?`"""


@dataclass(frozen=True)
class Class:
    ranges: tuple[tuple[str, str], ...]
    negated: bool


@dataclass(frozen=True)
class Braces:
    alternatives: tuple[Sequence, ...]


@dataclass(frozen=True)
class Capture:
    quantifier: str
    alternatives: tuple[Sequence, ...]


Node = Text | Star | One | Class | Braces | Capture
Sequence = tuple[Node, ...]


def render(sequence: Sequence) -> str:
    """The pattern. Empty braces keep stars apart that would become another element together."""
    text = ""
    for part in map(_render, sequence):
        text += "{}" + part if text.endswith("*") and part.startswith("*") else part
    return text


def _render(node: Node) -> str:
    match node:
        case Text(text, escaped):
            return "".join(f"\\{character}" for character in text) if escaped else text
        case Star(crosses):
            return "**" if crosses else "*"
        case One():
            return "?"
        case Class(ranges, negated):
            members = "".join(low if low == high else f"{low}-{high}" for low, high in ranges)
            return f"[{'!' if negated else ''}{members}]"
        case Braces(alternatives):
            return "{" + ",".join(map(render, alternatives)) + "}"
        case Capture(quantifier, alternatives):
            return f"{quantifier}({'|'.join(map(render, alternatives))})"


def matches(sequence: Sequence, path: str) -> bool:
    """Whether the pattern selects the path, given without trailing slash."""
    return len(path) in _ends(sequence, path, 0, _whole(sequence))


def _ends(sequence: Sequence, path: str, start: int, whole: bool) -> set[int]:
    """Where a match of the sequence may end that begins at `start`."""
    places = {start}
    for node in sequence:
        places = {end for place in places for end in _node_ends(node, path, place, whole)}
    return places


def _node_ends(node: Node, path: str, start: int, whole: bool) -> set[int]:
    here = path[start : start + 1]
    match node:
        case Text(text):
            return {start + len(text)} if path.startswith(text, start) else set()
        case Star(crosses):
            return set(range(start, len(path) + 1)) if crosses else _run(path, start)
        case One():
            return {start + 1} if here not in ("", "/") else set()
        case Class(ranges, negated):
            inside = any(low <= here <= high for low, high in ranges)
            return {start + 1} if here and inside != negated else set()
        case Braces(alternatives) | Capture("@", alternatives):
            return _any(alternatives, path, start, whole)
        case Capture("?", alternatives):
            return {start} | _any(alternatives, path, start, whole)
        case Capture("*", alternatives):
            return {start} | _repeated(alternatives, path, start, whole)
        case Capture("+", alternatives):
            return _repeated(alternatives, path, start, whole)
        case Capture("!", alternatives):
            excluded = _any(alternatives, path, start, whole)
            return set() if (len(path) in excluded if whole else excluded) else _run(path, start)
    raise AssertionError(node)


def _run(path: str, start: int) -> set[int]:
    """All places up to the next separator."""
    slash = path.find("/", start)
    return set(range(start, (slash if slash >= 0 else len(path)) + 1))


def _any(alternatives: tuple[Sequence, ...], path: str, start: int, whole: bool) -> set[int]:
    return {end for alternative in alternatives for end in _ends(alternative, path, start, whole)}


def _repeated(alternatives: tuple[Sequence, ...], path: str, start: int, whole: bool) -> set[int]:
    found: set[int] = set()
    fresh = _any(alternatives, path, start, whole)
    while fresh:
        found |= fresh
        fresh = {end for place in fresh for end in _any(alternatives, path, place, whole)} - found
    return found


def _whole(sequence: Sequence) -> bool:
    """Whether negations exclude whole rests only: nothing but `?` and classes follows the end of the first that is closed."""
    marks = "".join(_marks(sequence))
    return "text" not in marks[marks.find("end") :]


def _marks(sequence: Sequence) -> Iterator[str]:
    for node in sequence:
        match node:
            case Text() | Star():
                yield "text"
            case Braces(alternatives) | Capture(_, alternatives):
                for alternative in alternatives:
                    yield from _marks(alternative)
                if isinstance(node, Capture) and node.quantifier == "!":
                    yield "end"
