"""Describes a failed job: which datum failed, and what it printed last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_runner.model.jobs import JobInfo, JobState

if TYPE_CHECKING:
    from local_runner.runner import Runner


def last_words(runner: Runner, info: JobInfo) -> Iterator[str]:
    """Lines about the first datum that failed in a job, with the end of what its last attempt printed; none if no datum did."""
    if info.state is not JobState.FAILURE:
        return
    for datum in runner.list_datum(info.job):
        if datum.state == "failed":
            paths = ", ".join(f"{file.source.repo}:{file.path}" for file in datum.datum.inputs)
            lines = runner.last_lines(info.job, datum.datum.id)
            yield f"datum {datum.datum.id} ({paths}): {datum.reason}; it printed {'last:' if lines else 'nothing'}"
            yield from (f"    {line}" for line in lines)
            job = f"{info.job.pipeline.name}@{info.job.id}"
            yield f"try it again: python -m local_runner datum run {job} {datum.datum.id[:12]}"
            yield f"all of it: python -m local_runner logs -j {job} --datum {datum.datum.id[:12]}"
            return  # one shows what is wrong; the rest is in the logs
