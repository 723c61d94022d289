"""The sandbox, and containers for those images that an engine of this host has: what `--executor auto` means where both work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from local_runner.errors import LocalRunnerError
from local_runner.executors.base import Worker, WorkerRequest
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.container_engines import ENGINES
from local_runner.executors.sandbox import SandboxExecutor


class AutoExecutor(SandboxExecutor):
    """A sandbox, unless a request says that its image is an engine's."""

    def engine_with(self, image: str) -> str:
        """The engine that has an image, "" if none has; it is asked anew until one does: 0.2 s the first time, then 0.05 s."""
        if image not in self._found and (container := self._container) is not None:
            try:
                if container.engine.image(image) is not None:
                    self._found[image] = container.engine.program
            except LocalRunnerError:  # one that has stopped since has nothing to offer
                return ""
        return self._found.get(image, "")

    @cached_property
    def _found(self) -> dict[str, str]:
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
