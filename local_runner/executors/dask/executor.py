"""The executor `dask`: workers on the machines of a Dask cluster, each with the sandbox, container or process executor it has there."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from local_runner.errors import ClusterLost, LocalRunnerError, Unavailable, WorkerLost
from local_runner.executors.base import Capabilities, Worker, WorkerRequest
from local_runner.executors.dask.settings import DaskSettings, read_settings
from local_runner.executors.remote.contents import Sender
from local_runner.executors.remote.worker import RemoteWorker, Task, UnreachableWorker

if TYPE_CHECKING:
    from local_runner.executors.dask.cluster import Cluster, ClusterWorker

_MOST_TRIES = 5  # of opening a worker while those of the cluster go away
_INSTALL = "the package distributed is not installed; pip install 'local_runner[dask]'"


class DaskExecutor:
    """Workers on the machines of a Dask cluster. It is connected to when it is first needed, and let go with `close` or the process."""

    name = "dask"

    def __init__(self, settings: DaskSettings | None = None) -> None:
        """Without settings, those of the environment. Raises `Invalid`."""
        self.settings = settings or read_settings({})
        self.sender = Sender()
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        """The cluster. Raises `Unavailable`, most of all `ClusterLost`."""
        with self._lock:
            if self._cluster is None:
                try:
                    from local_runner.executors.dask.cluster import Cluster
                except ModuleNotFoundError as why:
                    raise Unavailable(_INSTALL.partition("; ")[0], hint=_INSTALL.partition("; ")[2]) from why
                cluster = Cluster(self.settings)
                try:
                    cluster.prepare()
                except BaseException:
                    cluster.close()
                    raise
                self._cluster = cluster
            return self._cluster

    def close(self) -> None:
        """Let go of the cluster."""
        with self._lock:
            if self._cluster is not None:
                self._cluster.close()
                self._cluster = None

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @cached_property
    def _capabilities(self) -> Capabilities:
        """What all workers can do; if there is none yet, what this machine can."""
        said = [hello["capabilities"] for hello in self._hellos()]
        if not said:
            from local_runner.executors.table import choose  # starts processes to find out

            said = [dataclasses.asdict(choose(self.settings.executor)[0].capabilities)]
        return merged(said)

    def there(self) -> str:
        """How user code runs on the workers there are now, "" if there are none: not everywhere need be what this machine could do."""
        return " and ".join(sorted({hello["why"] for hello in self._hellos()}))

    def _hellos(self) -> list[dict[str, Any]]:
        """What the workers there are now say of themselves."""
        found = []
        for worker in self.cluster.workers():
            if worker.is_usable:
                with contextlib.suppress(WorkerLost):  # it went just now
                    found.append(self.cluster.hello(worker))
        return found

    def why_not(self) -> str:
        try:
            self.cluster.check()
        except LocalRunnerError as why:
            return f"{why.message}; {why.hint}" if why.hint else why.message
        return ""

    def places(self) -> int:
        return sum(worker.threads for worker in self.cluster.workers() if worker.is_usable)

    def engine_with(self, image: str) -> str:
        return ""

    def owner(self, request: WorkerRequest) -> None:
        """Nothing of a worker lies here."""
        return

    @contextlib.contextmanager
    def worker(self, request: WorkerRequest) -> Iterator[Worker]:
        """Raises `Unavailable` if no worker of the cluster has what the request asks for, and as the executor there does."""
        cluster = self.cluster
        worker, address = self._open(cluster, request)
        cluster.lease(worker.id, address)
        try:
            yield worker
        finally:
            cluster.release(worker.id)
            worker.close()
            cluster.give_back(address)

    def _open(self, cluster: Cluster, request: WorkerRequest) -> tuple[RemoteWorker, str]:
        """Open a worker, elsewhere if a worker of the cluster turns out to be gone; returns it, and the address it is at."""
        for tries_left in reversed(range(_MOST_TRIES)):
            chosen, resources = cluster.choose(request.resources)
            try:
                return RemoteWorker(_DaskHost(cluster, chosen, resources), request, self.sender, self.settings.lease), chosen.address
            except BaseException as why:
                cluster.give_back(chosen.address)
                if not isinstance(why, WorkerLost) or not tries_left:
                    raise
        raise AssertionError("the last try raises")


class _DaskHost:
    """The way to one worker of the cluster."""

    def __init__(self, cluster: Cluster, worker: ClusterWorker, resources: dict[str, float]) -> None:
        self._cluster, self._address, self._resources = cluster, worker.address, resources
        self.where = worker.where
        self._lost = ""
        hello = cluster.hello(worker)
        self.cache = f"{hello['machine']}:{hello['cache']}"

    def ask(self, verb: str, *details: Any) -> Any:
        """Once it does not answer it is not asked again: if it lives, it hears nothing, and ends what it does."""
        if self._lost:
            raise WorkerLost(self._lost)
        try:
            return self._cluster.ask(self._address, verb, *details)
        except (ClusterLost, UnreachableWorker) as why:
            self._lost = why.message
            raise

    def submit(self, worker: str, number: int, label: str) -> Task:
        return self._cluster.submit(self._address, worker, number, label, self._resources)


def merged(said: list[Mapping[str, bool]]) -> Capabilities:
    """What holds wherever a datum may run."""
    can = {name: all(one[name] for one in said) for name in said[0]}
    return Capabilities(**can | {"needs_image": any(one["needs_image"] for one in said)})
