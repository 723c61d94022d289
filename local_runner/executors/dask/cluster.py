"""The connection to a Dask cluster: its workers, what they are, and calls to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, LocalCluster
from distributed.core import send_recv
from distributed.security import Security

from local_runner.errors import ClusterLost, Unavailable, WorkerLost
from local_runner.executors.dask.plugin import HostPlugin, name_of, pass_by, run_command, versions
from local_runner.executors.dask.settings import DaskSettings
from local_runner.executors.remote import wire
from local_runner.executors.remote.worker import UnreachableWorker
from local_runner.executors.resources import Resources

_CONNECT_SECONDS = 5.0
_REACH_SECONDS = 5.0  # to connect to a worker
_AVOID_SECONDS = 60.0  # that a worker which did not answer gets nothing new
_WORKER_SECONDS = 120.0  # that a cluster without a fitting worker has to get one
_SILENT_SECONDS = 120.0  # without an answer of a scheduler that is connected, after which it is taken for gone
_HINT = "is it running, and can this machine reach it? doctor shows what was found"
_NAMES = {"cpu": ("cpu", "cpus", "cores"), "memory": ("memory", "mem"), "gpu": ("gpu", "gpus")}


@dataclass(frozen=True, slots=True)
class ClusterWorker:
    """A worker of the cluster. `hello` is what it says of itself, `resources` are those it was started with."""

    address: str
    name: str
    status: str
    threads: int
    memory: int
    resources: Mapping[str, float]
    processing: int
    versions: Mapping[str, str]
    trouble: str = ""  # why none of our datums can run there

    @property
    def is_usable(self) -> bool:
        """Whether it takes datums now."""
        return self.status == "running" and not self.trouble

    @property
    def where(self) -> str:
        """What it is called, for people."""
        return self.address if self.name == self.address else f"{self.name} ({self.address})"


class Cluster:
    """A Dask cluster that was connected to, until `close`. Safe for several threads."""

    def __init__(self, settings: DaskSettings) -> None:
        """Connect. Raises `ClusterLost`."""
        self._settings = settings
        self._local: LocalCluster | None = None
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say, the errors here say
        try:
            if not settings.scheduler:
                count = settings.workers or os.cpu_count() or 1
                self._local = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None, memory_limit=0)
            self._client = Client(
                self._local or settings.scheduler, timeout=_CONNECT_SECONDS, set_as_default=False, security=_security(settings)
            )
        except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as why:  # the last for tls:// without certificates
            self._close_local()
            raise ClusterLost(f"the Dask scheduler {self.address} cannot be reached: {why}", hint=_HINT) from None
        self._lock = threading.Lock()
        self._ours: Counter[str] = Counter()  # workers of this engine on each of the cluster's, by address
        self._leased: dict[str, str] = {}  # the same, by id: address
        self._versions: dict[str, dict[str, str] | str] = {}
        self._hellos: dict[str, dict[str, Any]] = {}
        self._avoided: dict[str, float] = {}  # until when, by address
        self._relayed: set[str] = set()
        self._numbers = itertools.count(1)
        self._closed = threading.Event()
        self._silent = 0.0  # seconds that the scheduler was asked and did not answer
        self._plugin = name_of(settings.host)

    def prepare(self) -> None:
        """Have the workers made ready for datums. Raises `ClusterLost`, which names workers of another version, and `Unavailable`."""
        self.check_versions()
        with self._in_words():
            self._client.register_plugin(HostPlugin(self._settings.host), name=self._plugin)
        threading.Thread(target=self._keep, name="leases of remote workers", daemon=True).start()

    @property
    def address(self) -> str:
        """Where its scheduler is."""
        return self._settings.scheduler or "of this machine"

    def close(self) -> None:
        """Let go of the cluster; one that was started for this engine ends."""
        self._closed.set()
        with contextlib.suppress(Exception):  # of a scheduler that is gone
            self._client.close(timeout=2)
        self._close_local()

    def _close_local(self) -> None:
        if self._local:
            with contextlib.suppress(Exception):
                self._local.close(timeout=5)

    def check(self) -> None:
        """Raise `ClusterLost` if the scheduler is gone."""
        is_gone = self._client.status != "running"
        if is_gone or self._silent > _SILENT_SECONDS:
            raise ClusterLost(
                f"the Dask scheduler {self.address} {'is gone' if is_gone else 'does not answer'}",
                hint="jobs stay as they are, and finished datums are kept: run again when there is a scheduler",
            )

    # -- workers -------------------------------------------------------------------------------------------------------

    def workers(self) -> list[ClusterWorker]:
        """The workers that the cluster has now, by name, with what keeps datums from some."""
        self.check()
        with self._in_words():
            info = self._client.scheduler_info()["workers"]
        self._look_at(set(info) - self._versions.keys())
        return sorted((self._worker(address, one) for address, one in info.items()), key=lambda worker: worker.name)

    def check_versions(self) -> None:
        """Raise `ClusterLost` if a worker cannot run datums of this engine, and name it."""
        for worker in self.workers():
            if worker.trouble:
                raise ClusterLost(
                    f"Dask worker {worker.where}: {worker.trouble}",
                    hint="give the workers the same Python, dask and local_runner as this machine has; doctor lists them",
                )

    def hello(self, worker: ClusterWorker) -> dict[str, Any]:
        """What a worker's machine says of itself. Raises `WorkerLost` and `Unavailable`."""
        if worker.address not in self._hellos:
            self._reach(worker.address)
            self._hellos[worker.address] = self.ask(worker.address, "hello")
        return self._hellos[worker.address]

    def choose(self, wanted: Resources) -> tuple[ClusterWorker, dict[str, float]]:
        """The worker that is to have the next of ours, which counts as there from now on, and Dask's resources of each command.

        Raises `Unavailable` if none is large enough, and `ClusterLost` if there is none for a while: a cluster that grows on demand is
        given the time for it.
        """
        deadline, growing = time.monotonic() + _WORKER_SECONDS, None
        try:
            while True:
                now = time.monotonic()
                found = [worker for worker in self.workers() if worker.is_usable and self._avoided.get(worker.address, 0.0) <= now]
                fitting = [(worker, asked) for worker in found if (asked := asked_of(worker, wanted)) is not None]
                with self._lock:
                    if fitting:
                        chosen = min(
                            fitting, key=lambda one: ((self._ours[one[0].address] + 1) / one[0].threads, one[0].processing, one[0].name)
                        )
                        self._ours[chosen[0].address] += 1
                        return chosen
                if found:
                    raise Unavailable(
                        f"no Dask worker has {_words(wanted)}", hint="start workers with --resources and --memory-limit for it"
                    )
                if time.monotonic() >= deadline:
                    raise ClusterLost(f"the Dask cluster {self.address} has no worker", hint="start one: dask worker ADDRESS")
                growing = growing or self._client.submit(pass_by, pure=False)
                time.sleep(0.5)
        finally:
            if growing:
                growing.release()

    def give_back(self, address: str) -> None:
        """Note that one of ours on this worker is gone."""
        with self._lock:
            self._ours[address] -= 1

    def lease(self, worker: str, address: str) -> None:
        """Say again and again that this one is wanted, until `release`."""
        with self._lock:
            self._leased[worker] = address

    def release(self, worker: str) -> None:
        with self._lock:
            self._leased.pop(worker, None)

    def _worker(self, address: str, info: Mapping[str, Any]) -> ClusterWorker:
        known = self._versions.get(address, {})
        found = known if isinstance(known, dict) else {}
        trouble = known if isinstance(known, str) else _differences(found)
        metrics = info.get("metrics") or {}
        processing = sum((metrics.get("task_counts") or {}).values()) if isinstance(metrics.get("task_counts"), dict) else 0
        name, threads = str(info.get("name", address)), int(info.get("nthreads", 1)) or 1
        memory, resources = int(info.get("memory_limit") or 0), dict(info.get("resources") or {})
        return ClusterWorker(address, name, str(info.get("status", "running")), threads, memory, resources, processing, found, trouble)

    def _look_at(self, addresses: set[str]) -> None:
        """Ask workers for their versions."""
        if not addresses:
            return
        with self._in_words():
            answers = self._client.run(versions, workers=sorted(addresses), on_error="return")
        for address in addresses:
            found = answers.get(address)
            self._versions[address] = found if isinstance(found, dict) else f"local_runner cannot be used there: {found!r}"

    # -- calls ---------------------------------------------------------------------------------------------------------

    def ask(self, address: str, verb: str, *details: Any) -> Any:
        """Ask a worker (wire.py), and wait. Raises `WorkerLost`, `ClusterLost`, and what it answers."""
        message = wire.question(verb, *details)
        try:
            reply = self._client.sync(self._call, address, message)
        except (OSError, TimeoutError, ValueError, RuntimeError, KeyError) as why:
            self.check()
            with self._lock:
                self._avoided[address] = time.monotonic() + _AVOID_SECONDS
            raise UnreachableWorker(
                f"the Dask worker {address} does not answer: {why!r}", hint="was it killed, or is memory short?"
            ) from None
        if not isinstance(reply, bytes):
            raise UnreachableWorker(f"the Dask worker {address} is not ready for datums")
        return wire.value_of(reply)

    async def _call(self, address: str, message: bytes) -> Any:
        """Wait for an answer however long it takes, as long as the worker lives. Raises what connections do."""
        call = asyncio.ensure_future(self._send(address, message))
        try:
            while not (await asyncio.wait({call}, timeout=self._settings.lease))[0]:
                await asyncio.wait_for(self._send(address, wire.question("keep", [])), self._settings.lease)
            return call.result()
        finally:
            call.cancel()

    async def _send(self, address: str, message: bytes) -> Any:
        if address in self._relayed:
            answers = await self._client.scheduler.broadcast(msg={"op": self._plugin, "message": message}, workers=[address])
            return answers[address]
        connection = await self._client.rpc.connect(address, timeout=_REACH_SECONDS)
        try:
            return await send_recv(connection, op=self._plugin, message=message)
        finally:
            self._client.rpc.reuse(address, connection)

    def _reach(self, address: str) -> None:
        """Find out whether a worker can be reached from here; if not, calls to it go by way of the scheduler. Raises `WorkerLost`."""
        if address in self._relayed:
            return
        try:
            self.ask(address, "keep", [])
        except UnreachableWorker:
            self._relayed.add(address)
            try:
                self.ask(address, "keep", [])
            except WorkerLost:
                self._relayed.discard(address)
                raise
            with self._lock:
                self._avoided.pop(address, None)

    def submit(self, address: str, worker: str, number: int, label: str, resources: dict[str, float]) -> CommandTask:
        """Have a command of one of our workers run by Dask on the worker it is on."""
        self.check()
        future = self._client.submit(
            run_command,
            *(self._plugin, worker, number),
            key=f"{label}-{next(self._numbers)}-{worker[:8]}",
            workers=[address],
            allow_other_workers=False,
            resources=resources,
            pure=False,
        )
        return CommandTask(self, future)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (OSError, TimeoutError) as why:
            self.check()
            raise ClusterLost(f"the Dask scheduler {self.address} does not answer: {why!r}", hint=_HINT) from None

    def _keep(self) -> None:
        """Renew the leases of our workers."""
        while not self._closed.wait(self._settings.lease / 4):
            with self._lock:
                by_address: dict[str, list[str]] = {}
                for worker, address in self._leased.items():
                    by_address.setdefault(address, []).append(worker)
            with contextlib.suppress(Exception):  # of a scheduler that is gone; who follows a command is told
                self._client.sync(self._renew, by_address)

    async def _renew(self, by_address: Mapping[str, list[str]]) -> None:
        """Renew the leases of all at once: a worker that does not answer holds up no other's. The scheduler is asked as well."""
        lease = self._settings.lease
        calls = [self._send(address, wire.question("keep", workers)) for address, workers in by_address.items()]
        waits = (asyncio.wait_for(call, lease / 2) for call in (self._client.scheduler.echo(data=0), *calls))
        of_scheduler, *_ = await asyncio.gather(*waits, return_exceptions=True)
        self._silent = self._silent + 0.75 * lease if isinstance(of_scheduler, BaseException) else 0.0


