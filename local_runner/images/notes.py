"""What to know about the image of a pipeline, said where no engine is at hand: at creation, by `check`, `plan` and `doctor`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from local_runner.errors import LocalRunnerError
from local_runner.executors import EXECUTOR_VARIABLE
from local_runner.executors.base import Executor
from local_runner.executors.table import DASK, choose
from local_runner.images.choice import notes_of


def notes_here(image: str, folders: Mapping[str, Path], *, only_lacks: bool = False) -> list[str]:
    """As `notes_of`, by the executor that this process would choose; nothing where none works, which others tell, or on a cluster."""
    name = os.environ.get(EXECUTOR_VARIABLE, "auto")
    if name == DASK:
        return []  # to find out, it would have to be connected to
    try:
        executor = _chosen(choose, name)
    except LocalRunnerError:
        return []
    return notes_of(image, folders, executor, only_lacks=only_lacks)


@lru_cache(maxsize=4)
def _chosen(choice: Callable[[str], tuple[Executor, str]], name: str) -> Executor:
    """One for all images that are asked about: it remembers which engine there is, whose answers take 0.2 s."""
    return choice(name)[0]
