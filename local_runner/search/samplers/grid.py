"""All points of a grid, in the order in which they are written."""

from __future__ import annotations

from local_runner.model.space import Point, Space
from local_runner.search.points import name_of
from local_runner.search.samplers.base import Known


class GridSampler:
    """Asks for each point of a grid that is neither known nor out. Raises `Invalid` for a range without steps."""

    adapts = False

    def __init__(self, space: Space, seed: int) -> None:
        self._known = Known(seed)
        self._left = iter(list(space.grid()))

    def tell(self, point: Point, score: float | None) -> None:
        self._known.tell(point, score)

    def expect(self, point: Point) -> None:
        self._known.expect(point)

    def ask(self) -> Point | None:
        for point in self._left:
            name = name_of(point)
            if name not in self._known.scores and name not in self._known.out:
                return self._known.asked(point)
        return None
