"""Runs one datum on one worker: stage, run, collect; tries, timeouts, recovery (reference pps 2.6, 2.8, 3.4)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from local_runner import beneath
from local_runner.engine.batching.client import Call, NextDatumClient
from local_runner.engine.environment import datum_env, job_env
from local_runner.engine.outputs import BadOutput, collect, seen_files
from local_runner.engine.staging import Scratch, Staged, stage
from local_runner.errors import LocalRunnerError, WorkerLost
from local_runner.executors.base import Output, Process, RunRequest, RunResult, Worker
from local_runner.executors.launcher.tree import UNTOUCHED, Tree, TreeChanges
from local_runner.model.datums import Datum, DatumState, DatumStats
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef
from local_runner.pipelines.outcome import Outcome, OutputFile
from local_runner.planning.prepare import Roots
from local_runner.storage.database import Database
from local_runner.storage.job_log import JobLog, Lines

PREMATURE_EXIT = "user code exited prematurely"
_INSIST_SECONDS = 0.05
_TRIES_BELOW_ZERO = 4  # of a negative `datum_tries`: a cluster's workers then retry three times


@dataclass(frozen=True, slots=True)
class JobContext:
    """The parts of a datum's run that all datums of a job share."""

    job: JobRef
    spec: PipelineSpec
    roots: Roots
    log: JobLog


class Stopped(Exception):
    """Raised to end a datum whose job is over or whose engine closes; the attempt does not count."""


@dataclass
class Attempt:
    """One try of a datum: what it needs before user code, and what came of it. `told` is what `.env` says.

    `lines` are there from when its turn has come; `sent` says whether the server has it.
    """

    staged: Staged
    env: Mapping[str, str]
    told: Sequence[str]
    download_time: float
    lines: Lines = field(init=False)
    sent: bool = False
    left: TreeChanges = UNTOUCHED
    error: str = ""
    outputs: list[OutputFile] = field(default_factory=list)
    process_time: float = 0.0
    upload_time: float = 0.0


