"""Runs user code in Linux namespaces, without daemon or root. This file plans the mounts; mounts.py makes them."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from local_runner.errors import Unavailable
from local_runner.executors.base import MOST_PROCESSES, Capabilities, Worker, WorkerRequest
from local_runner.executors.host_files import asked_for, chain, host_paths, is_within
from local_runner.executors.host_python import host_runtime
from local_runner.executors.launcher.messages import WorkerPlan
from local_runner.executors.pachctl.frames import BIN
from local_runner.executors.pachctl.server import CLIENT, WHOLE, pachctl_server
from local_runner.executors.users import find_user
from local_runner.executors.worker import LauncherWorker, own_folder

if TYPE_CHECKING:
    from local_runner.executors.image_root import ImageRoot

_PACKAGE = Path(__file__).parents[1]
# Since when Linux counts the processes of a user for each user namespace, and since when kernel.pid_max is of a process namespace.
# A write to it before that, which only root may do, would be one for the whole machine.
_PROCESSES_OF_USER, _PROCESSES_OF_NAMESPACE = (5, 14), (6, 14)

Steps = list[tuple[str, str, str]]


class SandboxExecutor:
    """One set of namespaces for each worker, with /pfs at /pfs.

    Of the host there is what programs need (host.py), read-only; /tmp, /var/tmp and the home folder are the worker's own, as is
    whatever user code makes in the root folder or beside the image's files. A user who is not root appears as root inside, as with
    rootless containers, so that files belong to that user outside; `transform.user` is then not possible. Without the host's network
    there is a loopback interface of the worker's own; user code meets the runner on it.
    """

    name = "sandbox"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            absolute_pfs=True,
            private_tmp=True,
            hides_host_files=True,
            hides_processes=True,
            limits_memory=True,
            limits_processes=_kernel() >= (_PROCESSES_OF_NAMESPACE if os.geteuid() == 0 else _PROCESSES_OF_USER),
            limits_network=True,
            needs_image=False,
            runs_programs=True,
            shows_images=True,
            runs_as_user=os.geteuid() == 0,
        )

    def why_not(self) -> str:
        return self._why_not

    @cached_property
    def _why_not(self) -> str:
        """Why the sandbox does not work here, "" if it does, found by trying it (30 ms); the answer is kept until the next boot."""
        if sys.platform != "linux":
            return "the sandbox needs Linux; use --executor process"
        proof, boot = _proof()
        with contextlib.suppress(OSError):
            if proof.read_text() == boot:
                return ""
        with tempfile.TemporaryDirectory(prefix="local_runner-") as folder:
            pfs = Path(folder, "pfs")
            pfs.mkdir()
            try:
                with self.worker(WorkerRequest("probe", pfs, Path(folder), env={})):
                    pass
                with contextlib.suppress(OSError):
                    proof.write_text(boot)
                return ""
            except Unavailable as why:
                remedy = "allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0)"
                return f"{why.message}; {remedy} or use --executor process"

    def places(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def engine_with(self, image: str) -> str:
        return ""

    def owner(self, request: WorkerRequest) -> tuple[int, int] | None:
        if not self.capabilities.runs_as_user:
            return None
        if request.rootfs:
            from local_runner.executors.image_root import image_owner  # most workers do without

            return image_owner(request.rootfs, request.user)
        return find_user(request.user) if request.user else None

    @contextlib.contextmanager
    def worker(self, request: WorkerRequest) -> Iterator[Worker]:
        """Raises `Unavailable` if the namespaces cannot be made or `transform.user` is not known here."""
        with contextlib.ExitStack() as stack:
            own = stack.enter_context(own_folder(request))
            for name in ("root", "upper"):
                (own / name).mkdir()
            (request.pfs / ".scratch").mkdir(exist_ok=True)
            root = stack.enter_context(_image_root(request.rootfs, own)) if request.rootfs else None
            user = self.owner(request)
            env = {"HOME": root.home(user), **root.env, **request.env} if root else dict(request.env)
            programs: dict[str, Path] = {}
            if request.pachctl:
                env["PATH"] = f"{env.get('PATH', os.defpath)}:{BIN}"
                client, whole, programs = _runner_inside() if root else (_python(CLIENT, "-I", "-S"), _python(WHOLE, "-P"), {})
                programs[BIN] = stack.enter_context(pachctl_server(own, request.pachctl, client, whole))
            steps = root.steps(request, own, env, programs) if root else arrange(request, own, programs)
            plan: WorkerPlan = {
                "env": env,
                "empty": str(own / "root"),
                "steps": [*steps, *_hidden(request.hidden, steps)],
                "layers": root.layers if root else [],
                "upper": str(own / "upper"),
                "user": user,
                "network": not request.network,
                "memory": request.resources.memory,
                "processes": MOST_PROCESSES if self.capabilities.limits_processes else 0,
                "pfs": "/pfs",
            }
            working_dir = root.working_dir(request.working_dir) if root else os.path.join("/", request.working_dir)
            worker = LauncherWorker(request.pfs, plan, working_dir)
            try:
                yield worker
            finally:
                worker.close()


def _image_root(name: str, own: Path) -> AbstractContextManager[ImageRoot]:
    from local_runner.executors.image_root import image_root  # most workers do without

    return image_root(name, own)


def _runner_inside() -> tuple[list[str], list[str], dict[str, Path]]:
    """The two commands of pachctl where the host's files are not seen, and what of the host has to be there for them."""
    runtime = host_runtime()
    return runtime.program(CLIENT), runtime.program(f"sys.path += {runtime.packages}; {WHOLE}"), dict(runtime.mounts)


