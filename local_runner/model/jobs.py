"""Jobs: one run of a pipeline for one commit set (reference pps 4)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from local_runner.model.datums import DatumStats
from local_runner.model.refs import JobRef

# The error of a meta commit of which `gc` took away what it knew: such a job is the base of none.
FORGOTTEN = "what was known of its datums was not kept any longer"


class JobState(enum.Enum):
    # The record exists; no worker took the job yet.
    CREATED = "JOB_CREATED"
    # Taken; waits for its input commits to be finished.
    STARTING = "JOB_STARTING"
    # Datums are being worked on.
    RUNNING = "JOB_RUNNING"
    EGRESSING = "JOB_EGRESSING"
    # Every datum ended; the output is being checked and committed.
    FINISHING = "JOB_FINISHING"
    SUCCESS = "JOB_SUCCESS"
    # A datum failed, or the output is no valid commit.
    FAILURE = "JOB_FAILURE"
    # Stopped by a person, a timeout or a newer version; says nothing about the code.
    KILLED = "JOB_KILLED"
    # An input commit carries an error.
    UNRUNNABLE = "JOB_UNRUNNABLE"

    @property
    def is_final(self) -> bool:
        return self in _FINAL

    @property
    def word(self) -> str:
        """The state as tables show it."""
        return self.value.removeprefix("JOB_").lower()


_FINAL = frozenset({JobState.SUCCESS, JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE})


@dataclass(frozen=True, slots=True)
class Counters:
    """Datums of a job. `total` counts all current ones, the others are disjoint (reference pps 4.4)."""

    total: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class RunningDatum:
    """What a worker is doing right now. `hashes` are those of the files at `paths`, in base64 as everywhere in JSON."""

    worker: str
    datum: str
    paths: tuple[str, ...]
    started: float
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job. Times are seconds since the epoch; `started` is when its datums began.

    `unread` are inputs that none of the datums it ran looked into, as far as that can be told. `warnings` are sentences on what its
    user code did without, although it may have succeeded.
    """

    job: JobRef
    pipeline_version: int
    output_branch: str
    state: JobState
    reason: str
    created: float
    started: float | None
    finished: float | None
    counters: Counters = field(default_factory=Counters)
    stats: DatumStats = field(default_factory=DatumStats)
    restart: int = 0
    running: tuple[RunningDatum, ...] = ()
    unread: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobSetInfo:
    """All jobs of one commit set: the graph below one change."""

    id: str
    jobs: tuple[JobInfo, ...]
