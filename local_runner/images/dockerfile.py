"""Parses a Dockerfile into instructions: resolves comments, continued lines, here-documents and variables."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_HERE_DOCUMENT = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_VARIABLE = re.compile(r"\\\$|\$(?:\{(?P<braced>\w+)(?P<operator>:?[-+])?(?P<word>[^}]*)\}|(?P<plain>\w+))")


class Instruction(NamedTuple):
    """`name` is upper case; `flags` are the leading --words; `here` is the text of here-documents."""

    name: str
    rest: str
    flags: tuple[str, ...]
    here: str

    @property
    def words(self) -> list[str]:
        """The arguments of the JSON form or of the plain one."""
        if self.rest.startswith("["):
            try:
                return [str(word) for word in json.loads(self.rest)]
            except (ValueError, RecursionError):
                pass
        return split(self.rest)


def read_instructions(text: str) -> Iterator[Instruction]:
    lines = iter(text.splitlines())
    for line in lines:
        whole = line.strip()
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith("\\"):
            following = next(lines, None)
            if following is None:
                whole = whole[:-1]
            elif not following.strip().startswith("#"):
                whole = f"{whole[:-1].rstrip()} {following.strip()}"
        name, _, rest = whole.partition(" ")
        flags = []
        while found := re.match(r"\s*(--\S+)\s*", rest):
            flags.append(found[1])
            rest = rest[found.end() :]
        here = []
        for word in _HERE_DOCUMENT.findall(rest) if name.upper() in ("RUN", "COPY", "ADD") else ():
            for body in lines:
                if body.strip() == word:
                    break
                here.append(body)
        yield Instruction(name.upper(), rest.strip(), tuple(flags), "\n".join(here))


def expand(text: str, variables: Mapping[str, str], *, keep_unknown: bool = False) -> str:
    """Replace $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word}; an unknown variable is empty, or stays with `keep_unknown`."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "\\$":
            return "$"
        name, operator = found["braced"] or found["plain"], found["operator"] or ""
        is_set = bool(variables.get(name)) if operator.startswith(":") else name in variables
        if operator.endswith("+"):
            return found["word"] if is_set else ""
        return variables[name] if is_set else found["word"] if operator else found[0] if keep_unknown else ""

    return _VARIABLE.sub(value, text)


def needed(text: str) -> set[str]:
    """The variables without which a text has no meaning: those that have nothing to stand in for them."""
    found = _VARIABLE.finditer(text)
    return {one["braced"] or one["plain"] for one in found if one[0] != "\\$" and not (one["operator"] or "").endswith("-")}


def split(text: str) -> list[str]:
    """Words as a shell splits them; a text with a quote left open is split at its spaces."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def assignments(instruction: Instruction) -> dict[str, str]:
    """The variables of an ENV or ARG; one without a value is left out. ENV may also be written with a space for the "="."""
    words = split(instruction.rest)
    if instruction.name == "ENV" and words and "=" not in words[0]:
        name, _, value = instruction.rest.partition(" ")
        return {name: value.strip()}
    return dict(word.split("=", 1) for word in words if "=" in word)