def _python(code: str, *flags: str) -> list[str]:
    """The command that runs some code with this package at hand, inside as outside."""
    return [sys.executable, *flags, "-c", f"import sys; sys.path.append({str(_PACKAGE.parent)!r}); {code}"]


def _kernel() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


def _proof() -> tuple[Path, str]:
    """The file that remembers that the sandbox works, and the content it has if that holds for this boot and user."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    said = boot.read_text() if boot.exists() else ""
    return Path(tempfile.gettempdir(), f"local_runner-sandbox-{os.getuid()}"), f"{said}{os.readlink('/proc/self/ns/user')}\n"


def arrange(request: WorkerRequest, own: Path, programs: Mapping[str, Path] = MappingProxyType({})) -> Steps:
    """The mounts of a worker's root as (kind, host path, path inside), in order. `programs` are the runner's.

    Makes the folders that are the worker's own in `own`.
    """
    steps: Steps = [("show", path, path) for path in host_paths()]
    private = {"/tmp": own / "tmp", "/var/tmp": own / "var-tmp"} | {home: own / f"home-{n}" for n, home in enumerate(_homes(request))}
    for inside, folder in private.items():
        folder.mkdir()
        folder.chmod(0o1777 if inside.endswith("tmp") or request.user else 0o755)
        steps.append(("rw", str(folder), inside))
    ours = (Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), _PACKAGE) if request.pachctl else ()
    steps += _visible((*request.visible, *ours, *asked_for()), [path for kind, path, _ in steps if kind == "show"], list(private))
    # A folder before what stands in it.
    steps += [("ro", str(source.resolve()), target) for target, source in sorted({**programs, **request.code, **request.mounts}.items())]
    steps += [("rw", str(request.pfs.resolve()), "/pfs"), ("rw", str(request.scratch.resolve()), "/pfs/.scratch")]
    steps.append(("folder", "", os.path.join("/", request.working_dir)))
    return steps


def _visible(paths: Iterable[Path], shown: list[str], private: list[str]) -> Iterator[tuple[str, str, str]]:
    """The steps that show these paths, and the targets of links among them, unless they are shown already."""
    names = {str(name.absolute()): path.resolve() for path in paths if path.exists() for name in (*chain(path), path.resolve())}
    for name, path in names.items():
        if is_within(name, private) or not is_within(name, shown):
            yield "ro", str(path), name


def _hidden(paths: Iterable[Path], steps: Steps) -> Iterator[tuple[str, str, str]]:
    """The paths inside at which these hidden folders would be visible."""
    for path in map(str, map(Path.resolve, paths)):
        for kind, source, target in steps:
            if kind in ("show", "ro") and is_within(path, [source]) and os.path.isdir(path):
                yield "hide", "", target + path[len(source) :]


def _homes(request: WorkerRequest) -> list[str]:
    """The home folder of the engine's user, and that of user code if it differs."""
    homes = {os.path.normpath(home) for home in (pwd.getpwuid(os.getuid()).pw_dir, request.env.get("HOME", "")) if home.startswith("/")}
    return sorted(homes - {"/", "/tmp", "/var/tmp"})
