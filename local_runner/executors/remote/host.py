"""The machine of remote workers, as their engines reach it: answers what is asked, and ends workers whose engine is gone."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import platform
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_runner.errors import LocalRunnerError, Unavailable, WorkerLost
from local_runner.executors.base import Executor, workers_disk_full
from local_runner.executors.host_env import DEVICES, variables
from local_runner.executors.launcher.messages import describe
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.remote import wire
from local_runner.executors.remote.cache import ContentCache, Draft, NotKept, cache_trouble
from local_runner.executors.remote.guest import GuestWorker
from local_runner.executors.remote.request import lacking
from local_runner.executors.table import choose

_LOOK_SECONDS = 1.0  # between looks for workers whose engine is gone


@dataclass(frozen=True, slots=True)
class HostSettings:
    """How workers of a machine are run: by which executor, with which folder for contents and how many bytes of them.

    `variables` are those of the machine's own process that user code gets besides the ones for devices.
    """

    executor: str = "auto"
    cache: str = ""
    cache_bytes: int = 20 << 30
    variables: tuple[str, ...] = ()


class RemoteHost:
    """All workers of one process for engines elsewhere. `answer` may be called by any thread, `run` by those that run commands."""

    def __init__(self, settings: HostSettings, folder: Path, where: str, is_paused: Callable[[], bool] = lambda: False) -> None:
        """`folder` is for the workers' own files; `where` is what the process is called, `is_paused` says that it begins nothing now.

        Raises `LocalRunnerError` and OSError.
        """
        self._settings, self._where, self._is_paused = settings, where, is_paused
        self._executor, self._why = choose(settings.executor)
        contents = Path(settings.cache or default_cache())
        try:
            self._cache = ContentCache(contents, settings.cache_bytes)
        except OSError as why:
            raise Unavailable(cache_trouble(contents, why), hint="name another folder: cache in the table [dask]") from None
        self._folder, self._lock = _own_folder(folder)
        self._guests: dict[str, GuestWorker] = {}
        self._drafts: dict[str, tuple[Draft, float]] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="workers whose engine is gone", daemon=True).start()

    def close(self) -> None:
        """End all workers."""
        self._closed.set()
        for worker in list(self._guests):
            self._close(worker)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def answer(self, message: bytes) -> bytes:
        """Answer a question (wire.py). Never raises."""
        try:
            verb, *details = wire.read(message)
            act: Callable[..., Any] = getattr(self, f"_{verb}")
            return wire.answer(act(*details))
        except LocalRunnerError as error:
            return wire.failure(error)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return wire.failure(workers_disk_full() if full else Unavailable(f"{self._where}: {describe(error)}"))
        except Exception as error:
            return wire.failure(Unavailable(f"{self._where}: {error!r}", hint="is it the same version of local_runner at both ends?"))

    def run(self, worker: str, number: int) -> None:
        """Run a command that the engine has ordered, or is about to; returns at its end."""
        with contextlib.suppress(WorkerLost):  # its engine is gone, or will hear so
            self._guest(worker).run(number)

    # -- answers -------------------------------------------------------------------------------------------------------

    def _hello(self) -> dict[str, Any]:
        return describe_host(self._executor, self._why, self._settings.variables) | {"cache": str(self._cache.folder)}

    def _open(self, plain: Mapping[str, Any], lease: float) -> tuple[str, Any]:
        if names := lacking(plain, self._cache):
            return "lack", names
        worker = uuid.uuid4().hex
        try:
            passed_on = (*DEVICES, *self._settings.variables)
            guest = GuestWorker(self._executor, plain, self._folder / worker, self._cache, lease, passed_on)
        except NotKept as lost:
            return "lack", [lost.name]
        self._guests[worker] = guest
        return worker, guest.likeness

    def _close(self, worker: str) -> None:
        guest = self._guests.pop(worker, None)
        if guest:
            guest.close()

    def _keep(self, workers: Sequence[str]) -> list[str]:
        """Note that these are still wanted; returns those that are not here."""
        for worker in workers:
            if guest := self._guests.get(worker):
                guest.heard()
        return [worker for worker in workers if worker not in self._guests]

    def _follow(self, worker: str, number: int, seen: int, patience: float, order: Any) -> Any:
        guest = self._guest(worker)
        guest.heard()
        command = guest.command(number)
        if order is not None:
            command.give(order)
        news = command.follow(seen, patience)
        if not news:
            self._guest(worker)  # raises if it was closed meanwhile
            if self._is_paused() and not command.has_begun:
                raise WorkerLost(f"{self._where} is paused, as its memory is short")
        return news

    def _cancel(self, worker: str, number: int) -> None:
        self._guest(worker).cancel(number)

    def _start(self, worker: str, number: int, order: Any) -> None:
        self._guest(worker).stay(number, order)

    def _kill(self, worker: str) -> None:
        self._guest(worker).kill()

    def _lay(self, worker: str, tree: tuple[Any, ...]) -> list[bytes]:
        return self._guest(worker).lay(Tree(*tree))

    def _bring(self, worker: str, tree: tuple[Any, ...]) -> tuple[list[bytes], tuple[Any, ...]]:
        lacking, brought = self._guest(worker).bring(Tree(*tree))
        return lacking, tuple(brought)

    def _lazily(self, worker: str, folder: str) -> tuple[int, str]:
        return self._guest(worker).lazily(folder)

    def _serve(self, worker: str, program: str, port: int) -> None:
        self._guest(worker).serve(program, port)

    def _pull(self, worker: str, line: int, patience: float) -> bytes | None:
        return self._guest(worker).server.pull(line, patience)

    def _push(self, worker: str, line: int, data: bytes) -> None:
        self._guest(worker).server.push(line, data)

    def _look(self, worker: str) -> tuple[Any, ...]:
        return tuple(self._guest(worker).look())

    def _collect(self, worker: str, folder: str, paths: Sequence[str], real: Sequence[str]) -> Any:
        return self._guest(worker).collect(folder, paths, real)

    def _more(self, worker: str) -> Any:
        return self._guest(worker).more()

    def _translate(self, worker: str, text: str) -> str:
        return self._guest(worker).translate(text)

    # -- contents ------------------------------------------------------------------------------------------------------

    def _has(self, name: bytes) -> bool:
        return self._cache.has(name)

    def _put(self, draft: str, name: bytes, offset: int, block: bytes, digest: bytes) -> bool:
        """The next block of a content; with the last one comes its SHA-256. Says whether it is as it should be so far."""
        if offset == 0:
            self._drafts[draft] = self._cache.begin(), time.monotonic()
        known = self._drafts.pop(draft, None)
        if known is None:
            return False
        if known[0].size != offset:
            known[0].drop()
            return False
        known[0].write([block])
        if not digest:
            self._drafts[draft] = known[0], time.monotonic()
            return True
        return self._cache.keep(known[0], name, digest)

    def _see(self, path: str, name: bytes, size: int, digest: bytes) -> bool:
        """Take a content from a file that the engine sees at this path, if it is there and the same. Says whether it was."""
        try:
            with open(path, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != size:
                    return False
                draft = self._cache.begin()
                draft.write(iter(lambda: file.read(1 << 20), b""))
        except OSError:
            return False
        return self._cache.keep(draft, name, digest)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _guest(self, worker: str) -> GuestWorker:
        guest = self._guests.get(worker)
        if guest is None:
            raise WorkerLost(f"{self._where} does not know this worker any more", hint="was its process started anew?")
        return guest

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            for worker, guest in list(self._guests.items()):
                if guest.is_forgotten:
                    with contextlib.suppress(Exception):  # what cannot be cleared away is no reason to let the others live
                        self._close(worker)
            for name, (draft, moment) in list(self._drafts.items()):
                if time.monotonic() - moment > 600 and self._drafts.pop(name, None) is not None:
                    draft.drop()


def describe_host(executor: Executor, why: str, names: Sequence[str]) -> dict[str, Any]:
    """What an engine has to know of a machine before it has workers there."""
    return {
        "python": platform.python_version(),
        "prefix": sys.prefix,
        "machine": socket.gethostname(),
        "pid": os.getpid(),
        "executor": executor.name,
        "why": why,
        "capabilities": dataclasses.asdict(executor.capabilities),
        "devices": variables((*DEVICES, *names)),
    }


def default_cache() -> Path:
    """Where contents are kept unless somebody says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "local_runner" / "contents"


def _own_folder(below: Path) -> tuple[Path, int]:
    """A folder for this process, and its lock; folders of processes that are gone are removed."""
    below.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in below.iterdir():
        with contextlib.suppress(OSError):
            lock = os.open(other / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(other, ignore_errors=True)
            finally:
                os.close(lock)
    own = below / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    own.mkdir(mode=0o700)
    lock = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return own, lock
