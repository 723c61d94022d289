r"""Pachyderm's glob language: which paths a pattern selects and what its groups capture (reference pps 1.5).

A pattern becomes one Python regular expression. Every element of the language has its line in `_Translator`; two oddities are kept
because they cost nothing and a spec that works on a cluster must mean the same here:

* Inside braces plain text runs on to `,` or `}` even where a parenthesis is open, so `{(a|b),c}` is the group of `a|b)` and `c`.
* A backslash in the literal beginning of a pattern counts as a character of the path as well, so `/a\ b*` selects nothing.

Nothing guards against patterns that take exponential time, such as `+(*)x`: a cluster gives up on those after five minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from local_runner.errors import Invalid
from local_runner.model.names import clean_path

_SPECIAL = re.compile(r"[*?\[\]{}!()@+^]")
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>[0-9]+)|\{(?P<braced>[0-9]+)\})")


@dataclass(frozen=True, slots=True)
class Glob:
    """A compiled pattern.

    `pattern` is cleaned. Every matching path starts with `literal_prefix`. `depth` is the number of elements of every matching path,
    None if they differ.
    """

    pattern: str
    literal_prefix: str
    depth: int | None
    _regex: re.Pattern[str] = field(repr=False, compare=False)

    def matches(self, path: str) -> bool:
        """Whether the pattern selects this file or folder; a trailing slash makes no difference. 100 000 paths take 0.02 s."""
        return self._regex.fullmatch(path.rstrip("/")) is not None

    def replace(self, path: str, template: str) -> str:
        """The template of a `join_on` or `group_by` for this path: `$n` and `${n}` are capture n, `$0` the path, `$$` a dollar.

        References without a capture are empty, all of them if the path does not match. Raises `Invalid` for a number with a leading
        zero, on which a cluster's worker panics.
        """
        if "$" not in template:
            return template
        found = self._regex.fullmatch(path.rstrip("/"))
        captures = (found[0], *found.groups("")) if found else ()

        def capture(reference: re.Match[str]) -> str:
            if reference["dollar"]:
                return "$"
            digits = reference["bare"] or reference["braced"]
            if digits[0] == "0" and digits != "0":
                raise Invalid(f'invalid reference {reference[0]} in "{template}"', hint=f"write ${{{digits.lstrip('0') or '0'}}}")
            number = int(digits)
            return captures[number] if number < len(captures) else ""

        return _REFERENCE.sub(capture, template)


def compile_glob(pattern: str) -> Glob:
    """The glob behind a pattern as it was typed. Raises `Invalid` for one that does not compile."""
    cleaned = clean_path(pattern)
    special = _SPECIAL.search(cleaned)
    prefix = cleaned[: special.start()] if special else cleaned
    if cleaned == "/":
        return Glob(cleaned, prefix, 0, re.compile(""))  # paths lose their trailing slash before they are matched, the root too
    translator = _Translator(cleaned)
    regex = translator.translate()
    if "\\" in prefix:
        regex = f"(?={re.escape(prefix)}){regex}"
    return Glob(cleaned, prefix, None if translator.crosses else translator.slashes, re.compile(regex))


# Where a run of plain text ends: anywhere, and additionally outside groups, inside parentheses, inside braces.
_STOPS = "?*[{("
_TEXT_STOPS = _STOPS + "@!^+"
_CAPTURE_STOPS = _TEXT_STOPS + ")|"
_BRACE_STOPS = _TEXT_STOPS + "},"

# Marks in the translation, resolved when it is complete: the end of a negated alternative; what ends the reach of a negation.
_SCOPE, _BOUNDARY = "\uffff", "\ufffe"

_OPEN = {"@": "(", "*": "((?:", "+": "((?:", "?": "((?:", "!": "((?:(?!(?:"}
_CLOSE = {"@": ")", "*": ")*)", "+": ")+)", "?": ")?)", "!": f"{_SCOPE}))[^/]*))"}
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


class _Translator:
    """One pass over a pattern. Afterwards `slashes` counts the separators, and `crosses` says that matches may have more or fewer."""

    def __init__(self, pattern: str) -> None:
        self.slashes = 0
        self.crosses = False
        self._pattern = pattern
        self._at = 0
        self._out: list[str] = []
        self._groups: list[tuple[str, str]] = []  # of each open group: what separates its alternatives, what closes it
        self._braces = 0
        self._captures = 0

    def translate(self) -> str:
        while self._at < len(self._pattern):
            self._element()
        while self._groups:
            self._close()
        regex = "".join(self._out)
        # One decision for all negations: they reject whole path elements only if nothing fixed or greedy follows the first of them.
        first = regex.find(f"{_SCOPE})")
        scope = "" if _BOUNDARY in regex[first:] else "$"
        return regex.replace(_SCOPE, scope).replace(_BOUNDARY, "")

    def _element(self) -> None:
        here = self._pattern[self._at]
        following = self._pattern[self._at + 1 : self._at + 2]
        if here == "{":
            self._braces += 1
            self._open("(?:", "|", ")")
        elif (here == "," and self._braces) or (here == "|" and self._captures):
            self._emit(self._groups[-1][0])
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
            self._emit("[^/]")
        elif here == "*" and following == "*" and self._pattern[self._at + 2 : self._at + 3] != "(":
            self.crosses = True
            self._emit(f".*{_BOUNDARY}", 2)
        elif here == "*":
            self._emit(f"[^/]*{_BOUNDARY}")
        elif here == "[":
            self._class()
        else:
            self._text(here)

    def _emit(self, regex: str, width: int = 1) -> None:
        self._out.append(regex)
        self._at += width

    def _open(self, begin: str, between: str, end: str, width: int = 1) -> None:
        self._groups.append((between, end))
        self._emit(begin, width)

    def _close(self) -> None:
        self._out.append(self._groups.pop()[1])

    def _capture(self, quantifier: str, width: int) -> None:
        if quantifier == "^":
            raise self._wrong("unimplemented quatifier ^", "to exclude names write !(…)")
        self._captures += 1
        self._open(_OPEN[quantifier], f"{_SCOPE}|" if quantifier == "!" else "|", _CLOSE[quantifier], width)

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
        self.crosses |= bool(self._groups) and "/" in text
        self._out.append(re.escape(text) + _BOUNDARY if text else "")

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
        self._out.append(f"[{'^' if negated else ''}{''.join(f'{re.escape(low)}-{re.escape(high)}' for low, high in ranges)}]")

    def _ranges(self, members: str) -> list[tuple[str, str]]:
        found = [(item[0], item[-1]) for item in re.findall(r"(?s:.-.|.)", members)]
        if not found:
            raise self._wrong("error parsing regexp: empty character class []", "list the characters, as in [abc]")
        for low, high in found:
            if low > high:
                raise self._wrong(f"error parsing regexp: [{low}-{high}] range in reverse order", f"write [{high}-{low}]")
        return found

    def _wrong(self, problem: str, hint: str) -> Invalid:
        return Invalid(f'invalid glob "{self._pattern}": {problem}', hint=hint)
