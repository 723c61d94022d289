"""A Gaussian process with expected improvement (Jones et al., 1998), on scikit-learn's own regressor.

scikit-optimize is not kept any longer; BoTorch and Optuna's own sampler of this kind bring PyTorch. scikit-learn is there for the stages.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local_runner.errors import Unavailable
from local_runner.model.space import Choice, Point, Space, Value
from local_runner.search.points import name_of
from local_runner.search.samplers.base import Known

Vector = NDArray[np.float64]

_STARTUP = 8  # points at random, before a process has anything to go by
_CANDIDATES = 1000  # points among which the most promising one is taken
_NEAR = 0.05  # how far a neighbour of the best point lies from it, as a share of the range
_MOST = 300  # points that a process is fitted to, the best and the newest: the time grows with the third power


class GaussianProcessSampler:
    """Asks for the point whose expected improvement is largest. Points that are out count as what is expected of them.

    Raises `Unavailable` if scikit-learn is not installed.
    """

    adapts = True

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._known = Known(seed)
        self._points: dict[str, Point] = {}
        _regressor(1, 0)  # what is missing is said before anything runs

    def tell(self, point: Point, score: float | None) -> None:
        self._known.tell(point, score)
        self._points[name_of(point)] = point

    def expect(self, point: Point) -> None:
        self._known.expect(point)

    def ask(self) -> Point | None:
        chance = self._known.chance()
        scored = [(self._points[name], score) for name, score in self._known.scores.items() if score is not None]
        if len(scored) < _STARTUP:
            return self._known.asked(self._space.draw(chance))
        return self._known.asked(self._most_promising(self._basis(scored), chance))

    def _basis(self, scored: Sequence[tuple[Point, float]]) -> list[tuple[Point, float]]:
        if len(scored) <= _MOST:
            return list(scored)
        newest = list(scored[-_MOST // 2 :])
        return newest + sorted(scored[: -_MOST // 2], key=lambda one: -one[1])[: _MOST // 2]

    def _most_promising(self, scored: Sequence[tuple[Point, float]], chance: random.Random) -> Point:
        seen = np.array([self._vector(point) for point, _ in scored])
        scores = np.array([score for _, score in scored])
        process = _regressor(seen.shape[1], chance.getrandbits(32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a length scale is at its bound: a parameter without effect
            process.fit(seen, scores)
            out = [self._vector(point) for point in self._known.out.values()]
            if out:
                guessed = process.predict(np.array(out))
                seen, scores = np.vstack([seen, out]), np.append(scores, guessed)
                process.optimizer = None
                process.kernel = process.kernel_
                process.fit(seen, scores)
        best = [point for point, _ in sorted(scored, key=lambda one: -one[1])[:5]]
        candidates = self._candidates(best, chance)
        mean, deviation = process.predict(np.array([self._vector(point) for point in candidates]), return_std=True)
        return candidates[int(np.argmax(_expected_improvement(mean, deviation, float(scores.max()))))]

    def _candidates(self, best: Sequence[Point], chance: random.Random) -> list[Point]:
        """Points from everywhere, and neighbours of the best; those that nobody has met, if there are any."""
        found = [self._space.draw(chance) for _ in range(_CANDIDATES)]
        found += [self._neighbour(point, chance) for point in best for _ in range(_CANDIDATES // 10)]
        fresh = [point for point in found if (name := name_of(point)) not in self._known.scores and name not in self._known.out]
        return fresh or found

    def _neighbour(self, point: Point, chance: random.Random) -> Point:
        """A point of the same part that differs little: numbers a bit, and a choice now and then."""
        near: dict[str, Value] = {}
        for parameter in self._space.parts[self._space.part_of(point) or 0]:
            if not parameter.is_active(near):
                continue
            domain, value = parameter.domain, point.get(parameter.name)
            if isinstance(domain, Choice) or isinstance(value, str) or value is None:
                near[parameter.name] = domain.draw(chance) if value is None or chance.random() < _NEAR else value
            else:
                near[parameter.name] = domain.at(min(max(domain.share(value) + chance.gauss(0.0, _NEAR), 0.0), 1.0))
        return near

    def _vector(self, point: Point) -> list[float]:
        """A point as numbers from 0 to 1: a share for each range, one number for each option; what is not part of it stands at 0.5."""
        number = self._space.part_of(point) or 0
        vector = [float(part == number) for part in range(len(self._space.parts))]
        for at, part in enumerate(self._space.parts):
            for parameter in part:
                domain, value = parameter.domain, point.get(parameter.name) if at == number else None
                if isinstance(domain, Choice):
                    place = -1 if value is None else domain.place(value)
                    vector += [float(option == place) for option in range(len(domain.options))]
                elif value is None or isinstance(value, str):
                    vector.append(0.5)
                else:
                    vector.append(domain.share(value))
        return vector


def _expected_improvement(mean: Vector, deviation: Vector, best: float) -> Vector:
    """How much more than the best so far a point is expected to give, counting less as nothing (Jones et al., 1998, equation 15)."""
    sure = np.maximum(deviation, 1e-12)
    z = (mean - best) / sure
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    share = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z])
    improvement: Vector = (mean - best) * share + sure * density
    return improvement


def _regressor(width: int, seed: int) -> Any:
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
    except ImportError:
        raise Unavailable("the sampler gp needs scikit-learn", hint="pip install 'local_runner[search]', or --sampler random") from None
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern([0.3] * width, (1e-2, 1e1), nu=2.5) + WhiteKernel(1e-4, (1e-8, 1e-1))
    return GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=0, random_state=seed)
