"""Makes what a datum's tree brings along: large files, and the pipes of lazy inputs, in a folder of a worker's `.scratch`."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from local_runner import beneath
from local_runner.errors import LocalRunnerError

_PIPE_BYTES = 64 * 1024


class Scratch(NamedTuple):
    """The folder that is a worker's `.scratch`: a descriptor, opened before any user code could change what is in it, and its path."""

    descriptor: int
    path: Path


class Parts:
    """Files and pipes of a datum before they are laid out, in a folder of their own in the worker's `.scratch`.

    Reached by descriptors only: a process that a datum left may put links in place of whatever is there.
    """

    def __init__(self, scratch: Scratch, owner: tuple[int, int] | None) -> None:
        """`owner` is the user and group that all files get, None to leave them as they are."""
        self._scratch, self._owner = scratch, owner
        self._folder = -1
        self._name = ""
        self.brought: list[tuple[str, str, bool]] = []
        self.pipes: list[Pipe] = []

    def _new(self, path: str, *, keeps_name: bool) -> tuple[int, str]:
        """A folder and a name in it for what is to be brought to a path. Raises OSError."""
        if self._folder < 0:
            self._name = f"parts-{uuid.uuid4().hex}"
            self._folder = beneath.make_folders(self._scratch.descriptor, self._name)
            self._give(self._folder)
        name = str(len(self.brought))
        self.brought.append((path, f".scratch/{self._name}/{name}", keeps_name))
        return self._folder, name

    def file(self, path: str, write: Callable[[int, str], None]) -> None:
        """A new file that is to be brought to a path; `write` is given a descriptor and the name of it. Raises OSError."""
        folder, name = self._new(path, keeps_name=False)
        descriptor = beneath.create_file(folder, name)
        try:
            self._give(descriptor)
            write(descriptor, f"{self._scratch.path}/{self._name}/{name}")
        finally:
            os.close(descriptor)

    def pipe(self, path: str) -> Pipe:
        """A new pipe that is to be brought to a path, under a second name: user code may remove the first. Raises OSError."""
        folder, name = self._new(path, keeps_name=True)
        os.mkfifo(name, 0o666, dir_fd=folder)
        pipe = Pipe(folder, name)
        if self._owner:
            os.chown(pipe.address, *self._owner)
        return pipe

    def lazy(self, path: str, read: Callable[[], Iterable[bytes]], finish: Callable[[], None] = lambda: None) -> None:
        """A new pipe that is to be brought to a path, and gives what `read` gives when somebody reads it. Raises OSError."""
        pipe = self.pipe(path)
        self.pipes.append(pipe)
        pipe.start(read, finish)

    def close(self) -> None:
        """Let go of pipes, and remove what is left of it."""
        for pipe in self.pipes:
            pipe.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
            with contextlib.suppress(OSError):
                beneath.remove_tree(self._scratch.descriptor, self._name)

    def _give(self, descriptor: int) -> None:
        if self._owner:
            os.fchown(descriptor, *self._owner)


class Pipe:
    """The named pipe of a lazy file, from which its content can be read once; held by a descriptor, as user code may move or remove it."""

    def __init__(self, folder: int, name: str) -> None:
        """Open the named pipe in an open folder. Raises OSError if it is no pipe."""
        # Opening it to read keeps it, whatever becomes of its name, and is no reader to those who wait for one.
        how = os.O_PATH if sys.platform == "linux" else os.O_RDONLY | os.O_NONBLOCK
        self._descriptor = os.open(name, how | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        if not stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
            os.close(self._descriptor)
            raise FileNotFoundError(errno.ENOENT, "the pipe of a lazy input is gone", name)
        self.address = f"/proc/self/fd/{self._descriptor}" if sys.platform == "linux" else f"/dev/fd/{self._descriptor}"
        self.read_bytes = 0
        self.error = ""  # why its reader did not get all of it
        self._given_up = False
        self._thread: threading.Thread | None = None

    def start(self, read: Callable[[], Iterable[bytes]], finish: Callable[[], None] = lambda: None) -> None:
        """Wait for a reader, in a thread of its own, and give it what `read` gives; `finish` is the thread's last deed."""
        self._thread = threading.Thread(target=self._serve, args=(read, finish), name="lazy input", daemon=True)
        self._thread.start()

    def _serve(self, read: Callable[[], Iterable[bytes]], finish: Callable[[], None]) -> None:
        descriptor = -1
        try:
            descriptor = os.open(self.address, os.O_WRONLY | os.O_CLOEXEC)  # blocks until the pipe is read
            if self._given_up:
                return
            for block in read():
                view = memoryview(block)
                while view and not self._given_up:
                    written = os.write(descriptor, view)
                    self.read_bytes += written
                    view = view[written:]
        except BrokenPipeError:
            pass  # the reader had enough
        except (LocalRunnerError, OSError) as error:
            self.error = error.message if isinstance(error, LocalRunnerError) else str(error)
        finally:
            if descriptor >= 0:
                os.close(descriptor)
            finish()

    def close(self) -> None:
        """Close the pipe, whether or not it was opened by a reader; idempotent."""
        if self._descriptor < 0:
            return
        self._given_up = True
        # Its writer may be anywhere: about to open it, waiting for a reader, or in the middle of a write.
        with contextlib.suppress(OSError):
            os.chmod(self.address, 0o600)  # user code may have taken the right to open it
        reader = os.open(self.address, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while self._thread and self._thread.is_alive():
                with contextlib.suppress(BlockingIOError):
                    os.read(reader, _PIPE_BYTES)
                self._thread.join(0.001)
        finally:
            os.close(reader)
            os.close(self._descriptor)
            self._descriptor = -1
