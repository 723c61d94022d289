"""Runs user code as a process for each datum, as pipelines without `datum_batching` do (reference pps 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from local_runner.engine.attempt import Attempt, JobContext, PreparedDatum, Preparer
from local_runner.engine.environment import stdin_bytes
from local_runner.engine.run_control import RunControl
from local_runner.executors.base import RunRequest, RunResult, Worker
from local_runner.executors.launcher.tree import Tree
from local_runner.model.datums import Datum


@dataclass(frozen=True, slots=True)
class OneShot:
    """Starts the command of a pipeline once for each try of a datum; and `err_cmd`, of all pipelines."""

    worker: Worker
    control: RunControl
    preparer: Preparer

    def take(self, context: JobContext, datum: Datum) -> PreparedDatum:
        """The datum, laid out for a try."""
        return self.preparer.prepare(context, datum)

    def run_once(self, context: JobContext, attempt: Attempt) -> RunResult:
        """Run the command to its end."""
        transform = context.spec.transform
        return self._run(context, attempt, transform.cmd, transform.stdin, attempt.staged.tree)

    def run_error_command(self, context: JobContext, attempt: Attempt) -> RunResult:
        """Run `err_cmd` in the tree that the failed command left."""
        transform = context.spec.transform
        return self._run(context, attempt, transform.err_cmd, transform.err_stdin, None)

    def _run(self, context: JobContext, attempt: Attempt, cmd: tuple[str, ...], stdin: tuple[str, ...], tree: Tree | None) -> RunResult:
        spec = context.spec
        working_dir = spec.transform.working_dir
        request = RunRequest(cmd, attempt.given.env, tree, attempt.lines, stdin_bytes(stdin), spec.datum_timeout, working_dir)
        with self.control.command():
            if self.control.must_end:  # asked to end while the datum was laid out
                return RunResult(None, 0.0, cancelled=True)
            return self.worker.run(request)
