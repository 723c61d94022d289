"""Lays out a datum again in a worker of its own, to look at it or run it; nothing is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from local_runner.engine.batching.batched_run import PREMATURE_EXIT
from local_runner.engine.batching.client import NextDatumCall, NextDatumClient, NextDatumServers
from local_runner.engine.datum_lookup import FoundDatum
from local_runner.engine.environment import dot_env, job_env, stdin_bytes
from local_runner.engine.hindrances import Withheld, hindrances
from local_runner.engine.outputs import collect
from local_runner.engine.s3_gateway import s3_gateway
from local_runner.engine.staging import Staged, stage
from local_runner.engine.worker_request import MakeRequest
from local_runner.engine.worker_thread import OpenWorker, open_worker
from local_runner.executors.base import Executor, Output, RunRequest, RunResult
from local_runner.executors.launcher.removal import remove_leftover
from local_runner.executors.network_attempts import network_attempts
from local_runner.executors.terminal import Terminal
from local_runner.pipelines.outcome import OutputFile
from local_runner.storage.database import Database
from local_runner.storage.intake import Source
from local_runner.storage.locks import FileLock
from local_runner.storage.objects import Content, hashed

_PREFIX, _LOCK = "local_runner-datum-", "lock"
_PASSAGE = 0o711  # for the user of a `transform.user`


class DatumSession:
    """A datum that stands in a worker. Commands run in it one after another, and see what those before them left."""

    def __init__(
        self,
        database: Database,
        entry: FoundDatum,
        opened: OpenWorker,
        client: NextDatumClient | None,
        withheld: Callable[[], Withheld] = Withheld,
    ) -> None:
        self.entry = entry
        self._withheld = withheld
        self._database = database
        self._opened = opened
        self._client = client
        self._staged: Staged | None = None
        self._asked: NextDatumCall | None = None  # the NextDatum that ended the datum
        self._broken: Exception | None = None  # what kept it from being answered
        self._number = 0
        if client:
            client.attach(opened.worker)
        opened.worker.lay(self._stage().tree)

    @property
    def env(self) -> dict[str, str]:
        """The variables of the command besides the worker's own; a batching command gets those of the datum later."""
        entry = self.entry
        return job_env(entry.job_id) if entry.spec.transform.datum_batching else entry.env

    @property
    def stdin(self) -> bytes | None:
        """What its command reads from standard input, by its spec; None for nothing."""
        return stdin_bytes(self.entry.spec.transform.stdin)

    def run(
        self,
        cmd: Sequence[str],
        output: Output,
        *,
        stdin: bytes | None = None,
        terminal: Terminal | None = None,
        timeout: float | None = None,
        more: Mapping[str, str] | None = None,
        once: bool = True,
    ) -> RunResult:
        """Run a command in the datum, with `more` variables. One that batches gets this datum; asking for another ends it if `once`.

        Else its NextDatum is refused then, and the next one gets the datum, afresh: at a shell it may be started again.
        """
        request = RunRequest(
            tuple(cmd), {**self.env, **(more or {})}, None, output, stdin, timeout, self.entry.spec.transform.working_dir, terminal
        )
        if self._client is None:
            return self._opened.worker.run(request)
        with self._answered(self._client, once=once):
            result = self._opened.worker.run(request)
        if self._broken:
            raise self._broken
        if not once:
            return result
        if self._asked:
            code = None if self._asked.error else 0
            return dataclasses.replace(result, exit_code=code, error=self._asked.error, cancelled=False)
        return dataclasses.replace(result, exit_code=None, error=PREMATURE_EXIT) if result.accepted() else result

    def explain(self, lines: Sequence[str], reason: str) -> list[str]:
        """What may have made a command fail that printed `lines` last and ended for `reason`, as the reason of a job says it."""
        tried = network_attempts(self._opened.worker.inside) > 0
        return hindrances(self._withheld(), lines, reason, tried_network=tried)

    def written(self) -> list[OutputFile]:
        """The files in `out`, as they would be committed. Raises `BadOutput`."""
        if self._staged is None or not self._opened.worker.look().wrote:
            return []
        return collect(_Scales(), self._staged, self._opened.worker)

    def translate(self, text: str) -> str:
        """A text with `/pfs` and code paths replaced by those of this worker."""
        return self._opened.worker.translate(text)

    def close(self) -> None:
        if self._staged:
            self._staged.close()

    def _stage(self) -> Staged:
        self.close()
        self._number += 1
        entry, opened = self.entry, self._opened
        told, s3_out = dot_env(opened.worker, entry.env), entry.spec.s3_out
        name = f"session-{self._number}"
        self._staged = stage(
            self._database,
            entry.datum,
            entry.roots,
            opened.scratch,
            name,
            told,
            owner=opened.owner,
            s3_out=s3_out,
            fetches=opened.worker.fetches,
        )
        return self._staged

    @contextlib.contextmanager
    def _answered(self, client: NextDatumClient, *, once: bool) -> Iterator[None]:
        client.listen()
        thread = threading.Thread(target=self._answer, args=(client,), kwargs={"once": once}, name="NextDatum", daemon=True)
        thread.start()
        try:
            yield
        finally:
            client.wake()
            thread.join()
            client.pause()

    def _answer(self, client: NextDatumClient, *, once: bool) -> None:
        try:
            while client.next_call(None):
                told = dot_env(self._opened.worker, self.entry.env)
                client.send(self._stage().tree, told)
                client.go()
                self._asked = client.next_call(None)
                if once or self._asked is None:
                    self._opened.worker.cancel()
                    return
                client.pause()
                client.listen()
        except Exception as error:  # whatever it was
            self._broken = error
            self._opened.worker.cancel()  # or it would wait for its answer for ever
        finally:
            self._database.close_thread()


