"""The variables of the environment that say how an engine works: which executor, and how many datums at once."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from local_runner.executors import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    from local_runner.executors.base import Executor

__all__ = ["EXECUTOR_VARIABLE", "JOBS_VARIABLE", "jobs_from_environment"]
JOBS_VARIABLE = "LOCAL_RUNNER_JOBS"


def jobs_from_environment(executor: Executor) -> int:
    """The number of datums that run at once: `LOCAL_RUNNER_JOBS`, else what the executor has room for, else the number of cores.

    Raises `Unavailable` for a cluster that is gone.
    """
    given = os.environ.get(JOBS_VARIABLE, "")
    return max(1, int(given)) if re.fullmatch("[0-9]{1,4}", given) else executor.places() or os.cpu_count() or 1