@dataclass
class DatumRunner:
    """Runs datums on one worker, one at a time. Another thread may call `interrupt`.

    `owner` is `transform.user` as user and group id, if the worker's processes run as that.
    """

    database: Database
    worker: Worker
    name: str
    scratch: Scratch
    client: NextDatumClient | None = None
    owner: tuple[int, int] | None = None
    _place: str = ""
    _turn: threading.Lock = field(default_factory=threading.Lock)  # held to begin or end an attempt, and to restart it
    _present: str = ""  # id of the datum whose attempt is under way
    _stopping: bool = False
    _restarting: bool = False
    _deadline: float | None = None  # of the work after the command, on the monotonic clock
    _process: Process | None = None
    _call: Call | None = None
    _upcoming: deque[Datum] = field(default_factory=deque)
    _ready: deque[tuple[Datum, Attempt]] = field(default_factory=deque)  # staged ahead of their turn; all but the last were sent
    _idle: threading.Event = field(default_factory=threading.Event)  # set while no command runs

    def __post_init__(self) -> None:
        self._idle.set()

    # -- from other threads ------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End what user code does now, for good."""
        self._stopping = True
        self._cancel()
        if not self._idle.is_set():
            threading.Thread(target=self._insist, name=f"{self.name} cancel", daemon=True).start()

    def restart(self, datum: str) -> None:
        """Make the present attempt of a datum a failed one; nothing if it is at another by now."""
        with self._turn:
            if self._present == datum:
                self._restarting = True
                self._cancel()

    def _cancel(self) -> None:
        if self.client is not None:
            self.client.wake()
        with contextlib.suppress(WorkerLost):  # the thread that waits for the command reports it
            self.worker.cancel()

    def _insist(self) -> None:
        """Cancel until it was heard: a command that is only just being started does not hear the first time."""
        while not self._idle.wait(_INSIST_SECONDS):
            self._cancel()

    def check(self) -> None:
        """Raise if the datum has to end now; called repeatedly while its output is read.

        Raises `Stopped`, or `BadOutput` as that attempt fails: the time of `datum_timeout` is given to this work anew.
        """
        if self._stopping:
            raise Stopped
        if self._restarting:
            raise BadOutput("cancelled")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise BadOutput("timed out while its output was read")

    def resume(self) -> None:
        """Take datums again after an interrupt; before the next set."""
        self._stopping = False

    # -- where datums lie ----------------------------------------------------------------------------------------------

    def begin_set(self, name: str, datums: Sequence[Datum]) -> None:
        """These datums are to come, in this order; lay them out below `.scratch/<name>`."""
        self._place, self._upcoming = name, deque(datums)

    def clear(self) -> None:
        """Remove what the present set left."""
        with contextlib.suppress(OSError):  # it goes with the worker
            beneath.remove_tree(self.scratch.descriptor, self._place)

    # -- one datum, one command --------------------------------------------------------------------------------------

    def run(self, context: JobContext, datum: Datum) -> Outcome:
        """Run a datum to its end. Raises `Stopped` if it was interrupted for good."""
        transform = context.spec.transform
        stdin = stdin_bytes(transform.stdin)
        return self._tries(context, datum, lambda attempt: self._run_once(attempt, transform.cmd, stdin, context, attempt.staged.tree))

    def _run_once(self, attempt: Attempt, cmd: tuple[str, ...], stdin: bytes | None, context: JobContext, tree: Tree | None) -> RunResult:
        spec = context.spec
        request = RunRequest(cmd, attempt.env, tree, attempt.lines, stdin, spec.datum_timeout, spec.transform.working_dir)
        self._idle.clear()
        try:
            if self._stopping or self._restarting:  # asked to end while the datum was laid out
                return RunResult(None, 0.0, cancelled=True)
            return self.worker.run(request)
        finally:
            self._idle.set()

    def _tries(self, context: JobContext, datum: Datum, once: Callable[[Attempt], RunResult]) -> Outcome:
        spec, recovered = context.spec, False
        tries = spec.datum_tries if spec.datum_tries > 0 else _TRIES_BELOW_ZERO
        for number in range(1, tries + 1):
            with self._attempt(context, datum) as attempt:
                result = once(attempt)
                if self._stopping:
                    raise Stopped
                if self._was_restarted():
                    result = replace(result, cancelled=True)
                attempt.process_time, attempt.left = result.seconds, result.left
                attempt.download_time += result.laying
                if result.accepted(spec.transform.accept_return_code):
                    attempt.error = attempt.staged.unread_in_full() or self._collect(attempt, spec.datum_timeout)
                    if not attempt.error:
                        state = DatumState.RECOVERED if recovered else DatumState.PROCESSED
                        return self._outcome(attempt, datum, DatumState.PROCESSED, state)
                else:
                    attempt.error = result.reason
                    recovered = self._recover(context, attempt, result) or recovered
                context.log.worker(self.name, datum, f"attempt {number} of {tries} failed: {attempt.error}")
                if number == tries:
                    state = DatumState.RECOVERED if recovered else DatumState.FAILED
                    return self._outcome(attempt, datum, state, state)
        raise AssertionError("a datum has at least one try")

    def _was_restarted(self) -> bool:
        with self._turn:
            asked, self._restarting = self._restarting, False
        return asked

    def _recover(self, context: JobContext, attempt: Attempt, failed: RunResult) -> bool:
        """Run the error command in the same tree; says whether it went well. Nothing starts after a timeout."""
        transform = context.spec.transform
        if not transform.err_cmd or failed.timed_out:
            return False
        result = self._run_once(attempt, transform.err_cmd, stdin_bytes(transform.err_stdin), context, None)
        if self._stopping:
            raise Stopped
        attempt.left = result.left
        return result.accepted(transform.accept_return_code)

    # -- one datum of a process that stays ---------------------------------------------------------------------------

    def start_batch(self, context: JobContext) -> None:
        """Start the user's process, which asks for its first datum when it is ready; idempotent."""
        if self._process is not None:
            return
        assert self.client is not None
        self.client.listen()
        transform = context.spec.transform
        env = job_env(context.job.id)
        self._lines = _BatchLines(context, self.name)
        stdin = stdin_bytes(transform.stdin)
        process = self.worker.start(RunRequest(transform.cmd, env, Tree(), self._lines, stdin, None, transform.working_dir))
        self._process = process
        # A thread that sleeps until the process ends, in place of polling.
        threading.Thread(target=self._watch, args=(process, self.client), name=f"{self.name} watch", daemon=True).start()

    def _watch(self, process: Process, client: NextDatumClient) -> None:
        process.wait()
        client.wake()

    def end_batch(self) -> bool:
        """Kill the user's process, as a worker does after the last datum of a set; idempotent.

        Returns whether it had been given another datum than the one that is known to be with it.
        """
        process, self._process, self._call = self._process, None, None
        has_moved_on = self.client is not None and self.client.pause()
        if process is not None:
            process.kill()
        self.put_back()
        return has_moved_on

    def put_back(self) -> None:
        """Let go of what was staged ahead of its turn."""
        for datum, attempt in reversed(self._ready):
            attempt.staged.close()
            self._upcoming.appendleft(datum)
        self._ready.clear()

    def run_batched(self, context: JobContext, datum: Datum) -> Outcome:
        """Give the user's process a datum, the next of the set, and wait until it asks for another. Raises `Stopped`."""
        if not self._ready:
            self._upcoming.popleft()
        return self._tries(context, datum, lambda attempt: self._batched_once(context, attempt))

    def _batched_once(self, context: JobContext, attempt: Attempt) -> RunResult:
        began, timeout = time.monotonic(), context.spec.datum_timeout
        self.start_batch(context)
        assert self.client is not None
        self._offer(attempt)
        if self._call is None:
            first = self._next_call(None)  # it starts, which is no datum's time (reference pps 2.8)
            if not isinstance(first, Call):
                self.end_batch()
                return first(time.monotonic() - began)
            self._call = first  # its error is ignored: there was no datum before it
        self._lines.turn_to(attempt.lines)
        call, self._call = self._call, None
        if not call.given:
            if not attempt.sent:
                self.client.send(attempt.staged.tree, attempt.told)
            self.client.go()
        began = call.moment if call.given else time.monotonic()
        self._get_ready(context)
        then = self._next_call(None if timeout is None else began + timeout)
        seconds = (then.moment if isinstance(then, Call) else time.monotonic()) - began
        if isinstance(then, Call) and not then.error:
            self._call = then
            return RunResult(0, seconds, left=then.left)
        has_moved_on = self.end_batch()  # the next attempt starts a new process
        left = UNTOUCHED if has_moved_on else self.worker.look()
        if isinstance(then, Call):
            attempt.lines("stderr", then.error.encode(errors="backslashreplace"))
            return RunResult(None, seconds, error=then.error, left=left)
        return replace(then(seconds), left=left)

    def _next_call(self, deadline: float | None) -> Call | Callable[[float], RunResult]:
        """Wait for the next call of the process, or for its end, an interrupt or a timeout, which become the result."""
        assert self.client is not None
        assert self._process is not None
        while True:
            if self._stopping or self._restarting:
                return lambda seconds: RunResult(None, seconds, cancelled=True)
            has_ended = self._process.poll() is not None
            patience = 0.0 if has_ended else None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if call := self.client.next_call(patience):
                return call
            if has_ended:
                return lambda seconds: RunResult(None, seconds, error=PREMATURE_EXIT)
            if deadline is not None and time.monotonic() >= deadline:
                return lambda seconds: RunResult(None, seconds, timed_out=True)

    # -- parts of an attempt -----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _attempt(self, context: JobContext, datum: Datum) -> Iterator[Attempt]:
        """An attempt with a freshly staged datum, which is cleared away afterwards."""
        if self._stopping:
            raise Stopped
        with self._turn:
            self._present = datum.id
        attempt = self._ready.popleft()[1] if self._ready and self._ready[0][0] is datum else self._begin(context, datum)
        attempt.lines = context.log.begin(self.name, datum)
        try:
            yield attempt
        finally:
            with self._turn:
                self._present, self._restarting = "", False
            attempt.lines.close()
            attempt.staged.close()

    def _begin(self, context: JobContext, datum: Datum) -> Attempt:
        began = time.monotonic()
        env = datum_env(datum, context.job.id)
        told, s3_out = dot_env(self.worker, env), context.spec.s3_out
        staged = stage(self.database, datum, context.roots, self.scratch, self._place, told, owner=self.owner, s3_out=s3_out)
        return Attempt(staged, env, told, time.monotonic() - began)

    def _get_ready(self, context: JobContext) -> None:
        """Stage and send the next datums while user code works; an error is ignored, as it comes back in the datum's own turn."""
        with contextlib.suppress(LocalRunnerError, OSError):
            while not self._ready or self._offer(self._ready[-1][1]):
                if not self._upcoming:
                    return
                attempt = self._begin(context, self._upcoming[0])
                self._ready.append((self._upcoming.popleft(), attempt))

    def _offer(self, attempt: Attempt) -> bool:
        """Send a datum ahead of its turn unless there is no room; returns whether it is sent."""
        assert self.client is not None
        attempt.sent = attempt.sent or self.client.offer(attempt.staged.tree, attempt.told)
        return attempt.sent

    def _collect(self, attempt: Attempt, timeout: float | None) -> str:
        """Read what the datum wrote; returns what is wrong with it, "" if nothing."""
        if not attempt.left.wrote:
            return ""
        began = time.monotonic()
        self._deadline = None if timeout is None else began + timeout
        try:
            attempt.outputs = collect(self.database.files, attempt.staged, self.worker, self.check)
        except BadOutput as error:
            attempt.lines("stderr", error.message.encode(errors="backslashreplace"))
            return error.message
        attempt.upload_time = time.monotonic() - began
        return ""

    def _outcome(self, attempt: Attempt, datum: Datum, counted: DatumState, state: DatumState) -> Outcome:
        if counted is not DatumState.PROCESSED and attempt.left.wrote and not attempt.outputs:
            with contextlib.suppress(BadOutput):
                attempt.outputs = collect(self.database.files, attempt.staged, self.worker)
        seen = list(seen_files(self.database.files, attempt.staged, attempt.left, self.worker))
        wrote = attempt.outputs
        seen += [OutputFile(f"/out{file.path}", file.content) for file in wrote]
        downloaded = attempt.staged.download_bytes + sum(pipe.read_bytes for pipe in attempt.staged.pipes)
        uploaded = sum(file.content.size for file in wrote if not file.linked) if counted is DatumState.PROCESSED else 0
        stats = DatumStats(attempt.download_time, attempt.process_time, attempt.upload_time, downloaded, uploaded)
        kept = wrote if counted is DatumState.PROCESSED else []
        return Outcome(datum, counted, state, attempt.error, stats, kept, seen, attempt.lines.last, attempt.left.unread)


class _BatchLines:
    """Sends the lines of a batching process to the log of the datum it works on."""

    def __init__(self, context: JobContext, worker: str) -> None:
        self._target: Output = context.log.begin(worker, Datum("", ()))

    def turn_to(self, target: Output) -> None:
        self._target = target

    def __call__(self, stream: str, block: bytes) -> None:
        self._target(stream, block)


def dot_env(worker: Worker, env: Mapping[str, str]) -> list[str]:
    """The lines of `.env` and of the answer to NextDatum (reference pps 3.2): variables of worker and datum as NAME=value."""
    told = {**worker.env, **{name: worker.translate(value) for name, value in env.items()}}
    return [f"{name}={value}" for name, value in told.items()]


def stdin_bytes(lines: tuple[str, ...]) -> bytes | None:
    """Lines joined by newlines, with one at the end; no lines at all is /dev/null (reference pps 3.3)."""
    return ("\n".join(lines) + "\n").encode() if lines else None
