"""Calls docker and podman: finds the one that works, asks about images and containers, and explains their errors."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from local_runner.errors import Unavailable

ENGINES = ("podman", "docker")
BUILDERS = (*ENGINES, "buildah")
ENGINE_VARIABLE = "LOCAL_RUNNER_CONTAINER_ENGINE"
DIGEST_LABEL = "local_runner.digest"  # on an image: of the files it was built from
OWNER_LABEL = "local_runner.engine"  # on a container: of the process that started it

_NO_SUCH_IMAGE = r"no such image|image not known|unable to find image|no such object"

# What engines say, what that means, and what to do about it. The first that is found counts.
_COMPLAINTS: Sequence[tuple[str, str, str]] = (
    (
        r"permission denied while trying to connect|(docker\.sock|dial unix).*permission denied",
        "this user may not use the container engine",
        "join the group docker, or use podman",
    ),
    (_NO_SUCH_IMAGE, "the image is not on this machine", "build it or pull it"),
    (
        r"cannot connect to (the docker daemon|podman)|connect to the docker api at|error during connect|dial unix.*refused|podman machine",
        "the container engine does not run",
        "start it (docker: systemctl start docker), or choose --executor sandbox",
    ),
    (
        r"server gave http response to https client",
        "the registry speaks plain HTTP",
        'allow it: podman: [[registry]] with location = "HOST:PORT" and insecure = true in ~/.config/containers/registries.conf; '
        'docker: "insecure-registries" in /etc/docker/daemon.json',
    ),
    (r"no space left on device|disk quota exceeded", "the disk is full", "make room: podman system prune, or docker system prune"),
    (
        r"no such host|pinging container registry|failed to resolve reference|tls handshake|i/o timeout|/v2/.*(dial tcp|x509)",
        "the registry cannot be reached",
        "is its address right? An image can be loaded from elsewhere, or built on another: build images --base IMAGE",
    ),
    (r"exec format error", "the image is for machines of another kind", "build it for this one"),
    (r"could not select device driver|unresolvable cdi devices|nvidia", "there is no GPU for containers", "install the NVIDIA toolkit"),
    (r"cgroup", "the container engine cannot use control groups", "try runtime = runc in containers.conf, or leave out resource_limits"),
    (r"newuidmap|subuid|user namespaces", "rootless containers are not set up", "add a line for this user to /etc/subuid and /etc/subgid"),
)


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that an engine has. `digest` is "" if `build images` did not make it."""

    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    digest: str = ""


