"""What runs in the workers of a Dask cluster: it answers engines, and runs the commands that Dask has scheduled there."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import distributed
from distributed import Worker, WorkerPlugin, get_worker
from distributed.core import Status

from local_runner.executors.remote.host import HostSettings, RemoteHost

_PACKAGE = Path(__file__).parents[2]
_MOST_CALLS = 512  # at once: each worker of an engine waits in one


class HostPlugin(WorkerPlugin):  # type: ignore[misc]  # an untyped class
    """Makes a Dask worker a machine for workers of engines. Engines with the same settings share it."""

    idempotent = True

    def __init__(self, settings: HostSettings) -> None:
        self.settings = settings
        self.name = name_of(settings)

    def setup(self, worker: Worker) -> None:
        folder = Path(worker.local_directory or tempfile.gettempdir(), "local_runner")
        self.host = RemoteHost(self.settings, folder, str(worker.name), lambda: worker.status is Status.paused)
        self._calls = ThreadPoolExecutor(_MOST_CALLS, thread_name_prefix="local_runner call")
        worker.handlers[self.name] = self._answer

    def teardown(self, worker: Worker) -> None:
        worker.handlers.pop(self.name, None)
        self.host.close()
        self._calls.shutdown(wait=False)

    async def _answer(self, message: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._calls, self.host.answer, message)


def name_of(settings: HostSettings) -> str:
    """The name of the plugin with these settings, under which its workers answer."""
    return f"local_runner-{hashlib.sha256(repr(astuple(settings)).encode()).hexdigest()[:12]}"


def run_command(plugin: str, worker: str, number: int) -> None:
    """The task of a command: run it on the Dask worker where this is called."""
    found = get_worker().plugins.get(plugin)
    if isinstance(found, HostPlugin):  # else the worker was started anew, and its engine knows
        found.host.run(worker, number)


def pass_by() -> None:
    """A task that does nothing: a cluster that grows on demand grows for it."""


@cache
def versions() -> dict[str, Any]:
    """The versions that both ends must have in common, as this process has them."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "dask": distributed.__version__,
        "local_runner": f"{version('local_runner')} ({digest.hexdigest()[:8]})",
    }
