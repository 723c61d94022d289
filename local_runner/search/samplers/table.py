"""The samplers by name."""

from __future__ import annotations

from local_runner.errors import Invalid
from local_runner.model.space import Space
from local_runner.project.search import SAMPLERS
from local_runner.search.samplers.base import Sampler


def make_sampler(name: str, space: Space, seed: int) -> Sampler:
    """A sampler that knows nothing yet. Raises `Invalid` for a name or a space it cannot work with, `Unavailable` for what is missing."""
    if name == "grid":
        from local_runner.search.samplers.grid import GridSampler

        return GridSampler(space, seed)
    if name == "random":
        from local_runner.search.samplers.random import RandomSampler

        return RandomSampler(space, seed)
    if name == "tpe":
        from local_runner.search.samplers.tpe import TPESampler

        return TPESampler(space, seed)
    if name == "gp":
        from local_runner.search.samplers.gp import GaussianProcessSampler

        return GaussianProcessSampler(space, seed)
    raise Invalid(f"there is no sampler {name}", hint=f"it is one of {', '.join(SAMPLERS)}")