class CommandTask:
    """A command as a task of Dask's."""

    def __init__(self, cluster: Cluster, future: Future) -> None:
        self._cluster, self._future = cluster, future

    def trouble(self) -> str:
        self._cluster.check()
        if self._future.status == "error":
            return f"Dask could not run it: {self._future.exception()!r}"
        return "Dask has dropped it" if self._future.status in ("cancelled", "lost") else ""

    def drop(self) -> None:
        self._future.release()


def asked_of(worker: ClusterWorker, wanted: Resources) -> dict[str, float] | None:
    """Dask's resources that a command takes of a worker; None if it does not have as much.

    What a worker was not told to have as a resource is not counted, but devices: those it must have. Its memory limit holds in any case.
    """
    memory, cores = wanted.reserved_memory or wanted.memory, wanted.share or wanted.cores
    if worker.memory and memory > worker.memory:
        return None
    asked = {}
    for kind, amount in (("cpu", cores), ("memory", float(memory)), ("gpu", float(wanted.gpus))):
        name = next((name for name in worker.resources if name.lower() in _NAMES[kind]), None)
        if amount and name is None and kind == "gpu":
            return None
        if amount and name is not None:
            if worker.resources[name] < amount:
                return None
            asked[name] = amount
    return asked


def _differences(found: Mapping[str, str]) -> str:
    here = versions()
    return "; ".join(f"it has {name} {found.get(name, '?')}, here is {here[name]}" for name in here if found.get(name) != here[name])


def _words(wanted: Resources) -> str:
    parts = ((wanted.gpus, f"{wanted.gpus} GPU"), (wanted.share or wanted.cores, f"{wanted.share or wanted.cores:g} cores"))
    memory = wanted.reserved_memory or wanted.memory
    return ", ".join([text for amount, text in parts if amount] + ([f"{memory} bytes of memory"] if memory else []))


def _security(settings: DaskSettings) -> Security | None:
    if not (settings.ca_file or settings.cert or settings.key):
        return None  # Dask's own configuration
    return Security(
        tls_ca_file=settings.ca_file or None,
        tls_client_cert=settings.cert or None,
        tls_client_key=settings.key or settings.cert or None,
        require_encryption=True,
    )
