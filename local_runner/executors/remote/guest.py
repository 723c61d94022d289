"""A worker of this machine's executor that an engine on another machine works with."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from local_runner import beneath
from local_runner.errors import LocalRunnerError, Unavailable, WorkerLost
from local_runner.executors.base import Executor, Process, RunRequest, RunResult, Worker, workers_disk_full
from local_runner.executors.launcher.collect import BAD, FILE, FOLDER, LINKED, Piece
from local_runner.executors.launcher.removal import remove_leftover
from local_runner.executors.launcher.tree import Tree, TreeChanges
from local_runner.executors.parts import Parts, Scratch
from local_runner.executors.remote import wire
from local_runner.executors.remote.cache import ContentCache, NotKept
from local_runner.executors.remote.command import FollowedCommand
from local_runner.executors.remote.datum_server import DatumServer
from local_runner.executors.remote.request import receive_request

_MOST_AHEAD = 64  # trees that a server of NextDatum may have before they are laid out: more than fit into what is sent ahead
_ANSWER_BYTES = 1 << 20
_PAUSE = 0.002  # seconds between looks whether a content has come
_AGAIN = 0.25  # seconds until a content that has not come is asked for again; then twice as long, and so on
_ORDER_PATIENCE = 30.0  # seconds from the begin of a task to the engine's order for it


class Wanting(NamedTuple):
    """How contents are asked for: `want` asks the engine without waiting, `is_over` says that nobody needs them any more."""

    want: Callable[[list[bytes]], None]
    is_over: Callable[[], bool]


class GuestWorker:
    """A worker for an engine elsewhere, in a folder of its own. `lease` is how many seconds it lives without a word of its engine.

    One command at a time, as of any worker; `follow`, `cancel` and `close` may come while it runs.
    """

    def __init__(
        self,
        executor: Executor,
        plain: Mapping[str, Any],
        place: Path,
        cache: ContentCache,
        lease: float,
        passed_on: tuple[str, ...],
    ) -> None:
        """Set it up. Raises `Unavailable` as the executor does, `NotKept` for code that is not here yet, and OSError."""
        self.place, self._cache, self._lease = place, cache, lease
        self._heard_at = time.monotonic()
        self._stack = contextlib.ExitStack()
        self._commands: dict[int, FollowedCommand] = {}
        self._pieces: Iterator[Piece] = iter(())
        self._parts: deque[tuple[str, Parts]] = deque()  # by folder: of trees that are laid out, or are to come
        self._staying: FollowedCommand | None = None
        self._server: DatumServer | None = None
        self._process: Process | None = None  # the command that stays
        self._is_killed = False
        self._busy = threading.Lock()  # held while a command runs: the worker is not closed under it
        self.is_closed = False
        place.mkdir(mode=0o700, parents=True)
        try:
            self._stack.callback(remove_leftover, str(place))
            for name in ("pfs", "folder"):
                (place / name).mkdir()
            request = receive_request(plain, place, cache, passed_on)
            request.scratch.mkdir()
            self._owner = executor.owner(request)
            if self._owner:
                for folder in (place, request.pfs, request.folder, request.scratch):
                    os.chown(folder, *self._owner)
            scratch = beneath.open_root(request.scratch)
            self._stack.callback(os.close, scratch)
            self._scratch = Scratch(scratch, request.scratch)
            self._worker: Worker = self._stack.enter_context(executor.worker(request))
        except BaseException:
            self._stack.close()
            raise

    @property
    def likeness(self) -> dict[str, Any]:
        """What its engine's end has to know of it."""
        return {"env": dict(self._worker.env), "root": self._worker.root, "place": str(self.place)}

    def heard(self) -> None:
        """Note that its engine lives."""
        self._heard_at = time.monotonic()

    @property
    def is_forgotten(self) -> bool:
        """Whether its engine has said nothing for so long that it must be gone."""
        return time.monotonic() - self._heard_at > self._lease

    # -- commands ------------------------------------------------------------------------------------------------------

    def command(self, number: int) -> FollowedCommand:
        """The command of a number, which may be heard of from the engine first, or from who runs it."""
        command = self._commands.get(number)
        if command is None:
            for old in [old for old in self._commands if old < number - 1]:
                self._commands.pop(old, None)  # the engine and who runs it may both be here
            command = self._commands.setdefault(number, FollowedCommand())
        return command

    def run(self, number: int) -> None:
        """Run the command of a number, in the thread that calls; what becomes of it is told to who follows."""
        command = self.command(number)
        if command.is_cancelled or not command.claim():
            return
        with self._busy, self._told(command):
            if self.is_closed:
                raise WorkerLost("the worker was closed before its command began")
            began = time.monotonic()
            request = self._request(command, command.order(_ORDER_PATIENCE))
            moved = time.monotonic() - began
            if command.is_cancelled:
                command.tell("end", plain_result(RunResult(None, 0.0, cancelled=True)))
                return
            result = self._worker.run(request)
            read, error = self.lazily(request.tree.folder) if request.tree else (0, "")
            result = dataclasses.replace(result, laying=result.laying + moved, lazy_bytes=read, lazy_error=error)
            command.tell("end", plain_result(result))

    def stay(self, number: int, order: Any) -> None:
        """Start a command that stays; a thread of its own sees to it until its end."""
        command = self._staying = self.command(number)
        command.give(order)
        self._process, self._is_killed = None, False
        threading.Thread(target=self._see_to, args=(command,), name="a command that stays", daemon=True).start()

    def kill(self) -> None:
        """Kill the command that stays, also if it is only just being started."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def _see_to(self, command: FollowedCommand) -> None:
        with self._told(command):
            process = self._process = self._worker.start(self._request(command, command.order(_ORDER_PATIENCE)))
            if self._is_killed:
                process.kill()
            result = process.wait()
            process.poll()  # raises if the worker was lost
            assert result
            command.tell("end", plain_result(result))

    def cancel(self, number: int) -> None:
        if self.command(number).cancel():
            self._worker.cancel()

    @contextlib.contextmanager
    def _told(self, command: FollowedCommand) -> Iterator[None]:
        try:
            yield
        except Exception as why:
            command.tell("broken", wire.failure(_as_error(why)))

    def _request(self, command: FollowedCommand, order: tuple[Any, ...]) -> RunRequest:
        cmd, env, tree, stdin, timeout, working_dir = order
        wanting = Wanting(lambda names: command.tell("want", names), lambda: command.is_cancelled or command.is_over)
        laid = None if tree is None else self._bring(Tree(*tree), wanting, wanting)

        def output(stream: str, block: bytes) -> None:
            command.tell("output", stream, block)

        return RunRequest(tuple(cmd), env, laid, output, stdin, timeout, working_dir)

    # -- trees ---------------------------------------------------------------------------------------------------------

    def lay(self, tree: Tree) -> list[bytes]:
        """Lay out a tree; returns the hashes of what is not here yet, and then nothing was done."""
        lacking, brought = self.bring(tree)
        if not lacking:
            self._worker.lay(brought)
        return lacking

    def bring(self, tree: Tree) -> tuple[list[bytes], Tree]:
        """A tree that the process which stays will be given; or the hashes of what is not here yet. Lazy inputs come when they are read."""
        lacking = [name for _, name, _, lazy in tree.stored if not lazy and not self._cache.has(name)]
        if lacking:
            return lacking, Tree()
        here = Wanting(lambda names: None, lambda: True)  # it was here a moment ago
        return [], self._bring(tree, here, Wanting(self._want_for_staying, lambda: False), _MOST_AHEAD)

    def lazily(self, folder: str) -> tuple[int, str]:
        """How many bytes were read of the lazy inputs of a tree, and why a reader did not get all it asked for."""
        pipes = [pipe for known, parts in self._parts if known == folder for pipe in parts.pipes]
        return sum(pipe.read_bytes for pipe in pipes), next((pipe.error for pipe in pipes if pipe.error), "")

    def _want_for_staying(self, names: list[bytes]) -> None:
        if self._staying:
            self._staying.tell("want", names)

    def serve(self, program: str, port: int) -> None:
        """Start a server of NextDatum for the processes of this worker."""
        self._server = DatumServer(program, self._worker.inside, port, self._worker.datums)

    @property
    def server(self) -> DatumServer:
        """The server of NextDatum. Raises `WorkerLost` if there is none any more."""
        if self._server is None or self.is_closed:
            raise WorkerLost("the server of NextDatum is gone")
        self.heard()
        return self._server

    def look(self) -> TreeChanges:
        return self._worker.look()

    def translate(self, text: str) -> str:
        return self._worker.translate(text)

    def _bring(self, tree: Tree, files: Wanting, pipes: Wanting, kept: int = 0) -> Tree:
        """A tree with what is stored as files and pipes of its own. So many trees before it are kept."""
        self._let_go(kept)
        if not tree.stored:
            return tree
        parts = Parts(self._scratch, self._owner)
        self._parts.append((tree.folder, parts))
        if lacking := {name for _, name, _, lazy in tree.stored if not lazy and not self._cache.has(name)}:
            files.want(list(lacking))
        for path, name, _, lazy in tree.stored:
            if lazy:
                parts.lazy(path, partial(self._read, name, pipes))
            else:
                parts.file(path, partial(self._copy, name, files))
        return tree._replace(stored=(), brought=parts.brought)

    def _copy(self, name: bytes, wanting: Wanting, descriptor: int, _: str) -> None:
        """Write a content to an open file, as soon as it is here. What went from the cache meanwhile, or was damaged, comes again."""
        while True:
            self._wait_for(name, wanting)
            with contextlib.suppress(NotKept):
                self._cache.copy(name, descriptor)
                return
            wanting.want([name])
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)

    def _read(self, name: bytes, wanting: Wanting) -> Iterator[bytes]:
        """A content for a lazy input, which comes when somebody reads it."""
        while True:
            if not self._cache.has(name):
                wanting.want([name])
            self._wait_for(name, wanting)
            with contextlib.suppress(NotKept):
                yield from self._cache.read(name)
                return

    def _wait_for(self, name: bytes, wanting: Wanting) -> None:
        """Wait until a content is here; it was asked for. It may have come before, and made room for others."""
        asked_at, patience = time.monotonic(), _AGAIN
        while not self._cache.has(name):
            if self.is_closed or wanting.is_over():
                raise WorkerLost("a content was waited for in vain")
            if time.monotonic() - asked_at > patience:
                wanting.want([name])
                asked_at, patience = time.monotonic(), 2 * patience
            time.sleep(_PAUSE)

    def _let_go(self, kept: int = 0) -> None:
        """Let go of the files and pipes of trees before, but for so many."""
        while len(self._parts) > kept:
            self._parts.popleft()[1].close()

    # -- what is left --------------------------------------------------------------------------------------------------

    def collect(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> tuple[list[Piece], bool]:
        """The first answer about what a datum left, as in launcher/collect.py; `more` has the next."""
        self._pieces = self._walk(folder, paths, real)
        return self.more()

    def more(self) -> tuple[list[Piece], bool]:
        pieces, size = [], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece[3] or b"")
            if size >= _ANSWER_BYTES:
                return pieces, False
        return pieces, True

    def _walk(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Piece]:
        for file in self._worker.collect(folder, paths, real):
            if file.error:
                yield file.path, BAD, "", file.error.encode(), True
                continue
            kind = FOLDER if file.is_folder else LINKED if file.linked else FILE
            try:
                block = b""
                while more := file.content.read(_ANSWER_BYTES - len(block)):  # which may be less than there is
                    block += more
                    if len(block) == _ANSWER_BYTES:
                        yield file.path, kind, file.where, block, False
                        block = b""
                yield file.path, kind, file.where, block, True
            except OSError as why:
                yield file.path, BAD, "", (why.strerror or str(why)).encode(), True

    # -- its end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End it, and all its processes; idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        for command in list(self._commands.values()):
            command.close()
        self.kill()
        while not self._busy.acquire(timeout=0.05):  # what was only just being started does not hear the first time
            self._worker.cancel()
        try:
            self._let_go()
            if self._server:
                self._server.close()
            self._stack.close()
        finally:
            self._busy.release()


def plain_result(result: RunResult) -> tuple[Any, ...]:
    """The fields of a result as plain values."""
    fields = [getattr(result, field.name) for field in dataclasses.fields(result)]
    return tuple(tuple(field) if isinstance(field, TreeChanges) else field for field in fields)


def _as_error(why: Exception) -> LocalRunnerError:
    if isinstance(why, LocalRunnerError):
        return why
    if isinstance(why, NotKept):
        return WorkerLost(f"the content {why.name.hex()} went from the cache of a worker's machine while it was used")
    if isinstance(why, OSError) and why.errno in (errno.ENOSPC, errno.EDQUOT):
        return workers_disk_full()
    return Unavailable(f"a worker's machine cannot run a command: {why!r}")
