"""Describes a failed job: which datum failed, and what it printed last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_runner.model.jobs import JobInfo, JobState

if TYPE_CHECKING:
    from local_runner.runner import Runner

_FAILED = re.compile(r"datum ([0-9a-f]{64}) failed\b")


def last_words(runner: Runner, info: JobInfo) -> Iterator[str]:
    """Lines about the datum that a failed job names in its reason, with the end of what its last attempt printed; none if it names none."""
    found = _FAILED.match(info.reason) if info.state is JobState.FAILURE else None
    if found is None:
        return
    datum = runner.inspect_datum(info.job, found[1])
    paths = ", ".join(f"{file.source.repo}:{file.path}" for file in datum.datum.inputs)
    lines = runner.last_lines(info.job, datum.datum.id)
    yield f"datum {datum.datum.id} ({paths}): {datum.reason}; it printed {'last:' if lines else 'nothing'}"
    yield from (f"    {line}" for line in lines)
    job = f"{info.job.pipeline.name}@{info.job.id}"
    yield f"try it again: python -m local_runner datum run {job} {datum.datum.id[:12]}"
    yield f"all of it: python -m local_runner logs -j {job} --datum {datum.datum.id[:12]}"
