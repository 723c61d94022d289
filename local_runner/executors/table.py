"""The executors by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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
DASK = "dask"  # not of this machine, and not among those that are tried


def choose(name: str, dask: Callable[[], Mapping[str, Any]] = dict) -> tuple[Executor, str]:
    """The executor called `name`, or with "auto" the best this host can run, and a sentence that says which and why.

    `dask` gives the table of the project file that says how its cluster is reached.
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
    if name == DASK:
        return _dask(dask())
    if name not in EXECUTORS:
        raise Invalid(f"unknown executor {name!r}", hint=f"choose one of auto, {', '.join(EXECUTORS)}, {DASK}")
    executor = EXECUTORS[name]()
    if why_not := executor.why_not():
        raise Unavailable(f"executor {name} does not work here: {why_not}", hint="choose --executor auto")
    return executor, f"executor {name}, as asked"


def _dask(table: Mapping[str, Any]) -> tuple[Executor, str]:
    from local_runner.executors.dask.executor import DaskExecutor  # what it needs may not be installed
    from local_runner.executors.dask.settings import read_settings

    executor = DaskExecutor(read_settings(table))
    cluster = executor.cluster
    what = f"executor dask: {len(cluster.workers())} workers with {executor.places()} threads, scheduler {cluster.address}"
    there = executor.there()
    return executor, f"{what}; there {there}" if there else what
