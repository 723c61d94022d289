"""Runs user code as one process for a set of datums, which asks for one after the other (reference pps 2.8)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from local_runner.engine.attempt import Attempt, JobContext, PreparedDatum, Preparer
from local_runner.engine.batching.client import NextDatumCall, NextDatumClient
from local_runner.engine.environment import job_env, stdin_bytes
from local_runner.engine.run_control import RunControl
from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Output, Process, RunRequest, RunResult, Worker
from local_runner.executors.launcher.tree import UNTOUCHED, Tree
from local_runner.model.datums import Datum

PREMATURE_EXIT = "user code exited prematurely"


class _Running(NamedTuple):
    """The process of the present set, and where its lines go."""

    process: Process
    lines: _BatchLines


class BatchedRun:
    """Keeps the process of a worker whose pipeline batches, gives it datums, and prepares the next ones while it works."""

    def __init__(self, worker: Worker, client: NextDatumClient, control: RunControl, preparer: Preparer, name: str) -> None:
        self._worker = worker
        self._client = client
        self._control = control
        self._preparer = preparer
        self._name = name
        self._running: _Running | None = None
        self._call: NextDatumCall | None = None  # the process asks for its next datum, and has no answer yet
        self._upcoming: deque[Datum] = deque()
        self._ready: deque[PreparedDatum] = deque()  # prepared ahead of their turn; all but the last were sent

    def begin_set(self, datums: Sequence[Datum]) -> None:
        """These datums are to come, in this order."""
        self._upcoming = deque(datums)

    def start(self, context: JobContext) -> None:
        """Start the user's process, which asks for its first datum when it is ready; idempotent."""
        self._start(context)

    def _start(self, context: JobContext) -> _Running:
        if self._running is not None:
            return self._running
        self._client.listen()
        transform, lines = context.spec.transform, _BatchLines(context, self._name)
        stdin = stdin_bytes(transform.stdin)
        process = self._worker.start(RunRequest(transform.cmd, job_env(context.job.id), Tree(), lines, stdin, None, transform.working_dir))
        self._running = _Running(process, lines)
        # A thread that sleeps until the process ends, in place of polling.
        threading.Thread(target=self._watch, args=(process,), name=f"{self._name} watch", daemon=True).start()
        return self._running

    def _watch(self, process: Process) -> None:
        process.wait()
        self._client.wake()

    def end(self) -> bool:
        """Kill the user's process, as a worker does after the last datum of a set; idempotent.

        Returns whether it had been given another datum than the one that is known to be with it.
        """
        running, self._running, self._call = self._running, None, None
        has_moved_on = self._client.pause()
        if running is not None:
            running.process.kill()
        self.put_back()
        return has_moved_on

    def put_back(self) -> None:
        """Let go of what was prepared ahead of its turn."""
        for prepared in reversed(self._ready):
            prepared.staged.close()
            self._upcoming.appendleft(prepared.datum)
        self._ready.clear()

    def take(self, context: JobContext, datum: Datum) -> PreparedDatum:
        """The datum, laid out for a try; the next of the set, or the one that was taken last once more."""
        if self._ready and self._ready[0].datum is datum:
            return self._ready.popleft()
        if self._upcoming and self._upcoming[0] is datum:
            self._upcoming.popleft()
        return self._prepare(context, datum)

    def _prepare(self, context: JobContext, datum: Datum) -> PreparedDatum:
        prepared = self._preparer.prepare(context, datum)
        prepared.staged.tree = self._worker.bring(prepared.staged.tree)
        return prepared

    def run_once(self, context: JobContext, attempt: Attempt) -> RunResult:
        """Give the process the datum, and wait until it asks for another."""
        began, timeout = time.monotonic(), context.spec.datum_timeout
        running = self._start(context)
        self._offer(attempt.given)
        if self._call is None:
            first = self._next_call(running.process, None)  # it starts, which is no datum's time (reference pps 2.8)
            if not isinstance(first, NextDatumCall):
                self.end()
                return replace(first, seconds=time.monotonic() - began)
            self._call = first  # its error is ignored: there was no datum before it
        running.lines.turn_to(attempt.lines)
        call, self._call = self._call, None
        if not call.given:
            if not attempt.given.sent:
                self._client.send(attempt.staged.tree, attempt.given.told)
            self._client.go()
        began = call.moment if call.given else time.monotonic()
        self._get_ready(context)
        then = self._next_call(running.process, None if timeout is None else began + timeout)
        seconds = (then.moment if isinstance(then, NextDatumCall) else time.monotonic()) - began
        if isinstance(then, NextDatumCall) and not then.error:
            self._call = then
            read, lazy_error = self._worker.lazily(attempt.staged.tree.folder)
            return RunResult(0, seconds, left=then.left, lazy_bytes=read, lazy_error=lazy_error)
        has_moved_on = self.end()  # the next attempt starts a new process
        left = UNTOUCHED if has_moved_on else self._worker.look()
        if isinstance(then, NextDatumCall):
            attempt.lines("stderr", then.error.encode(errors="backslashreplace"))
            return RunResult(None, seconds, error=then.error, left=left)
        return replace(then, seconds=seconds, left=left)

    def _next_call(self, process: Process, deadline: float | None) -> NextDatumCall | RunResult:
        """Wait for the next call of the process; if it ends, is interrupted or takes too long, the result of that."""
        while True:
            if self._control.must_end:
                return RunResult(None, 0.0, cancelled=True)
            has_ended = process.poll() is not None
            patience = 0.0 if has_ended else None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if call := self._client.next_call(patience):
                return call
            if has_ended:
                return RunResult(None, 0.0, error=PREMATURE_EXIT)
            if deadline is not None and time.monotonic() >= deadline:
                return RunResult(None, 0.0, timed_out=True)

    def _get_ready(self, context: JobContext) -> None:
        """Prepare and send the next datums while user code works; an error is ignored, as it comes back in the datum's own turn."""
        with contextlib.suppress(LocalRunnerError, OSError):
            while not self._ready or self._offer(self._ready[-1]):
                if not self._upcoming:
                    return
                prepared = self._prepare(context, self._upcoming[0])
                self._upcoming.popleft()
                self._ready.append(prepared)

    def _offer(self, prepared: PreparedDatum) -> bool:
        """Send a datum ahead of its turn unless there is no room; returns whether it is sent."""
        prepared.sent = prepared.sent or self._client.offer(prepared.staged.tree, prepared.told)
        return prepared.sent


class _BatchLines:
    """Sends the lines of a batching process to the log of the datum it works on."""

    def __init__(self, context: JobContext, worker: str) -> None:
        self._target: Output = context.log.begin(worker, Datum("", ()))

    def turn_to(self, target: Output) -> None:
        self._target = target

    def __call__(self, stream: str, block: bytes) -> None:
        self._target(stream, block)
