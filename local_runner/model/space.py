"""Where points are looked for: parameters with their ranges and choices, on what they depend, and what lies inside."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from local_runner.errors import Invalid

Value = str | int | float | bool
Point = Mapping[str, Value]

_DIGITS = 6  # of a number that is drawn: more make tables wide, and no model better
_EXACT = 2**53  # up to here each whole number is a float of its own


@dataclass(frozen=True, slots=True)
class Real:
    """Numbers from `low` to `high`, both included. With `log` each factor is as likely as any other; a grid takes `steps` of them."""

    low: float
    high: float
    log: bool = False
    steps: int = 0

    def contains(self, value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high

    def draw(self, chance: random.Random) -> Value:
        return self.at(chance.random())

    def at(self, share: float) -> Value:
        """The value so far along the way from `low` (0) to `high` (1)."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = low + share * (high - low)
        return self.nearest(math.exp(value) if self.log else value)

    def nearest(self, value: float) -> Value:
        """A value of few digits that lies inside."""
        return canonical(min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high))

    def share(self, value: float) -> float:
        """How far along the way a value lies, the inverse of `at`."""
        if self.high == self.low:
            return 0.5
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def values(self) -> tuple[Value, ...]:
        """Those of a grid; none if it is not said how many."""
        if self.steps < 2:
            return (canonical(self.low),) if self.low == self.high or self.steps == 1 else ()
        return tuple(dict.fromkeys(self.at(step / (self.steps - 1)) for step in range(self.steps)))


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from `low` to `high`, both included; `log` and `steps` as in `Real`."""

    low: int
    high: int
    log: bool = False
    steps: int = 0

    def contains(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def draw(self, chance: random.Random) -> Value:
        return self.at(chance.random())

    def at(self, share: float) -> Value:
        """The number so far along the way; the first and the last have as much room as the others."""
        low, high = self.low - 0.5, self.high + 0.5
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low))) if self.log else low + share * (high - low)
        return self.nearest(value)

    def nearest(self, value: float) -> Value:
        return min(max(round(value), self.low), self.high)

    def share(self, value: float) -> float:
        low, high = self.low - 0.5, self.high + 0.5
        return math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)

    def values(self) -> tuple[Value, ...]:
        """Those of a grid: all, if it is not said how many."""
        count = self.high - self.low + 1
        if not self.steps or self.steps >= count:
            return tuple(range(self.low, self.high + 1))
        way = Real(self.low, self.high, self.log)
        shares = [step / (self.steps - 1) for step in range(self.steps)] if self.steps > 1 else [0.0]
        return tuple(dict.fromkeys(self.nearest(float(way.at(share))) for share in shares))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, in no order."""

    options: tuple[Value, ...]

    def contains(self, value: object) -> bool:
        return any(same(value, option) for option in self.options)

    def draw(self, chance: random.Random) -> Value:
        return canonical(chance.choice(self.options))

    def values(self) -> tuple[Value, ...]:
        return tuple(map(canonical, self.options))

    def place(self, value: object) -> int:
        """Which of the options a value is, from 0 on."""
        return next(place for place, option in enumerate(self.options) if same(value, option))


Domain = Real | Whole | Choice


@dataclass(frozen=True, slots=True)
class Condition:
    """A parameter is there only if another one is, with one of these values."""

    parameter: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name with its domain. It is part of a point if all conditions hold."""

    name: str
    domain: Domain
    when: tuple[Condition, ...] = ()

    def is_active(self, point: Point) -> bool:
        return all(c.parameter in point and any(same(point[c.parameter], value) for value in c.values) for c in self.when)


@dataclass(frozen=True, slots=True)
class Space:
    """All points of some parts; each part is a list of parameters, those that others depend on first."""

    parts: tuple[tuple[Parameter, ...], ...]

    def part_of(self, point: Point) -> int | None:
        """The number of the first part that a point lies in."""
        return next((number for number, part in enumerate(self.parts) if _holds(part, point)), None)

    def contains(self, point: Point) -> bool:
        return self.part_of(point) is not None

    def draw(self, chance: random.Random) -> Point:
        """A point at random; parts count by the number of their points, where that is finite."""
        sizes = [_size(part) for part in self.parts]
        weights = [size or 1 for size in sizes] if all(sizes) else [1] * len(sizes)
        part = chance.choices(self.parts, weights)[0]
        point: dict[str, Value] = {}
        for parameter in part:
            if parameter.is_active(point):
                point[parameter.name] = parameter.domain.draw(chance)
        return point

    def grid(self) -> Iterator[Point]:
        """All points of a grid, each once. Raises `Invalid` for a range of which it is not said how many values are meant."""
        seen = set()
        for part in self.parts:
            for point in _crossed(part):
                text = text_of(point)
                if text not in seen:
                    seen.add(text)
                    yield point

    @property
    def is_finite(self) -> bool:
        return all(_size(part) for part in self.parts)

    @property
    def names(self) -> list[str]:
        """Of all parameters, in the order in which they are written."""
        return list(dict.fromkeys(parameter.name for part in self.parts for parameter in part))


def _holds(part: Sequence[Parameter], point: Point) -> bool:
    active = {parameter.name: parameter for parameter in part if parameter.is_active(point)}
    return active.keys() == point.keys() and all(parameter.domain.contains(point[name]) for name, parameter in active.items())


def _size(part: Sequence[Parameter]) -> int:
    """How many points a part has at most, 0 if there is no end of them."""
    size = 1
    for parameter in part:
        if isinstance(parameter.domain, Real) and parameter.domain.low != parameter.domain.high:
            return 0
        size *= len(parameter.domain.values())
    return size


def _crossed(part: Sequence[Parameter]) -> Iterator[Point]:
    lists = []
    for parameter in part:
        values = parameter.domain.values()
        if not values:
            raise Invalid(
                f"{parameter.name} is a range, and a grid has to know which values of it are meant",
                hint=f"add steps = 7 to {parameter.name}, or write a list of values",
            )
        lists.append(values)
    for values in product(*lists):
        given = dict(zip((parameter.name for parameter in part), values, strict=True))
        point: dict[str, Value] = {}
        for parameter in part:
            if parameter.is_active(point):
                point[parameter.name] = given[parameter.name]
        yield point


def canonical(value: Value) -> Value:
    """The same number in one way of writing: 100.0 is 100, so that a grid and a sampler ask for one and the same point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def same(one: object, other: object) -> bool:
    """Whether two values are written alike: 1 and 1.0 are, 1 and true are not."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def text_of(point: Mapping[str, Any]) -> str:
    """A point as JSON, always in the same bytes."""
    return json.dumps({name: canonical(value) for name, value in point.items()}, sort_keys=True, ensure_ascii=False, allow_nan=False)


def shown(point: Mapping[str, Any]) -> str:
    """A point for people: `C=0.1 gamma=1 kernel=rbf`."""
    return " ".join(f"{name}={show_value(value)}" for name, value in point.items())


def show_value(value: object) -> str:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, bool) else str(value)
