"""Runs one datum on one worker to its end: tries, timeouts, recovery, and what comes of it (reference pps 2.6, 2.8, 3.4)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from local_runner.engine.attempt import Attempt, JobContext, PreparedDatum, Preparer
from local_runner.engine.batching.batched_run import BatchedRun
from local_runner.engine.batching.client import NextDatumClient
from local_runner.engine.hindrances import NETWORK, hindrances, mistakes
from local_runner.engine.one_shot import OneShot
from local_runner.engine.outputs import BadOutput, collect, seen_files
from local_runner.engine.run_control import RunControl
from local_runner.errors import WorkerLost
from local_runner.executors.base import RunResult, Worker
from local_runner.executors.network_attempts import network_attempts
from local_runner.executors.parts import Scratch
from local_runner.model.datums import Datum, DatumState, DatumStats
from local_runner.pipelines.outcome import Outcome, OutputFile
from local_runner.storage.database import Database

_TRIES_BELOW_ZERO = 4  # of a negative `datum_tries`: a cluster's workers then retry three times


class UserCode(Protocol):
    """How user code is run: as a process for each datum, or as one for a set of them."""

    def take(self, context: JobContext, datum: Datum) -> PreparedDatum:
        """The datum, laid out for a try."""

    def run_once(self, context: JobContext, attempt: Attempt) -> RunResult:
        """Run user code for the datum, once."""


class DatumRunner:
    """Runs datums on one worker, one at a time. Another thread may call `interrupt` and `restart`.

    A worker with a `client` runs one process for a set of datums: `batch` is there. `owner` is `transform.user` as user and group id,
    if the worker's processes run as that.
    """

    def __init__(
        self,
        database: Database,
        worker: Worker,
        name: str,
        scratch: Scratch,
        client: NextDatumClient | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self._database = database
        self._worker = worker
        self._client = client
        self._control = RunControl(name, self._cancel)
        self._preparer = Preparer(database, worker, scratch, owner)
        self._one_shot = OneShot(worker, self._control, self._preparer)
        self._last_of_set = ""
        self._attempts = 0  # to reach the network, that were counted so far
        self.batch = BatchedRun(worker, client, self._control, self._preparer, name) if client is not None else None
        self._user_code: UserCode = self.batch or self._one_shot

    # -- from other threads ------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End what user code does now, for good."""
        self._control.interrupt()

    def restart(self, datum: str) -> None:
        """Make the present attempt of a datum a failed one; nothing if it is at another by now."""
        self._control.restart(datum)

    def _cancel(self) -> None:
        if self._client is not None:
            self._client.wake()
        with contextlib.suppress(WorkerLost):  # the thread that waits for the command reports it
            self._worker.cancel()

    # -- sets of datums ----------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take datums again after an interrupt; before the next set."""
        self._control.resume()

    def begin_set(self, name: str, datums: Sequence[Datum]) -> None:
        """These datums are to come, in this order; lay them out below `.scratch/<name>`."""
        self._last_of_set = datums[-1].id if datums else ""
        self._preparer.begin_set(name)
        if self.batch:
            self.batch.begin_set(datums)

    def clear(self) -> None:
        """Remove what the present set left."""
        self._preparer.clear()

    # -- one datum ---------------------------------------------------------------------------------------------------

    def run(self, context: JobContext, datum: Datum) -> Outcome:
        """Run a datum to its end. Raises `DatumStopped` if it was interrupted for good."""
        spec, recovered = context.spec, False
        tries = spec.datum_tries if spec.datum_tries > 0 else _TRIES_BELOW_ZERO
        for number in range(1, tries + 1):
            with self._attempt(context, datum) as attempt:
                result = self._user_code.run_once(context, attempt)
                self._control.check_stopped()
                if self._control.take_restart():
                    result = replace(result, cancelled=True)
                attempt.process_time, attempt.left, attempt.lazy_bytes = result.seconds, result.left, result.lazy_bytes
                attempt.download_time += result.laying
                if result.accepted(spec.transform.accept_return_code):
                    attempt.error = attempt.staged.unread_in_full(result.lazy_error) or self._collect(attempt, spec.datum_timeout)
                    if not attempt.error:
                        state = DatumState.RECOVERED if recovered else DatumState.PROCESSED
                        warnings = self._warn(context, attempt) if datum.id == self._last_of_set else ()
                        return replace(self._outcome(attempt, datum, DatumState.PROCESSED, state), warnings=warnings)
                else:
                    attempt.error = result.reason
                    recovered = self._recover(context, attempt, result) or recovered
                context.log.worker(self.name, datum, f"attempt {number} of {tries} failed: {attempt.error}")
                hindrances = self._explain(context, attempt)
                if number == tries:
                    state = DatumState.RECOVERED if recovered else DatumState.FAILED
                    return replace(self._outcome(attempt, datum, state, state), hindrances=hindrances)
        raise AssertionError("a datum has at least one try")

    @contextlib.contextmanager
    def _attempt(self, context: JobContext, datum: Datum) -> Iterator[Attempt]:
        """An attempt with a freshly staged datum, which is cleared away afterwards."""
        self._control.begin(datum.id)
        prepared = self._user_code.take(context, datum)
        attempt = Attempt(prepared, context.log.begin(self.name, datum), prepared.seconds)
        try:
            yield attempt
        finally:
            self._control.end()
            attempt.lines.close()
            attempt.staged.close()

    def _recover(self, context: JobContext, attempt: Attempt, failed: RunResult) -> bool:
        """Run the error command in the same tree; says whether it went well. Nothing starts after a timeout."""
        transform = context.spec.transform
        if not transform.err_cmd or failed.timed_out:
            return False
        result = self._one_shot.run_error_command(context, attempt)
        self._control.check_stopped()
        attempt.left = result.left
        if result.accepted(transform.accept_return_code):
            return True
        attempt.unrecovered = result.reason
        return False

    # -- what was withheld from it -----------------------------------------------------------------------------------

    def _explain(self, context: JobContext, attempt: Attempt) -> tuple[str, ...]:
        """What may have made an attempt fail, written among its lines, too."""
        withheld = context.withheld()
        tried = not withheld.has_network and self._tried_network()
        found = hindrances(withheld, attempt.lines.last, attempt.error, tried_network=tried)
        told = [*found, *mistakes(withheld, attempt.lines.last)]
        if attempt.unrecovered:
            told.append(f"err_cmd failed, too: {attempt.unrecovered}")
        self._tell(attempt, told)
        return tuple(found)

    def _warn(self, context: JobContext, attempt: Attempt) -> tuple[str, ...]:
        """What people should know of a set of datums although they succeeded, written among the lines of the last."""
        found = [NETWORK] if self._tried_network() and not context.withheld().has_network else []
        self._tell(attempt, found)
        return tuple(found)

    def _tell(self, attempt: Attempt, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            attempt.lines("stderr", f"local_runner: {sentence}".encode(errors="backslashreplace"))

    def _tried_network(self) -> bool:
        """Whether a process of the worker tried to reach the network since this was asked last. 60 µs."""
        before, self._attempts = self._attempts, network_attempts(self._worker.inside)
        return self._attempts > before

    # -- what came of it ---------------------------------------------------------------------------------------------

    def _collect(self, attempt: Attempt, timeout: float | None) -> str:
        """Read what the datum wrote; returns what is wrong with it, "" if nothing."""
        if not attempt.left.wrote:
            return ""
        began = time.monotonic()
        self._control.allow(timeout)
        try:
            attempt.outputs = collect(self._database.files, attempt.staged, self._worker, self._control.check)
        except BadOutput as error:
            attempt.lines("stderr", error.message.encode(errors="backslashreplace"))
            return error.message
        attempt.upload_time = time.monotonic() - began
        return ""

    def _outcome(self, attempt: Attempt, datum: Datum, counted: DatumState, state: DatumState) -> Outcome:
        if counted is not DatumState.PROCESSED and attempt.left.wrote and not attempt.outputs:
            with contextlib.suppress(BadOutput):
                attempt.outputs = collect(self._database.files, attempt.staged, self._worker)
        seen = list(seen_files(self._database.files, attempt.staged, attempt.left, self._worker))
        wrote = attempt.outputs
        seen += [OutputFile(f"/out{file.path}", file.content) for file in wrote]
        downloaded = attempt.staged.download_bytes + sum(pipe.read_bytes for pipe in attempt.staged.parts.pipes) + attempt.lazy_bytes
        uploaded = sum(file.content.size for file in wrote if not file.linked) if counted is DatumState.PROCESSED else 0
        stats = DatumStats(attempt.download_time, attempt.process_time, attempt.upload_time, downloaded, uploaded)
        kept = wrote if counted is DatumState.PROCESSED else []
        return Outcome(datum, counted, state, attempt.error, stats, kept, seen, attempt.lines.last, attempt.left.unread)
