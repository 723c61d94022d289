"""The sandbox, and containers for those images that an engine of this host has: what `--executor auto` means where both work."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Worker, WorkerRequest
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.container_engines import ENGINES
from local_runner.executors.sandbox import SandboxExecutor

_REMEMBERED = 5.0  # seconds: a job asks for each of its workers


class AutoExecutor(SandboxExecutor):
    """A sandbox, unless a request says that its image is an engine's."""

    def engine_with(self, image: str) -> str:
        """The engine that has an image, "" if none has; that is asked anew after a while. 0.2 s the first time, then 0.05 s."""
        engine, until = self._found.get(image, ("", 0.0))
        if not engine and time.monotonic() >= until:
            engine = self._ask(image)
            self._found[image] = engine, time.monotonic() + _REMEMBERED
        return engine

    def _ask(self, image: str) -> str:
        container = self._container
        try:
            return container.engine.program if container and container.engine.image(image) is not None else ""
        except LocalRunnerError:  # one that has stopped since has nothing to offer
            return ""

    @cached_property
    def _found(self) -> dict[str, tuple[str, float]]:
        """For each image the engine that has it, and until when that nobody has it is taken for granted."""
        return {}

    @cached_property
    def _container(self) -> ContainerExecutor | None:
        if not any(map(shutil.which, ENGINES)):
            return None
        container = ContainerExecutor()
        return None if container.why_not() else container

    def owner(self, request: WorkerRequest) -> tuple[int, int] | None:
        if request.in_container and self._container:
            return self._container.owner(request)
        return super().owner(request)

    @contextmanager
    def worker(self, request: WorkerRequest) -> Iterator[Worker]:
        """Raises `Unavailable` as the sandbox does, or as containers do."""
        chosen = self._container.worker(request) if request.in_container and self._container else super().worker(request)
        with chosen as worker:
            yield worker
