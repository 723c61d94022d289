"""Observers are told how jobs and datums progress; the default one does nothing."""

from __future__ import annotations

from typing import Protocol

from local_runner.model.jobs import JobInfo
from local_runner.model.refs import JobRef
from local_runner.pipelines.outcome import Outcome


class Observer(Protocol):
    """Called from the engine's thread; must not take long, nor raise."""

    def job_changed(self, info: JobInfo) -> None: ...

    def datum_ended(self, job: JobRef, outcome: Outcome) -> None: ...


class SilentObserver:
    def job_changed(self, info: JobInfo) -> None:
        pass

    def datum_ended(self, job: JobRef, outcome: Outcome) -> None:
        pass
