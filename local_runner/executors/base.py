"""The protocol between the engine and executors, which run user code.

An executor knows a folder, a command and limits; it has never heard of commits. Two levels, because Pachyderm has two: a *worker*
is paid for once (a namespace, a container, a warm process) and then runs many datums, one at a time.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from local_runner.errors import DiskFull, Unavailable
from local_runner.executors.launcher.collect import Collected
from local_runner.executors.launcher.tree import UNTOUCHED, Tree, TreeChanges
from local_runner.executors.resources import Resources
from local_runner.executors.terminal import Terminal

# How many a worker may have at once, threads included, where they are limited: what podman gives a container.
MOST_PROCESSES = 2048


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of an executor; a spec that needs more is refused, or gets a warning.

    The lines about what user code cannot do are held by tests/contracts/isolation.py, which tries to get out.
    """

    absolute_pfs: bool  # user code sees its data at /pfs itself, not at a rewritten path
    private_tmp: bool  # /tmp and the home folder belong to the worker
    hides_host_files: bool  # it sees neither home folders nor other workers, changes nothing of the host, and reaches no disk or socket
    hides_processes: bool  # it neither sees nor ends those of others
    limits_memory: bool  # `resource_limits.memory`: of the whole container, or of each process
    limits_processes: bool  # a worker has at most MOST_PROCESSES
    limits_network: bool  # it has no network but for a port that leads to the runner, unless allowed
    needs_image: bool
    runs_programs: bool  # real ones; the fake of tests calls functions
    shows_images: bool  # an image that is kept here can be its root, instead of the host's files
    runs_as_user: bool  # honours transform.user


class Pachctl(NamedTuple):
    """The two commands of this host behind `pachctl` in a worker; `env` is added to their environment.

    `whole` is the command line of the runner, for processes that see its home; what was typed follows. `answer` answers one call from
    where the home is not seen, with the connection (calls.py) as its standard input.
    """

    whole: tuple[str, ...]
    answer: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """The request for a worker; all its datums share it.

    `pfs` is a folder of the worker's own that becomes `/pfs`; it may lie in memory, where the links that come and go with each datum
    cost 10 µs instead of 60 to 500. `folder` is another, on a disk: the executor keeps in it what else is the worker's (its /tmp), and
    its subfolder `scratch` becomes `/pfs/.scratch`, where datums lie. Both belong to `user` where there is one.
    `code` maps absolute paths inside the worker to host folders or files (what the image's Dockerfile copies).
    `mounts` are what else stands at such paths, read-only, whatever the image has there (secrets).
    `visible` are host paths that must be readable where the executor shows the host's files (an interpreter); `hidden` are folders that
    are not seen though they lie in what is shown (the home).
    `pachctl` is how the program of that name, which is appended to PATH, comes to the runner; without it there is none.
    `rootfs` is the name of an image that is kept here (oci/cache.py): its files take the place of the host's where an executor
    shows those. "" is none. `in_container` asks for a container where there is a choice.
    `env` is the complete environment the worker's processes start from (image ENV, transform.env, pod variables).
    `working_dir` is the image's WORKDIR, made if it is not there. `user` is `transform.user`.
    `digest` is of the files that `image` has to be built from, "" for an image that others build; `resources` are what it may use of the
    machine. Without `network` its processes see a loopback interface of their own and no other; on it they meet the runner.
    `contents` is where a worker that fetches them gets them.
    """

    name: str
    pfs: Path
    folder: Path
    env: Mapping[str, str]
    image: str = ""
    rootfs: str = ""
    in_container: bool = False
    code: Mapping[str, Path] = field(default_factory=dict)
    mounts: Mapping[str, Path] = field(default_factory=dict)
    visible: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    pachctl: Pachctl | None = None
    working_dir: str = "/"
    user: str = ""
    digest: str = ""
    resources: Resources = Resources()  # noqa: RUF009  # a tuple
    network: bool = False
    contents: Contents | None = None

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"


