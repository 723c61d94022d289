"""What every sampler does: it is told what is known, and asked for the next point."""

from __future__ import annotations

import random
from typing import Protocol

from local_runner.model.space import Point
from local_runner.search.points import name_of


class Sampler(Protocol):
    """Two samplers of one space and seed that were told and asked the same, in the same order, ask for the same next.

    `adapts` says whether results change what is asked for; if not, all points can be asked for at once.
    """

    adapts: bool

    def tell(self, point: Point, score: float | None) -> None:
        """What a point of the space has come to: the more the better; None if it failed. May be told again."""
        ...

    def expect(self, point: Point) -> None:
        """A point of the space is out, whoever asked for it: its result will be told."""
        ...

    def ask(self) -> Point | None:
        """A point that may have been asked for before; None if there is no other. It counts as out from then on."""
        ...


class Known:
    """The points that a sampler has met, by name: the state from which the next is chosen, and the chance for it."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.scores: dict[str, float | None] = {}
        self.out: dict[str, Point] = {}
        self._asked = 0

    def tell(self, point: Point, score: float | None) -> None:
        name = name_of(point)
        self.out.pop(name, None)
        self.scores[name] = score

    def expect(self, point: Point) -> None:
        name = name_of(point)
        if name not in self.scores:
            self.out[name] = point

    @property
    def count(self) -> int:
        return len(self.scores) + len(self.out)

    def chance(self) -> random.Random:
        """By the seed, by how much is known, and by how often it was asked in vain: so it is the same after a restart."""
        return random.Random(f"{self._seed} {self.count} {self._asked}")

    def asked(self, point: Point) -> Point:
        """Note a point that was chosen: it is out; if it was met before, the next choice is another."""
        before = self.count
        self.expect(point)
        self._asked = 0 if self.count > before else self._asked + 1
        return point
