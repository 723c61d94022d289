"""The variables of the environment that say how an engine works: which executor, and how many datums at once."""

from __future__ import annotations

import os
import re

from local_runner.executors import EXECUTOR_VARIABLE

__all__ = ["EXECUTOR_VARIABLE", "JOBS_VARIABLE", "jobs_from_environment"]
JOBS_VARIABLE = "LOCAL_RUNNER_JOBS"


def jobs_from_environment() -> int:
    """The number of datums that run at once: `LOCAL_RUNNER_JOBS`, else the number of cores."""
    given = os.environ.get(JOBS_VARIABLE, "")
    return max(1, int(given)) if re.fullmatch("[0-9]{1,4}", given) else os.cpu_count() or 1
