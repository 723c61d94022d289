"""Runs the engine of a home in this process, under the engine lock: in the foreground (`work`) or background (`serve`)."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator

from local_runner.engine.config import EngineConfig
from local_runner.engine.loop import SOMEBODY_ELSE, Engine
from local_runner.errors import Busy, LocalRunnerError
from local_runner.runner import Runner
from local_runner.storage.database import Database
from local_runner.storage.locks import FileLock
from local_runner.storage.workers import leave_place, make_place

LINGER = 3.0  # seconds a background engine waits for more: starting another takes 0.3
_HANDOVER = 3.0  # seconds that an engine has to give way before `waiting` is called


@contextlib.contextmanager
def engine_of(runner: Runner, config: EngineConfig, *, waiting: Callable[[str], None] | None = None) -> Iterator[Engine]:
    """Be the engine of a home until the block ends. Raises `Busy` if another process is.

    With `waiting` its turn is waited for instead: an engine in the background is asked to give way as soon as no job is under way
    there, and `waiting` is told who it is if that takes long.
    """
    lock = FileLock(runner.database.home.engine_lock)
    collector = gc.get_threshold()
    # A process that merely looks whether it is taken holds it for a moment, too.
    if not lock.try_acquire(patience=0.2):
        if waiting is None:
            raise Busy(f"{lock.holder()} is at work in {runner.home}", hint="wait for it, or end it")
        _take_over(runner.database, lock, waiting)
    try:
        # A job makes a million small values that stay: looking through them again and again took half its planning (0.8 s of 1.5
        # for 60 000 datums). What goes round in circles is little, and may wait.
        gc.set_threshold(200_000, 20, 100)
        _withdraw(runner.database)
        make_place(runner.database.home, config.warn)
        with Engine(runner.database, config) as engine:
            yield engine
    finally:
        gc.set_threshold(*collector)
        leave_place(runner.database.home)
        lock.release()
    with contextlib.suppress(LocalRunnerError, OSError):  # what was to be done is done
        runner.give_back()


def _take_over(database: Database, lock: FileLock, waiting: Callable[[str], None]) -> None:
    with database.write() as session:
        session.repos.set_setting(SOMEBODY_ELSE, "yes")
    try:
        lock.acquire(waiting, patience=_HANDOVER)
    except BaseException:  # Ctrl-C
        _withdraw(database)
        raise


def _withdraw(database: Database) -> None:
    with database.read() as session:
        wanted = session.repos.setting(SOMEBODY_ELSE)
    if wanted:
        with database.write() as session:
            session.repos.set_setting(SOMEBODY_ELSE, None)


def work(runner: Runner, config: EngineConfig, until: Callable[[], bool] = lambda: False) -> None:
    """Be the engine in this process until no work is left. Raises `Busy`."""
    with engine_of(runner, config) as engine:
        engine.work(until=until)


def serve(runner: Runner, config: EngineConfig) -> None:
    """Be a background engine: work until nothing was left for a while. Returns at once if there is another."""
    while True:
        try:
            with engine_of(runner, config) as engine:
                engine.work(linger=LINGER)
        except Busy:
            return
        if engine.gave_way:
            return
        # A process that left work after the last look saw the lock taken, and relies on this engine.
        if not runner.has_work():
            return
