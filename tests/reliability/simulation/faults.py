"""Where a simulated process can be killed, and where its disk can fail: each statement of SQL, each call that changes a file, each turn."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.reliability.simulation.threads import Killed

_QUIET = ("ROLLBACK", "PRAGMA")  # what SQLite does to clean up, and at the start
_ERRORS = {errno.EIO: "disk I/O error", errno.ENOSPC: "database or disk is full", errno.EMFILE: "unable to open database file"}
_NO_ROOM = ("write", "pwrite", "mkdir", "sql", "create", "ftruncate", "rename")  # what a full disk refuses


class Plan:
    """What is to happen at which point: a kill, or an error that comes once or stays. Points are counted from 0."""

    def __init__(self, *, kill_at: int = -1, fault_at: int = -1, error: int = errno.EIO, stays: bool = False) -> None:
        self.kill_at, self.fault_at, self.error, self.stays = kill_at, fault_at, error, stays

    def __str__(self) -> str:
        if self.kill_at >= 0:
            return f"killed at point {self.kill_at}"
        if self.fault_at >= 0:
            return f"{errno.errorcode[self.error]} {'from' if self.stays else 'at'} point {self.fault_at}"
        return "undisturbed"


class Disk:
    """The disk of a simulated process: everything below `folder`, of which `home` is copied to `copy` at the moment of a kill."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder = str(folder)
        self.home, self.copy = folder / "home", folder / "copy"
        self.plan = Plan()
        self.points = 0
        self.faults = 0  # errors so far
        self.trace: list[str] = []
        self.at_death: Callable[[], None] = lambda: None
        self._random = random
        self._is_quiet = False
        self._ours: set[int] = set()  # open descriptors below `folder`
        self._short = -1

    def arm(self, plan: Plan) -> None:
        """Count points anew, and let happen what is planned."""
        self.plan, self.points, self._short = plan, 0, -1
        self.trace.clear()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nothing happens meanwhile: this is somebody who looks on."""
        before, self._is_quiet = self._is_quiet, True
        try:
            yield
        finally:
            self._is_quiet = before

    # -- points --------------------------------------------------------------------------------------------------------

    def point(self, kind: str, what: str = "") -> int:
        """Something is about to happen. Raises `Killed`; returns the errno of what fails, else 0."""
        if self._is_quiet:
            return 0
        at, self.points = self.points, self.points + 1
        if at == self.plan.kill_at:
            self.trace.append(f"killed before {kind} {what}")
            self.die()
        if at == self.plan.fault_at or (self.plan.stays and 0 <= self.plan.fault_at < at):
            error = self.plan.error
            refused = error == errno.EIO or (kind in ("open", "create", "connect") if error == errno.EMFILE else kind in _NO_ROOM)
            if refused:
                self.faults += 1
                self.trace.append(f"{errno.errorcode[error]} at {kind} {what}")
                return error
            if at == self.plan.fault_at:
                self.plan.fault_at += 1  # the next that can fail so
        return 0

    def die(self, torn: int = 0) -> None:
        """Copy the home as it is, all but the last `torn` bytes of its log, and be gone."""
        self._is_quiet = True
        if self.home.exists():
            shutil.copytree(self.home, self.copy, ignore=_pipes)
        if torn:
            log = self.copy / "records.sqlite-wal"
            os.truncate(log, log.stat().st_size - torn)
        self.at_death()
        raise Killed

    def revive(self) -> None:
        """A new process finds what the killed one left."""
        shutil.rmtree(self.home, ignore_errors=True)
        if self.copy.exists():
            self.copy.rename(self.home)
        self._is_quiet = False
        self._ours.clear()

    def _fails(self, kind: str, path: object) -> None:
        error = self.point(kind, str(path).removeprefix(self.folder))
        if error:
            raise OSError(error, os.strerror(error), str(path)) if path else OSError(error, os.strerror(error))

    def _is_ours(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(self.folder)  # type: ignore[arg-type]

    # -- in place of the real ones ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """Calls that change files below the folder, and statements of SQL, are points."""
        patches: list[tuple[Any, str, Any]] = []

        def patch(owner: Any, name: str, new: Callable[..., Any]) -> Any:
            old = getattr(owner, name)
            patches.append((owner, name, old))
            setattr(owner, name, new)
            return old

        def by_path(kind: str) -> Callable[..., Any]:
            def call(path: Any, *args: Any, **kwargs: Any) -> Any:
                if self._is_ours(path):
                    self._fails(kind, path)
                return real[kind](path, *args, **kwargs)

            return call

        def open_descriptor(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            ours = self._is_ours(path)
            if ours:
                self._fails("create" if flags & os.O_CREAT else "open", path)
            descriptor: int = real["open"](path, flags, *args, **kwargs)
            # A pipe takes what is written to it, whatever becomes of the disk.
            (self._ours.add if ours and "/bells/" not in str(path) else self._ours.discard)(descriptor)
            return descriptor

        def on_descriptor(kind: str) -> Callable[..., Any]:
            def call(descriptor: Any, *args: Any) -> Any:
                if descriptor in self._ours:
                    self._fails(kind, "")
                return real[kind](descriptor, *args)

            return call

        def write(kind: str) -> Callable[..., int]:
            def call(descriptor: int, data: Any, *args: Any) -> int:
                if descriptor in self._ours:
                    error = self.point(kind, f"{len(data)} bytes")
                    if descriptor == self._short:
                        self._short, error = -1, errno.ENOSPC
                    elif error == errno.ENOSPC and len(data) > 1:
                        self._short = descriptor  # what fits is written; whoever goes on is refused
                        return int(real[kind](descriptor, memoryview(data)[: len(data) // 2], *args))
                    if error:
                        raise OSError(error, os.strerror(error))
                return int(real[kind](descriptor, data, *args))

            return call

        def open_file(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if self._is_ours(path):
                self._fails("open" if mode.startswith("r") else "create", path)
            return real_open(path, mode, *args, **kwargs)

        def fdopen(descriptor: int, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
            if descriptor in self._ours and "b" in mode and "r" not in mode:
                raw = _File(descriptor, mode, write=os.write)
                return raw if buffering == 0 else io.BufferedWriter(raw)
            return real["fdopen"](descriptor, mode, buffering, *args, **kwargs)

        def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            error = self.point("connect")
            if error:
                raise sqlite3.OperationalError(_ERRORS[error])
            made: sqlite3.Connection = real["connect"](*args, factory=_Connection, **kwargs)
            made.disk = self  # type: ignore[attr-defined]
            return made

        real: dict[str, Any] = {}
        for kind, name in (("rename", "rename"), ("replace", "replace"), ("mkdir", "mkdir"), ("unlink", "unlink"), ("rmdir", "rmdir")):
            real[kind] = patch(os, name, by_path(kind))
        for kind in ("fsync", "ftruncate", "fchmod"):
            real[kind] = patch(os, kind, on_descriptor(kind))
        for kind in ("write", "pwrite"):
            real[kind] = patch(os, kind, write(kind))
        real["open"] = patch(os, "open", open_descriptor)
        real["fdopen"] = patch(os, "fdopen", fdopen)
        real["connect"] = patch(sqlite3, "connect", connect)
        real_open = patch(io, "open", open_file)
        patch(builtins, "open", open_file)
        try:
            yield
        finally:
            for owner, name, old in patches:
                setattr(owner, name, old)

    def execute(self, connection: sqlite3.Connection, run: Callable[[], Any], statement: str) -> Any:
        """One statement of SQL, before which and (if it is a commit) in the middle of which the process can end."""
        if statement.startswith(_QUIET) or self._is_quiet:
            return run()
        error = self.point("sql", statement[:60])
        if error:
            raise sqlite3.OperationalError(_ERRORS[error])
        if statement != "COMMIT":
            return run()
        before = _size(self.home / "records.sqlite-wal")
        result = run()
        written = _size(self.home / "records.sqlite-wal") - before
        if self.points == self.plan.kill_at:
            self.points += 1
            torn = self._random.randrange(written) if written > 0 else 0
            self.trace.append(f"killed in COMMIT, {torn} of {written} bytes not written")
            self.die(torn)
        return result


class _File(io.FileIO):
    """A file whose writes are points; like those of the system they may be short."""

    def __init__(self, descriptor: int, mode: str, write: Callable[[int, Any], int]) -> None:
        super().__init__(descriptor, mode)
        self._write = write

    def write(self, data: Any) -> int:
        return self._write(self.fileno(), data)


class _Connection(sqlite3.Connection):
    """A connection whose statements are points."""

    disk: Disk

    def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
        return self.disk.execute(self, lambda: super(_Connection, self).execute(statement, *args), statement)  # type: ignore[no-any-return]

    def executemany(self, statement: str, *args: Any) -> sqlite3.Cursor:
        return self.disk.execute(self, lambda: super(_Connection, self).executemany(statement, *args), statement)  # type: ignore[no-any-return]

    def executescript(self, statements: str) -> sqlite3.Cursor:
        return self.disk.execute(self, lambda: super(_Connection, self).executescript(statements), statements)  # type: ignore[no-any-return]


def _pipes(folder: str, names: list[str]) -> list[str]:
    return names if folder.endswith("/bells") else [name for name in names if name.endswith("-shm")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
