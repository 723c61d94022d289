"""Keeps whose turn it is to be given a worker: pipelines in turn, and of each its oldest job that has datums waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from local_runner.engine.job_run import JobRun
from local_runner.model.refs import PipelineRef


class Turns:
    """The pipelines that have jobs under way; called from the engine's thread alone."""

    def __init__(self) -> None:
        self._order: dict[PipelineRef, None] = {}  # whose turn is next comes first

    def join(self, pipeline: PipelineRef) -> None:
        """Let a pipeline take part, after those that do so already."""
        self._order.setdefault(pipeline)

    def leave(self, pipeline: PipelineRef) -> None:
        self._order.pop(pipeline, None)

    def share_out(self, runs: Iterable[JobRun], give: Callable[[JobRun], bool]) -> None:
        """Offer one set of each pipeline in turn, until `give` took none; `runs` are what may be offered, of a pipeline the oldest first.

        A younger job waits in any case for the end of the older one, so that this has all workers it can use.
        """
        waiting: dict[PipelineRef, deque[JobRun]] = {pipeline: deque() for pipeline in self._order}
        for run in runs:
            waiting[run.info.job.pipeline].append(run)
        turns = deque(pipeline for pipeline, jobs in waiting.items() if jobs)
        while turns:
            pipeline = turns.popleft()
            jobs = waiting[pipeline]
            if not give(jobs[0]):
                continue
            self._order[pipeline] = self._order.pop(pipeline)
            if not jobs[0].sets:
                jobs.popleft()
            if jobs:
                turns.append(pipeline)
