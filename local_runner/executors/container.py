"""Runs user code in containers of docker or podman: the image as built, one container for each worker."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import uuid
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from local_runner.errors import Unavailable
from local_runner.executors.base import MOST_PROCESSES, Capabilities, RunRequest, RunResult, Worker, WorkerRequest
from local_runner.executors.container_engines import OWNER_LABEL, ContainerEngine, LocalImage, complaint, find_engine, this_process
from local_runner.executors.host_python import host_runtime
from local_runner.executors.launcher.messages import WorkerPlan
from local_runner.executors.pachctl.frames import BIN
from local_runner.executors.pachctl.server import CLIENT, WHOLE, pachctl_server
from local_runner.executors.worker import LauncherWorker, own_folder, plan_in_the_open, ports_of

_OUTSIDE = (
    "import json; from local_runner.executors.tunnel import outside; outside(int(sys.argv[2]), int(sys.argv[3]), *json.loads(sys.argv[4]))"
)
_SCRATCH = "/pfs/.scratch"
_NO_IMAGE = "or choose --executor sandbox, which needs no image"
_SHARE = 1024  # of the processor: what a whole core counts


class ContainerExecutor:
    """A launcher is the container's only own process; it starts the datums' commands by fork, as in every executor.

    Measured with podman: 0.25 s to start a worker, 1 ms for a run of `true`; `podman exec` takes 140 ms for each, `podman run` as long.
    The launcher runs on this host's Python (runtime.py), so an image needs nothing. There is no network but a loopback interface of
    the container's own, on which the runner is met.
    """

    name = "container"

    def __init__(self, program: str = "") -> None:
        self._program = program
        self._owners: dict[tuple[str, str], tuple[int, int]] = {}

    @property
    def capabilities(self) -> Capabilities:
        engine, _ = self._found
        limits = engine is None or engine.limits
        return Capabilities(
            absolute_pfs=True,
            private_tmp=True,
            hides_host_files=True,
            hides_processes=True,
            limits_memory=limits,
            limits_processes=limits,
            limits_network=True,
            needs_image=True,
            runs_programs=True,
            shows_images=False,
            runs_as_user=self._is_root or self._is_rootless_podman,
        )

    def why_not(self) -> str:
        if sys.platform != "linux":
            return "containers are started with parts of the host, which has to be Linux; use --executor process"
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[ContainerEngine | None, str]:
        return find_engine(self._program)

    @cached_property
    def engine(self) -> ContainerEngine:
        """Raises `Unavailable`. The first time, containers of engines that were killed are removed."""
        engine, why_not = self._found
        if engine is None:
            raise Unavailable(f"executor container does not work here: {why_not}", hint="choose --executor auto")
        engine.remove_orphans()
        return engine

    def places(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def engine_with(self, image: str) -> str:
        return ""

    def owner(self, request: WorkerRequest) -> tuple[int, int] | None:
        """Owner ids of a datum's files if root runs the engine; None for any other user."""
        return self._user(request) if self._is_root else None

    @property
    def _is_root(self) -> bool:
        return os.geteuid() == 0

    @property
    def _is_rootless_podman(self) -> bool:
        engine, _ = self._found
        return engine is not None and engine.is_podman and engine.is_rootless

    def _user(self, request: WorkerRequest) -> tuple[int, int] | None:
        """`transform.user` by the image's own files, which only a container can read: 0.2 s for each user of an image."""
        if not request.user or not self.capabilities.runs_as_user:
            return None
        if (known := self._owners.get((request.image, request.user))) is None:
            code = "from local_runner.executors.users import main; main(sys.argv[1])"
            runtime = host_runtime()
            flags = ["--rm", "--network", "none", "--pull", "never", "--user", "0:0", "--entrypoint", "", *_mounted(runtime.mounts)]
            uid, gid = self.engine.ask("run", *flags, request.image, *runtime.program(code, request.user)).split()
            known = self._owners[request.image, request.user] = int(uid), int(gid)
        return known

    @contextlib.contextmanager
    def worker(self, request: WorkerRequest) -> Iterator[Worker]:
        """Raises `Unavailable` if the image is not there or not up to date, or the container cannot be started."""
        engine = self.engine
        image = self._image(request)
        env = {"HOME": "/root", **image.env, **request.env}
        mounts = {**host_runtime().mounts, **{inside: source.resolve() for inside, source in request.mounts.items()}}
        with contextlib.ExitStack() as stack:
            own = stack.enter_context(own_folder(request))
            if request.pachctl:
                env["PATH"] = f"{env.get('PATH', os.defpath)}:{BIN}"
                runtime = host_runtime()
                programs = pachctl_server(
                    own, request.pachctl, runtime.program(CLIENT), runtime.program(f"sys.path += {runtime.packages}; {WHOLE}")
                )
                mounts[BIN] = stack.enter_context(programs)
            plan = plan_in_the_open(env, "/pfs", self.owner(request), processes=MOST_PROCESSES)
            container = Container(engine, request, image, mounts, self._user(request))
            worker = ContainerWorker(container, plan)
            try:
                yield worker
            finally:
                worker.close()

    def _image(self, request: WorkerRequest) -> LocalImage:
        name = request.image
        image = self.engine.image(name)
        if image is None:
            raise Unavailable(f"there is no image {name} on this machine; {_remedy(request, self.engine)}", hint=_NO_IMAGE)
        if request.digest and image.digest != request.digest:
            raise Unavailable(f"the image {name} is older than what is in its folder; {_remedy(request, self.engine)}", hint=_NO_IMAGE)
        return image


