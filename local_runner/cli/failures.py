"""Describes a failed job: which datum failed, and what it printed last."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_runner.errors import NotFound
from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import CommitQuery

if TYPE_CHECKING:
    from local_runner.runner import Runner

_FAILED = re.compile(r"datum ([0-9a-f]{64}) failed\b")


def last_words(runner: Runner, info: JobInfo) -> Iterator[str]:
    """Lines about what a job that ended badly names in its reason: a datum that failed, with the end of what its last attempt printed, or
    the inputs whose jobs failed. None if it names neither."""
    if info.state is JobState.UNRUNNABLE:
        yield from _failed_inputs(runner, info)
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


def _failed_inputs(runner: Runner, info: JobInfo) -> Iterator[str]:
    """A line for each input that a failed pipeline wrote; it is named by its folder under /pfs in the reason, as on a cluster."""
    with contextlib.suppress(NotFound):
        output = runner.inspect_commit(CommitQuery(info.job.pipeline.repo, id=info.job.id))
        read = {commit.repo: commit for commit in output.direct_provenance}
        for leaf in leaves(runner.job_pipeline(info.job).spec.input):
            commit = read.get(leaf.source.repo)
            error = runner.inspect_commit(CommitQuery(commit.repo, id=commit.id)).error if commit else ""
            if commit and error:
                yield f"input {leaf.name} is written by {commit.repo.name}: its job {commit.repo.name}@{commit.id} failed: {error}"
