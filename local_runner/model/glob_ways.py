"""Bounds the work of a glob's regular expression on a path, before it is used."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from local_runner.model.glob_syntax import GlobGroup, GlobText, One, Sequence, Star

_ANYWHERE = ""  # what follows may begin with any character
_END = None  # nothing follows, or what does is looked at once

_Stops = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ways:
    """A bound: `factor`, times the ways to choose where repetitions stop, in order, each before a character of its own of `stops`.

    `asides` are the stops inside of negations, which look ahead. The factor is infinite where one text can be taken by a repetition in
    several ways: those multiply with each character.
    """

    factor: float = 1.0
    stops: _Stops = ()
    asides: tuple[_Stops, ...] = ()

    def steps(self, path: str) -> float:
        """An upper bound of the characters examined on a path."""
        return math.prod((_choices(stops, path) for stops in (self.stops, *self.asides)), start=self.factor * (len(path) + 1))

    def safe_length(self, most: int) -> int:
        """The longest path for which so many steps suffice; -1 if the empty path may take more."""
        repetitions = sum(map(len, (self.stops, *self.asides)))
        return math.floor((most / self.factor) ** (1 / (repetitions + 1))) - 2 if math.isfinite(self.factor) else -1

    def __mul__(self, other: Ways) -> Ways:
        return Ways(self.factor * other.factor, self.stops + other.stops, self.asides + other.asides)


def _choices(stops: _Stops, path: str) -> float:
    apart = math.prod((float(path.count(stop) + 1) for stop in stops), start=1.0)
    if _ANYWHERE in stops or len(stops) < 2:
        return apart
    places = sum(map(path.count, set(stops)))
    return min(apart, 2.0**places if places < 64 else math.inf)  # each place is a stop or is none


def ways_of(sequence: Sequence, after: str | None = _END) -> Ways:
    """The ways of a sequence before text that begins with `after`."""
    ways = Ways()
    for number, element in enumerate(sequence):
        follows = _first(sequence[number + 1 :], after)
        if isinstance(element, Star):
            # One that ends before a separator has one place to stop.
            if follows is not _END and (element.crosses or follows != "/"):
                ways *= Ways(stops=(follows,))
        elif isinstance(element, GlobGroup):
            ways *= _group_ways(element, follows)
    return ways


def _first(rest: Sequence, after: str | None) -> str | None:
    if not rest:
        return after
    return rest[0].text[0] if isinstance(rest[0], GlobText) else _ANYWHERE


def _group_ways(group: GlobGroup, after: str | None) -> Ways:
    match group.quantifier:
        case "*" | "+":
            return Ways(stops=(after or _ANYWHERE,)) if _is_unambiguous(group.alternatives) else Ways(math.inf)
        case "!":
            ways = Ways(2.0 * len(group.alternatives))
            for alternative in group.alternatives:
                excluded = ways_of(alternative, _END)
                ways *= Ways(excluded.factor, (), (excluded.stops, *excluded.asides))
            return ways * ways_of((Star(crosses=False),), after)
    branches = len(group.alternatives) + (group.quantifier == "?")
    ways = Ways(1.0 if group.quantifier != "?" and _is_unambiguous(group.alternatives) else float(branches))
    for alternative in group.alternatives:
        ways *= ways_of(alternative, after)
    return ways


def _is_unambiguous(alternatives: tuple[Sequence, ...]) -> bool:
    """Whether a text begins in one way at most with one of them, and each takes characters."""
    if len(alternatives) == 1:
        return bool(alternatives[0]) and all(isinstance(element, (GlobText, One)) for element in alternatives[0])
    texts = sorted(alternative[0].text for alternative in alternatives if len(alternative) == 1 and isinstance(alternative[0], GlobText))
    return len(texts) == len(alternatives) and not any(after.startswith(text) for text, after in itertools.pairwise(texts))
