"""The executors by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from local_runner.errors import Invalid, Unavailable
from local_runner.executors.auto import AutoExecutor
from local_runner.executors.base import Executor
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor

EXECUTORS: Mapping[str, Callable[[], Executor]] = {
    "sandbox": SandboxExecutor,
    "container": ContainerExecutor,
    "podman": lambda: ContainerExecutor("podman"),
    "docker": lambda: ContainerExecutor("docker"),
    "process": ProcessExecutor,
}


def choose(name: str) -> tuple[Executor, str]:
    """The executor called `name`, or with "auto" the best this host can run, and a sentence that says which and why.

    Raises `Invalid` for an unknown name and `Unavailable` for an executor this host cannot run.
    """
    if name == "auto":
        sandbox = EXECUTORS["sandbox"]()
        if not (why_not := sandbox.why_not()):
            return AutoExecutor(), "executor sandbox: user code sees its data at /pfs, the host's programs read-only, and no network"
        container = EXECUTORS["container"]()
        if not container.why_not():
            return container, f"executor container: user code runs in the images as built ({why_not})"
        return EXECUTORS["process"](), f"executor process: user code is not isolated, and /pfs stands elsewhere ({why_not})"
    if name not in EXECUTORS:
        raise Invalid(f"unknown executor {name!r}", hint=f"choose one of auto, {', '.join(EXECUTORS)}")
    executor = EXECUTORS[name]()
    if why_not := executor.why_not():
        raise Unavailable(f"executor {name} does not work here: {why_not}", hint="choose --executor auto")
    return executor, f"executor {name}, as asked"