@contextlib.contextmanager
def open_datum_session(
    database: Database, executor: Executor, make_request: MakeRequest, entry: FoundDatum, withheld: Callable[[], Withheld] = Withheld
) -> Iterator[DatumSession]:
    """A datum in a worker, both of which go when the block ends. Needs no engine, and is in no engine's way. Raises `Unavailable`."""
    pipeline = entry.spec.pipeline
    with contextlib.ExitStack() as stack:
        client = None
        if entry.spec.transform.datum_batching:
            client = stack.enter_context(_client())
        # Not where the engine's workers have theirs: it clears that when it starts and ends.
        folder = stack.enter_context(_own_folder(database.home.workers[-1].parents[1]))
        name, port = f"{pipeline.project}-{pipeline.name}-datum", client.port if client else 0
        gateway = stack.enter_context(s3_gateway(database.home.path, entry.spec))
        s3_port = gateway.port if gateway else 0
        opened = stack.enter_context(open_worker(database, executor, make_request, name, port, [folder], s3_port))
        if gateway:
            gateway.attach(opened.worker)
            gateway.serve([entry.datum])  # without output: its job may be over
        found = DatumSession(database, entry, opened, client, withheld)
        stack.callback(found.close)
        yield found


@contextlib.contextmanager
def _own_folder(disk: Path) -> Iterator[Path]:
    """A new folder, locked while it is in use; folders of killed sessions are removed."""
    for left in disk.glob(f"{_PREFIX}*/{_LOCK}"):
        if left.stat().st_uid == os.getuid() and not FileLock(left).is_taken():
            remove_leftover(str(left.parent))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=disk))
    # It gets its name when it is locked, or another open_datum_session might take it for one that is left over.
    draft = folder / f"{_LOCK}.draft"
    draft.touch()
    lock = FileLock(draft)
    lock.try_acquire()
    draft.rename(folder / _LOCK)
    folder.chmod(_PASSAGE)
    try:
        yield folder
    finally:
        remove_leftover(str(folder))
        lock.release()


@contextlib.contextmanager
def _client() -> Iterator[NextDatumClient]:
    next_datum_servers = NextDatumServers()
    try:
        client = next_datum_servers.open()
        try:
            yield client
        finally:
            client.close()
    finally:
        next_datum_servers.close()


class _Scales:
    """Hashes contents without storing them."""

    def take(self, source: Source, /) -> Content:
        return hashed(source)
