r"""Pachyderm's glob language as trees: what a pattern says, element by element (reference pps 1.5).

Every element of the language has its line in `_Parser`; two oddities are kept because they cost nothing and a spec that works on a
cluster must mean the same here:

* Inside braces plain text runs on to `,` or `}` even where a parenthesis is open, so `{(a|b),c}` is the group of `a|b)` and `c`.
* A backslash in the literal beginning of a pattern counts as a character of the path as well, so `/a\ b*` selects nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from local_runner.errors import Invalid

MAX_LENGTH, MAX_DEPTH = 65_536, 50  # characters; groups within groups

BRACES = ""  # the quantifier of a group that captures nothing


@dataclass(frozen=True, slots=True)
class GlobText:
    text: str

    @property
    def regex(self) -> str:
        return re.escape(self.text)


@dataclass(frozen=True, slots=True)
class One:
    """One character: `?`, or a class of the ranges of a pair of brackets."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    @property
    def regex(self) -> str:
        ranges = "".join(f"{re.escape(low)}-{re.escape(high)}" if low != high else re.escape(low) for low, high in self.ranges)
        return f"[{'^' if self.negated else ''}{ranges}]"

    def takes(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True, slots=True)
class Star:
    """`*`, or `**` where it `crosses` separators."""

    crosses: bool

    @property
    def regex(self) -> str:
        return ".*" if self.crosses else "[^/]*"


@dataclass(frozen=True, slots=True)
class GlobGroup:
    """Alternatives in braces (`BRACES`) or in parentheses after one of `@*+?!`.

    A `!` takes what does not begin with one of them, or with `whole`, what is not one of them.
    """

    quantifier: str
    alternatives: tuple[Sequence, ...]
    whole: bool = False

    @property
    def regex(self) -> str:
        end = "$" if self.whole else ""
        inner = f"{end}|".join(map(regex, self.alternatives))
        match self.quantifier:
            case "":
                return f"(?:{inner})"
            case "@":
                return f"({inner})"
            case "!":
                return f"((?:(?!(?:{inner}{end}))[^/]*))"
        return f"((?:{inner}){self.quantifier})"


Element = GlobText | One | Star | GlobGroup
Sequence = tuple[Element, ...]

ANY = One((("/", "/"),), negated=True)


def regex(sequence: Sequence) -> str:
    """The Python regular expression that matches the same, capture for capture; backtracking, it may take for ever."""
    return "".join(element.regex for element in sequence)


def linear_regex(sequence: Sequence) -> str | None:
    """As `regex`, but never looking back further than one star; None if there are elements for which that is not enough.

    Where stars stop at separators, and nothing else takes one, what stands between two stars may be taken where it is found first: the
    star after it takes the rest. So at most the length of the path times that of the pattern is looked at.
    """
    parts = [""]
    for element in sequence:
        if isinstance(element, Star) and not element.crosses:
            parts.append("")
        elif isinstance(element, GlobText) or (isinstance(element, One) and not element.takes("/")):
            parts[-1] += element.regex
        else:
            return None
    first, *rest = parts
    between = "".join(f"(?>[^/]*?{part})" for part in rest[:-1])
    return first + between + "".join(f"[^/]*{part}" for part in rest[-1:])


class Parsed(NamedTuple):
    """A pattern's elements; `depth` is the number of separators in every match, None if they differ."""

    elements: Sequence
    depth: int | None


def parse(pattern: str) -> Parsed:
    """The elements of a cleaned pattern. Raises `Invalid` for one that does not compile, is too long or nested too deeply."""
    if len(pattern) > MAX_LENGTH:
        raise Invalid(f'invalid glob "{pattern[:40]}…": it has {len(pattern)} characters', hint=f"the longest glob has {MAX_LENGTH}")
    parser = _Parser(pattern)
    elements = parser.parse()
    return Parsed(elements, None if parser.crosses else parser.slashes)


# Where a run of plain text ends: anywhere, and additionally outside groups, inside parentheses, inside braces.
_STOPS = "?*[{("
_TEXT_STOPS = _STOPS + "@!^+"
_CAPTURE_STOPS = _TEXT_STOPS + ")|"
_BRACE_STOPS = _TEXT_STOPS + "},"

_POSIX = {
    ":alnum:": "0-9A-Za-z",
    ":alpha:": "A-Za-z",
    ":ascii:": "\x00-\x7f",
    ":blank:": "\t ",
    ":cntrl:": "\x00-\x1f\x7f",
    ":digit:": "0-9",
    ":graph:": "!-~",
    ":lower:": "a-z",
    ":print:": " -~",
    ":punct:": "!-/:-@[-`{-~",
    ":space:": "\t\n\v\f\r ",
    ":upper:": "A-Z",
    ":word:": "0-9A-Za-z_",
    ":xdigit:": "0-9A-Fa-f",
}


class _Open:
    """A group that is not closed yet, or the whole pattern."""

    def __init__(self, quantifier: str) -> None:
        self.quantifier = quantifier
        self.alternatives: list[list[Element]] = [[]]

    def sequences(self, *, whole: bool) -> tuple[Sequence, ...]:
        return tuple(tuple(_whole(element) if whole else element for element in alternative) for alternative in self.alternatives)


