"""How API methods reach the records: read views, changes as transactions, waiting, and starting the engine that does the work."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from collections import deque
from collections.abc import Callable, Container, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from local_runner.api.stop import Stop
from local_runner.errors import LocalRunnerError, Unavailable
from local_runner.model.ids import new_id
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.refs import SPEC, CommitRef, PipelineRef, RepoRef
from local_runner.pipelines.transactions import find_transaction, put_transaction
from local_runner.pipelines.triggers import fire_triggers, settle
from local_runner.pipelines.verbs import Verb
from local_runner.planning.readiness import has_work, next_tick
from local_runner.repos.transaction import Transaction
from local_runner.storage.database import Database, Session
from local_runner.storage.home import STARTED_IN, VARIABLE
from local_runner.storage.locks import FileLock
from local_runner.storage.released import let_go
from local_runner.storage.wakeup import Wakeup

if TYPE_CHECKING:
    import subprocess

ACTIVE_TRANSACTION = "active transaction"  # a setting
_REMEMBERED = 1000  # commit sets
_WATCH_SECONDS = 5.0  # how often a waiting method makes sure that an engine lives

_T = TypeVar("_T")


class Access:
    """The base of `Runner`: the records of a home, with the ways to read, change and wait that its methods use."""

    def __init__(
        self, database: Database, *, background: bool, transactional: bool, start_engine: Callable[[Any], None] | None = None
    ) -> None:
        self.database = database
        self._background = background
        self._start_engine = start_engine
        self._transactional = transactional
        self._transaction = ""  # the one verbs join, whichever is active
        self._stop = Stop()
        self._spec_commit = _spec_commit_here()
        self._engine: subprocess.Popen[bytes] | None = None  # the one this has started last
        self._collector: subprocess.Popen[bytes] | None = None
        self.changed: deque[str] = deque(maxlen=_REMEMBERED)  # the commit sets this has made, the newest last

    @property
    def home(self) -> Path:
        """The folder of the home."""
        return self.database.home.path

    def view(self, *, transaction: str = "", stop: Stop | None = None) -> Self:
        """The same home for one caller of many: verbs that can join a transaction join the one with this id, whichever is active, and
        waits end with `Stopped` when `stop` is set. It is closed with the runner it comes from. Raises `NotFound`."""
        if transaction:
            self._look(lambda session: find_transaction(session, transaction))
        found = copy.copy(self)
        found._transaction, found._stop = transaction, stop or self._stop
        return found

    def close_thread(self) -> None:
        """Close what the calling thread has open of the home, when the thread is about to end; all is closed with the runner."""
        self.database.close_thread()

    def change(self, work: Callable[[Transaction], _T], set_id: str = "") -> _T:
        """Do some work as one change, all of it under one commit set id or none of it; then start an engine if there is work for one."""
        with self.database.write() as session:
            removed = let_go(session.connection)
            txn = Transaction(session, set_id or new_id(), session.clock(), spout=self._spec_commit)
            result = work(txn)
            settle(txn)
            removed = let_go(session.connection) - removed
        fire_triggers(self.database, txn.finished)
        self.changed.append(txn.id)
        self.ensure_engine()
        if removed:
            with contextlib.suppress(LocalRunnerError, OSError):  # what was asked for is done
                self.give_back()
        return result

    def give_back(self) -> None:
        """Collect garbage if there is much of it."""

    def _do(self, verb: Verb[_T]) -> _T:
        """Do a verb at once, or append it to the transaction of this view, or to the active one."""
        transaction = self._transaction or (self.active_transaction() if self._transactional else "")
        return self._append(transaction, verb) if transaction else self.change(verb.apply)

    def _append(self, transaction: str, verb: Verb[_T]) -> _T:
        """Try a verb on top of what the transaction has, take everything back, and remember the verb."""
        before = self._look(lambda session: find_transaction(session, transaction))
        with self.database.rehearse() as session:
            txn = Transaction(session, transaction, session.clock(), spout=self._spec_commit)
            for request in before.requests:
                request.apply(txn)
            result = verb.apply(txn)
            settle(txn)
        with self.database.write() as session:
            found = find_transaction(session, transaction)
            put_transaction(session, found._replace(requests=(*found.requests, verb)))
        return result

    def _look(self, look: Callable[[Session], _T]) -> _T:
        with self.database.read() as session:
            return look(session)

    def _stream(self, look: Callable[[Session], Iterator[_T]]) -> Iterator[_T]:
        """An iterator that reads one view of the records until it is used up or closed; its user may write meanwhile."""
        with self.database.read_apart() as session:
            yield from look(session)

    def _content(self, look: Callable[[Session], Iterator[bytes]]) -> Iterator[bytes]:
        """The blocks of a content. The view of the records ends with the first of them: the others come from files, which are open by
        then, so that a client that reads for hours holds back nobody."""
        with contextlib.ExitStack() as stack:
            with self.database.read_apart() as session:
                found = look(session)
                if isinstance(found, Generator):
                    stack.callback(found.close)
                first = next(found, None)
            if first is not None:
                yield first
                with self.database.explaining():
                    yield from found

    def wait_until(self, look: Callable[[Session], _T | None]) -> _T:
        """Look at the records, and again whenever they change, until there is an answer.

        Raises `Unavailable` if the engine it needs for that cannot work, `Stopped` if nobody waits any more.
        """
        with Wakeup(self.database.home.wakeups) as wakeup, self._stop.wakes(wakeup):
            while True:
                self._stop.check()
                found = self._look(look)
                if found is not None:
                    return found
                self._check_engine()
                self.ensure_engine()
                wakeup.wait(_WATCH_SECONDS)

    def ensure_engine(self) -> None:
        """Start an engine in the background if there is unfinished work and none runs."""
        if not self._background or FileLock(self.database.home.engine_lock).is_taken() or not self.has_work():
            return
        if self._start_engine:
            self._start_engine(self)
        else:
            self._engine = self._start_process("-m", "local_runner", "engine")

    def _start_process(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start this program in the background, on this home; what it says is in `engine.log`."""
        import subprocess  # 6 ms, and seldom needed

        env = {**os.environ, VARIABLE: str(self.home)}
        with contextlib.suppress(FileNotFoundError):
            env.setdefault(STARTED_IN, os.getcwd())
        package = str(Path(__file__).parents[2])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        with self.database.home.engine_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd=self.home,
                start_new_session=True,
            )

    def _check_engine(self) -> None:
        """Raises `Unavailable` if an engine gave up, as the next one would; one that was killed did not."""
        status = self._engine.poll() if self._engine else None
        if status is not None and status > 0:
            log = self.database.home.engine_log
            said = [line for line in log.read_text(errors="replace").splitlines() if not line.startswith("hint: ")]
            reason = said[-1] if said else "it said nothing"
            raise Unavailable(f"the engine in the background ended with status {status}: {reason}", hint=f"all it said is in {log}")

    def has_work(self, *, services: bool = True, only: Container[PipelineRef] | None = None) -> bool:
        """Whether there is something for an engine to do; with `services`, also if that is only to let spouts and services run.

        `only` leaves other pipelines out.
        """
        return self._look(lambda session: has_work(session, services=services, only=only))

    def next_tick(self) -> float | None:
        """When the next clock strikes, that of a cron input or of a trigger, in seconds since the epoch; None if there is none."""
        return self._look(next_tick)

    def active_transaction(self) -> str:
        """The id of the transaction that verbs are appended to, "" if there is none."""
        return self._look(lambda session: session.repos.setting(ACTIVE_TRANSACTION)) or ""


def _spec_commit_here() -> CommitRef | None:
    """The spec commit of the pipeline in whose worker this process runs, by its environment (reference pps 3.2)."""
    project, pipeline, commit = (os.environ.get(f"PPS_{name}", "") for name in ("PROJECT_NAME", "PIPELINE_NAME", "SPEC_COMMIT"))
    return CommitRef(RepoRef(project or DEFAULT_PROJECT, pipeline, SPEC), commit) if pipeline and commit else None
