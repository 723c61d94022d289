"""A Dask scheduler and workers as processes of their own, on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from local_runner.executors.dask.settings import DaskSettings
from tests.contracts.bench import soon

_ROOT = Path(__file__).parents[2]


class DaskCluster:
    """A scheduler with workers `w0`, `w1`, …, until `close`; each can be killed, frozen and started again. `more` are flags of all."""

    def __init__(self, folder: Path, workers: int = 2, *more: str, threads: int = 2) -> None:
        self.folder = folder
        self._more, self._threads = more, threads
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._file = folder / "scheduler.json"
        self.start_scheduler()
        for number in range(workers):
            self.start_worker(f"w{number}")

    def start_scheduler(self) -> None:
        self._file.unlink(missing_ok=True)
        flags = ("--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(self._file))
        self._start("scheduler", "dask_scheduler", *flags, *self._tls())
        assert soon(lambda: bool(self._file.exists() and self._file.read_text().endswith("}")))

    def start_worker(self, name: str, *more: str, env: dict[str, str] | None = None) -> None:
        """Start a worker; it is there a moment later."""
        place = self.folder / f"{name}-{time.monotonic_ns()}"
        place.mkdir()
        flags = ("--name", name, "--nthreads", str(self._threads), "--no-dashboard", "--no-nanny", "--local-directory", str(place))
        self._start(name, "dask_worker", "--scheduler-file", str(self._file), "--memory-limit", "0", *flags, *self._more, *more, env=env)

    def _tls(self) -> tuple[str, ...]:
        """Those flags, if a scheduler has them as well."""
        return self._more if "--tls-ca-file" in self._more else ()

    @property
    def address(self) -> str:
        found: str = json.loads(self._file.read_text())["address"]
        return found

    def settings(self, **more: object) -> DaskSettings:
        settings = {"scheduler": self.address, "cache": str(self.folder / "cache"), "lease": 3.0, **more}
        return DaskSettings(**settings)  # type: ignore[arg-type]

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        self.processes[name].send_signal(how)
        if how == signal.SIGKILL:
            self.processes.pop(name).wait()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def _start(self, name: str, module: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(_ROOT), **(env or {})},
                start_new_session=True,
            )


@contextlib.contextmanager
def dask_cluster(folder: Path, workers: int = 2, more: Sequence[str] = (), threads: int = 2) -> Iterator[DaskCluster]:
    """A cluster, until the block ends."""
    cluster = DaskCluster(folder, workers, *more, threads=threads)
    try:
        yield cluster
    finally:
        cluster.close()