class Contents(Protocol):
    """The store of the engine, for workers that fetch contents by their hashes. Safe for several threads."""

    def read(self, name: bytes) -> Iterator[bytes]:
        """A content in blocks, checked. Raises `ContentLost`."""
        ...

    def file(self, name: bytes) -> Path | None:
        """The file that holds just this content, where there is one: a worker may see it too."""
        ...


Output = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One command for one datum.

    `tree` is what the worker lays out before the command starts; it stays until the next one. None leaves what stands in `/pfs` as it
    is: an error command sees the tree of the command that failed.
    `env` are the datum's own variables, over those of the worker. `stdin` of None is /dev/null.
    `timeout` is in seconds. `working_dir` is `transform.working_dir`: a relative one counts from the root folder, one that does not
    exist is a command that never starts; "" is the worker's.
    `output` is called with ("stdout" | "stderr", block) as the command prints, from one thread, and never after `run` has returned.
    A block is one line or many, in bytes, joined by newlines, without the last newline: a call for each line would be the slowest part
    of a program that prints a lot.
    With a `terminal`, the command has one of its own, in a session of its own, that stands for this one while it runs: then there is
    neither `stdin` nor `output`.
    """

    cmd: tuple[str, ...]
    env: Mapping[str, str]
    tree: Tree | None
    output: Output
    stdin: bytes | None = None
    timeout: float | None = None
    working_dir: str = ""
    terminal: Terminal | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a command ended. `exit_code` is negative for a signal and None if it never started; `error` says why then.

    `seconds` is the time it took, `laying` the time to lay out its tree; `left` what it left of that.
    `lazy_bytes` were read of the pipes of a worker that fetches, and `lazy_error` says why a reader did not get all it asked for.
    """

    exit_code: int | None
    seconds: float
    timed_out: bool = False
    cancelled: bool = False
    error: str = ""
    laying: float = 0.0
    left: TreeChanges = UNTOUCHED
    lazy_bytes: int = 0
    lazy_error: str = ""

    def accepted(self, codes: frozenset[int] = frozenset()) -> bool:
        """Whether this end counts as success: 0 or one of `codes`, neither a timeout nor a cancel (reference pps 3.3).

        As for a cluster, any signal is the code -1, and a broken pipe is no failure.
        """
        if self.timed_out or self.cancelled or self.exit_code is None:
            return False
        return self.exit_code in (0, -signal.SIGPIPE) or max(self.exit_code, -1) in codes

    @property
    def reason(self) -> str:
        """One line for people: "exit status 3", "signal: killed", "timed out after 2.0s"."""
        if self.cancelled:
            return "cancelled"
        if self.timed_out:
            return f"timed out after {self.seconds:.1f}s"
        if self.exit_code is None:
            return self.error
        if self.exit_code < 0:
            return f"signal: {(signal.strsignal(-self.exit_code) or str(-self.exit_code)).lower()}"
        return f"exit status {self.exit_code}"


class Process(Protocol):
    """A command that goes on over many datums (datum batching, spouts, services)."""

    def poll(self) -> RunResult | None:
        """The end, if it ended, without waiting. Raises `WorkerLost` if that is because its worker did."""
        ...

    def wait(self, timeout: float | None = None) -> RunResult | None:
        """The end, or None if it did not come within `timeout` seconds."""
        ...

    def kill(self) -> None:
        """SIGKILL to the whole process group; idempotent. Returns when it is gone."""
        ...


