"""One try of a datum: how it is laid out before user code, and what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from local_runner import beneath
from local_runner.engine.environment import datum_env, dot_env
from local_runner.engine.hindrances import Withheld
from local_runner.engine.staging import Staged, stage
from local_runner.executors.base import Worker
from local_runner.executors.launcher.tree import UNTOUCHED, TreeChanges
from local_runner.executors.parts import Scratch
from local_runner.model.datums import Datum
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef
from local_runner.pipelines.outcome import OutputFile
from local_runner.planning.prepare import Roots
from local_runner.storage.database import Database
from local_runner.storage.job_log import JobLog, LogLines


@dataclass(frozen=True, slots=True)
class JobContext:
    """The parts of a datum's run that all datums of a job share. `withheld` finds out what their user code does without."""

    job: JobRef
    spec: PipelineSpec
    roots: Roots
    log: JobLog
    withheld: Callable[[], Withheld] = Withheld


@dataclass(slots=True)
class PreparedDatum:
    """A datum as it is laid out for one try. `told` is what `.env` says; `sent` says whether the NextDatum server has it."""

    datum: Datum
    staged: Staged
    env: Mapping[str, str]
    told: Sequence[str]
    seconds: float
    sent: bool = False


@dataclass(slots=True)
class Attempt:
    """One try of a datum: what user code was given, and what came of it."""

    given: PreparedDatum
    lines: LogLines
    download_time: float
    left: TreeChanges = UNTOUCHED
    error: str = ""
    unrecovered: str = ""  # why `err_cmd` failed, if it did
    outputs: list[OutputFile] = field(default_factory=list)
    process_time: float = 0.0
    upload_time: float = 0.0
    lazy_bytes: int = 0  # read of pipes by a worker elsewhere

    @property
    def staged(self) -> Staged:
        return self.given.staged


class Preparer:
    """Lays out the datums of a worker, those of a set below one folder of its scratch folder."""

    def __init__(self, database: Database, worker: Worker, scratch: Scratch, owner: tuple[int, int] | None) -> None:
        self._database = database
        self._worker = worker
        self._scratch = scratch
        self._owner = owner
        self._folder = ""

    def begin_set(self, folder: str) -> None:
        """Lay out what comes below `.scratch/<folder>`."""
        self._folder = folder

    def clear(self) -> None:
        """Remove what the present set left."""
        with contextlib.suppress(OSError):  # it goes with the worker
            beneath.remove_tree(self._scratch.descriptor, self._folder)

    def prepare(self, context: JobContext, datum: Datum) -> PreparedDatum:
        began = time.monotonic()
        env = datum_env(datum, context.job.id)
        told, s3_out = dot_env(self._worker, env), context.spec.s3_out
        staged = stage(
            *(self._database, datum, context.roots, self._scratch, self._folder, told),
            owner=self._owner,
            s3_out=s3_out,
            fetches=self._worker.fetches,
        )
        return PreparedDatum(datum, staged, env, told, time.monotonic() - began)
