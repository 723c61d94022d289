"""Points at random: each is drawn by the seed and by how many are known, so a search that goes on draws what it would have drawn."""

from __future__ import annotations

from local_runner.model.space import Point, Space
from local_runner.search.samplers.base import Known


class RandomSampler:
    """Draws from a space."""

    adapts = False

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._known = Known(seed)

    def tell(self, point: Point, score: float | None) -> None:
        self._known.tell(point, score)

    def expect(self, point: Point) -> None:
        self._known.expect(point)

    def ask(self) -> Point | None:
        return self._known.asked(self._space.draw(self._known.chance()))
