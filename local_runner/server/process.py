"""A server as a process: one for each home, with a context file for clients, a log, and an eye on the clock."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from local_runner.api.stop import Stop
from local_runner.errors import Busy, LocalRunnerError, Unavailable
from local_runner.runner import Runner
from local_runner.storage.atomic import publish, write_all
from local_runner.storage.locks import FileLock
from local_runner.storage.wakeup import Wakeup

if TYPE_CHECKING:
    from local_runner.server.listen import Address, Done

_CONTEXT = "local"  # its name in the file
_LARGEST_LOG = 16 << 20  # bytes; then it begins anew, and the one before is kept
_LONGEST_WAIT = 60.0  # seconds between two looks at the clock
_PAUSE = 0.2  # seconds after a look, however often somebody writes


class ServerProcess:
    """Serves a home as long as the block lasts; `url` is where, `context` the file that tells clients."""

    def __init__(self, runner: Runner, address: Address) -> None:
        """Raises `Busy` if the home has a server already, `Unavailable` if the port is taken."""
        from local_runner.server.listen import Server

        home = runner.database.home
        home.server_lock.touch()
        self._lock = FileLock(home.server_lock)
        if not self._lock.try_acquire():
            raise Busy(f"{self._lock.holder()} serves {home.path} already", hint=f"it listens on {runner.server_url() or 'some port'}")
        self._log = _Log(home.server_log)
        self._ended = Stop()
        self._clock = threading.Thread(target=_watch_clock, args=(runner, self._ended, self._log), name="clock")
        try:
            self._server = Server(runner, address, self._log.call)
        except OSError as error:
            self._lock.release()
            raise Unavailable(str(error), hint="--port 0 takes one that is free") from None
        self.url = f"{'grpcs' if address.key else 'grpc'}://{_bracketed(address.host)}:{self._server.port}"
        self.context = home.path / "pachctl.json"
        self._file = home.server_file
        _write(self.context, _context(self.url, address))
        _write(self._file, {"url": self.url, "process": os.getpid()})

    def offer(self, address_of: Callable[[str, str], str]) -> None:
        """Tell clients that ask where contents can be fetched, as of an S3 gateway beside it."""
        self._server.offer(address_of)

    def log_line(self, text: str) -> None:
        """Write a line of the S3 gateway into the server's log."""
        self._log.line(text)

    def __enter__(self) -> ServerProcess:
        self._server.start()
        self._clock.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._server.stop()
        self._clock.join()
        self._log.close()
        self._file.unlink(missing_ok=True)
        self._lock.release()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _context(url: str, address: Address) -> dict[str, object]:
    """A configuration for pachctl and the Python clients whose one context is this server."""
    context: dict[str, object] = {"source": "NONE", "pachd_address": url, "project": "default"}
    if address.token:
        context["session_token"] = address.token
    if address.certificate:
        context["server_cas"] = base64.b64encode(address.certificate).decode()
    return {"user_id": "0", "v2": {"active_context": _CONTEXT, "metrics": False, "contexts": {_CONTEXT: context}}}


def _write(path: Path, document: dict[str, object]) -> None:
    """For nobody's eyes but the owner's: it may hold a token."""
    publish(path, (json.dumps(document, indent=2) + "\n").encode())
    path.chmod(0o600)


class _Log:
    """A line for each call. Safe for any number of threads; a full disk costs lines, not calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: BufferedWriter | None = None
        self._size = 0

    def close(self) -> None:
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def call(self, call: Done) -> None:
        self.line(f"{call.code} {call.path} {call.seconds * 1000:.1f}ms{f' {call.error}' if call.error else ''}")

    def line(self, text: str) -> None:
        now = time.time()
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        said = f"{second}.{int(now % 1 * 1000):03}Z ".encode() + text.encode("unicode_escape") + b"\n"
        with self._lock, contextlib.suppress(OSError):
            if self._file is None:
                self._file = self._path.open("ab")
                self._size = self._file.tell()
            write_all(self._file.fileno(), said)  # past its buffer: each line is there when it is written
            self._size += len(said)
            if self._size > _LARGEST_LOG:
                self._file.close()
                self._file = None
                self._path.replace(self._path.with_suffix(".log.1"))


def _watch_clock(runner: Runner, ended: Stop, log: _Log) -> None:
    """See that an engine runs when a tick is due: commands do that only when they are given."""
    with Wakeup(runner.database.home.wakeups) as wakeup, ended.wakes(wakeup):
        while not ended.is_set:
            seconds = _LONGEST_WAIT
            try:
                runner.ensure_engine()
                due = runner.next_tick()
                seconds = _LONGEST_WAIT if due is None else min(max(due - time.time(), _PAUSE), _LONGEST_WAIT)
            except (LocalRunnerError, OSError) as error:
                log.line(f"UNAVAILABLE clock {error}")
            wakeup.wait(seconds)
            if not ended.is_set:
                time.sleep(_PAUSE)


@contextlib.contextmanager
def until_told(*signals: int) -> Iterator[threading.Event]:
    """An event that is set when one of these signals comes."""
    import signal

    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in signals}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