class ContainerEngine:
    """`docker` or `podman`, on this machine."""

    def __init__(self, program: str) -> None:
        self.program = program

    @property
    def is_podman(self) -> bool:
        return self.program == "podman"

    @cached_property
    def is_rootless(self) -> bool:
        """Whether root in a container is the user who runs it."""
        if self.is_podman:
            return os.geteuid() != 0
        return "rootless" in self.ask("info", "--format", "{{.SecurityOptions}}")

    @cached_property
    def limits(self) -> bool:
        """Whether it limits what a container uses; an ordinary user is given control groups only where all are of version 2."""
        return not self.is_rootless or os.path.exists("/sys/fs/cgroup/cgroup.controllers")

    def why_not(self) -> str:
        """Why it cannot be used, in one sentence with the remedy; "" if it can. 50 ms."""
        if not shutil.which(self.program):
            return f"{self.program} is not installed; install podman or docker, or choose --executor sandbox"
        try:
            self.ask("version", "--format", "{{.Client.Version}}" if self.is_podman else "{{.Server.Version}}")
        except Unavailable as why:
            return f"{why.message}; {why.hint}"
        return ""

    def image(self, name: str) -> LocalImage | None:
        """An image of this engine; None if it has none of that name. Raises `Unavailable` if the engine does not answer."""
        try:
            config = json.loads(self.ask("image", "inspect", "--format", "{{json .Config}}", name))
        except Unavailable as why:
            if says_it_has_no_such_image(why.message):
                return None
            raise
        env = dict(line.split("=", 1) for line in config.get("Env") or () if "=" in line)
        labels = config.get("Labels") or {}
        return LocalImage(env, config.get("WorkingDir") or "", config.get("User") or "", labels.get(DIGEST_LABEL, ""))

    def state(self, container: str) -> Mapping[str, Any]:
        """The state of a container ("Pid", "OOMKilled", …); empty if there is no such container."""
        try:
            state: Mapping[str, Any] = json.loads(self.ask("container", "inspect", "--format", "{{json .State}}", container))
        except Unavailable:
            return {}
        return state

    def remove_orphans(self) -> None:
        """End the containers of workers whose engine is gone."""
        found = self.ask("ps", "--all", "--quiet", "--filter", f"label={OWNER_LABEL}").split()
        orphans = [name for name in found if not is_alive(self._owner(name))]
        with contextlib.suppress(Unavailable):  # another engine may remove them, too
            if orphans:
                self.ask(*self.removal(*orphans)[1:])

    def _owner(self, container: str) -> str:
        """The process that owns a container; this one for a container that is gone, so that it is left alone."""
        try:
            return self.ask("container", "inspect", "--format", f'{{{{index .Config.Labels "{OWNER_LABEL}"}}}}', container)
        except Unavailable:
            return this_process()

    def removal(self, *containers: str) -> list[str]:
        """The command that ends and removes containers at once."""
        return [self.program, "rm", "--force", *(["--time", "0"] if self.is_podman else []), *containers]

    def ask(self, *arguments: str) -> str:
        """Run the engine and return what it prints. Raises `Unavailable` with its error."""
        try:
            done = subprocess.run([self.program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        except OSError as why:
            raise Unavailable(f"{self.program}: {why.strerror}", hint="install podman or docker, or choose --executor sandbox") from why
        if done.returncode:
            raise complaint(self.program, done.stderr)
        return done.stdout.strip()


def find_engine(program: str = "") -> tuple[ContainerEngine | None, str]:
    """The engine called `program`, that of LOCAL_RUNNER_CONTAINER_ENGINE, or the first that works; else None and why."""
    program = program or os.environ.get(ENGINE_VARIABLE, "")
    reasons = []
    for name in (program,) if program else ENGINES:
        engine = ContainerEngine(name)
        if not (why_not := engine.why_not()):
            return engine, ""
        if program or shutil.which(name):
            reasons.append(why_not)
    return None, reasons[0] if reasons else "neither podman nor docker is installed; install one, or choose --executor sandbox"


class Complaint(Unavailable):
    """An engine did not do what it was asked for. `is_known` says whether the reason is one of the engine, not of what was asked."""

    def __init__(self, message: str, *, hint: str, is_known: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.is_known = is_known


def says_it_has_no_such_image(text: str) -> bool:
    return bool(re.search(_NO_SUCH_IMAGE, text, re.IGNORECASE))


def complaint(program: str, said: str) -> Complaint:
    """The error for what an engine printed on standard error."""
    lines = [line for line in said.strip().splitlines() if line and "level=warning" not in line]
    errors = [number for number, line in enumerate(lines) if line.startswith("Error")]
    text = " ".join(lines[errors[-1] :] if errors else lines[-3:]) or "no reason given"
    for pattern, meaning, remedy in _COMPLAINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return Complaint(f"{program}: {meaning}: {text}", hint=remedy)
    by_hand = f"try by hand: {program} run --rm IMAGE true; or choose --executor sandbox"
    return Complaint(f"{program}: {text}", hint=by_hand, is_known=False)


def this_process() -> str:
    """A unique name of this process: its id, and its start time where the system tells it."""
    return f"{os.getpid()}-{_began(os.getpid())}"


def is_alive(process: str) -> bool:
    """Whether the process of that name is there still."""
    number, _, began = process.partition("-")
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return _began(int(number)) == began


def _began(process: int) -> str:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""