class Worker(Protocol):
    """A place where commands run one at a time. Not safe for two threads, except `cancel`."""

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of the worker's processes: that of the request, with `pachctl` on its PATH."""
        ...

    @property
    def root(self) -> str:
        """The path of `/pfs` for the worker's processes."""
        ...

    @property
    def where(self) -> str:
        """The machine or cluster worker it is on, for people; "" if that is this machine."""
        ...

    @property
    def fetches(self) -> bool:
        """Whether it wants large contents by their hashes (`Tree.stored`), as its disk is another machine's."""
        ...

    @property
    def inside(self) -> int:
        """The id of a process in the worker's namespaces; 0 if the worker shares the host's network."""
        ...

    def run(self, request: RunRequest) -> RunResult:
        """Run one command to its end and say how it ended.

        A non-zero exit, a timeout, a cancel or a program that cannot be started is a result. Only a broken executor, or a tree that
        cannot be laid out, raises (`Unavailable`; `WorkerLost` if another worker may well do it). When the main process ends the rest of
        its process group is killed (reference pps 3.3).
        """
        ...

    def start(self, request: RunRequest) -> Process:
        """Start a command that stays; `timeout` does not apply. Its trees may come later, by `lay`.

        Its `output` is called from a thread of its own. Until it ended or was killed there must be no `run` or other `start`.
        """
        ...

    def lay(self, tree: Tree) -> None:
        """Replace what stands in `/pfs` by a tree. Raises `Unavailable` if that cannot be."""
        ...

    def look(self) -> TreeChanges:
        """Compare the tree in `/pfs` with what was laid out."""
        ...

    def translate(self, text: str) -> str:
        """A text in which `/pfs` and the paths of the image's code are replaced by those of this worker's processes."""
        ...

    def collect(self, folder: str, paths: Sequence[str], real: Sequence[str]) -> Iterator[Collected]:
        """Read files from the folder of a datum's tree, in no order: "out" is everything below it, links followed as they are
        inside (reference pps 3.5), other paths are regular files. `real` are names of inputs that stand for what the store has.

        What is found is of the time when it is asked for; each content has to be read before the next file is. Raises `Unavailable`.
        """
        ...

    def bring(self, tree: Tree) -> Tree:
        """A tree as the server of NextDatum may send it: with what is `stored` made where the worker is. Raises `Unavailable`."""
        ...

    def lazily(self, folder: str) -> tuple[int, str]:
        """Of a tree that was brought elsewhere, by its folder: bytes read of its lazy inputs, and why a reader did not get all."""
        ...

    def serve(self, program: str, port: int) -> tuple[socket.socket, socket.socket] | None:
        """Start a server of NextDatum beside a worker that is elsewhere, from a program's text; returns the lines to it, for orders and
        for calls. None if it is here: then a server that was started here uses `datums`. Raises `Unavailable`.
        """
        ...

    @property
    def datums(self) -> socket.socket:
        """A socket for the server of NextDatum, which sends ("lay", tree) and ("look",), as in messages.py."""
        ...

    def cancel(self) -> None:
        """SIGKILL the process group of the command that `run` waits for, from another thread; its result says `cancelled`."""
        ...


class WorkerHere:
    """What every worker on this machine answers alike, where `Worker` asks about another one."""

    where, fetches = "", False

    def bring(self, tree: Tree) -> Tree:
        return tree

    def lazily(self, folder: str) -> tuple[int, str]:
        return 0, ""

    def serve(self, program: str, port: int) -> None:
        return None


class Executor(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def why_not(self) -> str:
        """Why this host cannot run it, in one sentence with the remedy; "" if it can. Cheap enough to ask at every start."""
        ...

    def engine_with(self, image: str) -> str:
        """The container engine that has an image, and that this would run it with although it needs none; "" if there is none."""
        ...

    def owner(self, request: WorkerRequest) -> tuple[int, int] | None:
        """User and group id of the request's `user`, None if it is not honoured here. Raises `Unavailable` for an unknown user."""
        ...

    def places(self) -> int:
        """How many datums it can run at once, if that is not up to this machine; else 0. Raises `Unavailable`."""
        ...

    def close(self) -> None:
        """Let go of what it holds besides workers, as the connection to a cluster; idempotent, and it may be used again."""
        ...

    def worker(self, request: WorkerRequest) -> AbstractContextManager[Worker]:
        """A worker, until the context ends; then every process started in it is gone."""
        ...


def unlaid(why: str) -> Unavailable:
    """The error for a datum's tree that cannot be made."""
    if os.strerror(errno.ENOSPC) in why or os.strerror(errno.EDQUOT) in why:
        return workers_disk_full()
    return Unavailable(f"a datum cannot be laid out: {why}", hint="is there space left where workers have their folders?")


def workers_disk_full() -> DiskFull:
    """The error for a full disk under the workers' folders."""
    return DiskFull("the disk where workers have their folders is full", hint="free some space in /var/tmp; finished datums are kept")