class Container:
    """One container: the command lines that make and end it, and what is asked about it from outside."""

    def __init__(
        self, engine: ContainerEngine, request: WorkerRequest, image: LocalImage, mounts: Mapping[str, Path], user: tuple[int, int] | None
    ) -> None:
        self.engine, self.request, self._image, self._mounts, self._wanted_user = engine, request, image, mounts, user
        self.name = f"local_runner-{uuid.uuid4().hex[:12]}"

    @property
    def ports(self) -> list[int]:
        """The ports to carry between container and runner; none with the host's network."""
        return [] if self.request.network else ports_of(self.request)

    @property
    def working_dir(self) -> str:
        wanted = self.request.working_dir
        return os.path.join("/", wanted if wanted not in ("", "/") else self._image.working_dir)

    def command(self) -> list[str]:
        """The command that runs it, with the launcher behind its standard input and output."""
        request = self.request
        flags = ["--rm", "--interactive", "--pull", "never", "--name", self.name, "--label", f"{OWNER_LABEL}={this_process()}"]
        flags += ["--log-driver", "none", "--network", "host" if request.network else "none"]
        # The data are not relabelled for SELinux: they are only shown to this container.
        flags += ["--security-opt", "label=disable", *self._user(), "--workdir", "/", "--entrypoint", ""]
        flags += _mounted(self._mounts)
        flags += ["--volume", f"{request.pfs.resolve()}:/pfs", "--volume", f"{request.scratch.resolve()}:{_SCRATCH}"]
        code = "from local_runner.executors.tunnel import inside; inside([*map(int, filter(None, sys.argv[1].split(',')))], sys.argv[2])"
        program = host_runtime().program(code, ",".join(map(str, self.ports)), self.working_dir)
        return [self.engine.program, "run", *flags, *self._limits(), request.image, *program]

    def _user(self) -> list[str]:
        """The user of process 1 in the container, chosen so that its files belong to the user outside.

        In a rootless engine root is that user, and any other user can be mapped to it; a launcher of real root changes its user itself.
        """
        if os.geteuid() == 0:
            return ["--user", "0:0"]
        if self._wanted_user:
            user, group = self._wanted_user
            return ["--userns", f"keep-id:uid={user},gid={group}", "--user", f"{user}:{group}"]
        return ["--user", "0:0" if self.engine.is_rootless else f"{os.getuid()}:{os.getgid()}"]

    def _limits(self) -> list[str]:
        given = self.request.resources
        # Rootless podman sets this limit by itself wherever it can; where it cannot, a container that asks for it may not start.
        flags = [] if self.engine.is_podman and self.engine.is_rootless else ["--pids-limit", str(MOST_PROCESSES)]
        if given.memory:
            flags += ["--memory", str(given.memory), "--memory-swap", str(given.memory)]
        if given.cores:
            flags += ["--cpus", f"{given.cores:g}"]
        if given.reserved_memory and not (given.memory and given.memory <= given.reserved_memory):
            flags += ["--memory-reservation", str(given.reserved_memory)]
        if given.share:
            flags += ["--cpu-shares", str(max(2, round(given.share * _SHARE)))]
        if given.gpus and self.engine.is_podman:
            flags += [flag for number in range(given.gpus) for flag in ("--device", f"nvidia.com/gpu={number}")]
        elif given.gpus:
            flags += ["--gpus", str(given.gpus)]
        return flags

    def memory_kills(self) -> int:
        """The number of processes of the container that were killed for want of memory; 0 if unknown."""
        process = self.engine.state(self.name).get("Pid")
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
                _, controllers, group = line.split(":", 2)
                for file in (f"/sys/fs/cgroup/memory{group}/memory.oom_control", f"/sys/fs/cgroup{group}/memory.events"):
                    if controllers in ("memory", "") and os.path.exists(file):
                        counts = dict(entry.split() for entry in Path(file).read_text().splitlines())
                        if "oom_kill" in counts:
                            return int(counts["oom_kill"])
        return 0


class ContainerWorker(LauncherWorker):
    """A worker whose launcher is in a container."""

    def __init__(self, container: Container, plan: WorkerPlan) -> None:
        import json

        self._container = container
        self._kills = 0
        request, engine = container.request, container.engine
        details = json.dumps([container.ports, engine.removal(container.name), container.command()])
        try:
            super().__init__(request.pfs, plan, container.working_dir, program=(_OUTSIDE, details))
        except Unavailable as why:
            raise complaint(engine.program, why.message) from why

    def run(self, request: RunRequest) -> RunResult:
        result = super().run(request)
        limit = self._container.request.resources.memory
        if result.exit_code == -9 and limit and not result.timed_out and not result.cancelled:
            before, self._kills = self._kills, self._container.memory_kills()
            if self._kills > before:
                request.output("stderr", f"killed: out of memory: resource_limits.memory allows {limit} bytes".encode())
        return result


def _mounted(mounts: Mapping[str, Path]) -> list[str]:
    return [f"--volume={source}:{inside}:ro" for inside, source in sorted(mounts.items())]


def _remedy(request: WorkerRequest, engine: ContainerEngine) -> str:
    if request.digest:
        name = request.image.rpartition("/")[2].partition(":")[0]
        return f"build it: python -m local_runner build images {shlex.quote(name)}"
    return f"fetch it: {engine.program} pull {shlex.quote(request.image)}"