def _whole(element: Element) -> Element:
    """A negation, and those inside it, as one of whole rests."""
    if not isinstance(element, GlobGroup):
        return element
    alternatives = tuple(tuple(map(_whole, alternative)) for alternative in element.alternatives)
    return GlobGroup(element.quantifier, alternatives, element.quantifier == "!")


class _Parser:
    """One pass over a pattern. Afterwards `slashes` counts the separators, and `crosses` says that matches may have more or fewer."""

    def __init__(self, pattern: str) -> None:
        self.slashes = 0
        self.crosses = False
        self._pattern = pattern
        self._at = 0
        self._stack = [_Open(BRACES)]
        self._braces = 0
        self._captures = 0
        self._negated = self._goes_on = False  # a negation was closed; something fixed or greedy follows it

    def parse(self) -> Sequence:
        while self._at < len(self._pattern):
            self._element()
        while len(self._stack) > 1:
            self._close()
        # One decision for all negations: they reject whole path elements only if nothing fixed or greedy follows the first of them.
        return self._stack[0].sequences(whole=self._negated and not self._goes_on)[0]

    def _element(self) -> None:
        here = self._pattern[self._at]
        following = self._pattern[self._at + 1 : self._at + 2]
        if here == "{":
            self._braces += 1
            self._open(BRACES, 1)
        elif (here == "," and self._braces) or (here == "|" and self._captures):
            self._at += 1
            self._stack[-1].alternatives.append([])
        elif here == "}" and self._braces:
            self._braces -= 1
            self._at += 1
            self._close()
        elif here == ")" and self._captures:
            self._captures -= 1
            self._at += 1
            self._close()
        elif here == "(":
            self._capture("@", 1)
        elif here in "@!^+*?" and following == "(":
            self._capture(here, 2)
        elif here == "?":
            self._emit(ANY, 1)
        elif here == "*" and following == "*" and self._pattern[self._at + 2 : self._at + 3] != "(":
            self.crosses = True
            self._emit(Star(True), 2)
        elif here == "*":
            self._emit(Star(False), 1)
        elif here == "[":
            self._class()
        else:
            self._text(here)

    def _emit(self, element: Element, width: int = 0) -> None:
        self._stack[-1].alternatives[-1].append(element)
        self._at += width
        self._goes_on |= self._negated and isinstance(element, (GlobText, Star))

    def _open(self, quantifier: str, width: int) -> None:
        if len(self._stack) > MAX_DEPTH:
            raise self._wrong(f"more than {MAX_DEPTH} groups within each other", "match less exactly, and let the pipeline look")
        self._stack.append(_Open(quantifier))
        self._at += width

    def _close(self) -> None:
        group = self._stack.pop()
        self._emit(GlobGroup(group.quantifier, group.sequences(whole=False)))
        self._negated |= group.quantifier == "!"

    def _capture(self, quantifier: str, width: int) -> None:
        if quantifier == "^":
            raise self._wrong("unimplemented quatifier ^", "to exclude names write !(…)")
        self._captures += 1
        self._open(quantifier, width)

    def _text(self, first: str) -> None:
        if first in "@!^+":
            stops = _STOPS
        elif self._braces:
            stops = _BRACE_STOPS
        else:
            stops = _CAPTURE_STOPS if self._captures else _TEXT_STOPS
        text = ""
        while self._at < len(self._pattern) and self._pattern[self._at] not in stops:
            if self._pattern[self._at] == "\\":
                self._at += 1
            text += self._pattern[self._at : self._at + 1]
            self._at += 1
        self.slashes += text.count("/")
        self.crosses |= len(self._stack) > 1 and "/" in text
        if text:
            self._emit(GlobText(text))

    def _class(self) -> None:
        members, negated, inner = "", False, False
        self._at += 1
        while self._at < len(self._pattern):
            char = self._pattern[self._at]
            self._at += 1
            if char == "\\":
                members += self._pattern[self._at : self._at + 1]
                self._at += 1
            elif char == "]" and not inner:
                break
            elif char in "!^" and not negated:
                negated = True
            else:
                inner = char == "[" or (inner and char != "]")
                members += char
        else:
            raise self._wrong("unexpected end of input", "close the class with ], or write \\[ for the character itself")
        for name, chars in _POSIX.items():
            members = members.replace(name, chars)
        ranges = self._ranges(members)
        self.crosses |= any(low <= "/" <= high for low, high in ranges) != negated
        self._emit(One(ranges, negated))

    def _ranges(self, members: str) -> tuple[tuple[str, str], ...]:
        found = tuple((item[0], item[-1]) for item in re.findall(r"(?s:.-.|.)", members))
        if not found:
            raise self._wrong("error parsing regexp: empty character class []", "list the characters, as in [abc]")
        for low, high in found:
            if low > high:
                raise self._wrong(f"error parsing regexp: [{low}-{high}] range in reverse order", f"write [{high}-{low}]")
        return found

    def _wrong(self, problem: str, hint: str) -> Invalid:
        return Invalid(f'invalid glob "{self._pattern}": {problem}', hint=hint)
