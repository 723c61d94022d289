"""Enters the worker's namespaces and becomes its user, before the launcher starts anything."""

from __future__ import annotations

import os
import sys

from local_runner.executors.launcher.messages import WorkerPlan


def enter(plan: WorkerPlan, control: int) -> None:
    """Enter the worker's namespaces and become its user, for all that follows. Raises OSError."""
    os.umask(0o022)
    if plan["empty"]:
        import resource  # noqa: F401  # while this host's files are there: what an image has by that name is somebody else's

        from local_runner.executors.launcher import linux, mounts  # with ctypes 5 ms, and Linux only

        is_new_user = mounts.enter_namespaces(network=plan["network"])
        if inside := os.fork():
            # Everything in the namespace is gone when its process 1 has been waited for: that is what the engine waits for.
            os.close(control)
            os.close(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) & 0xFF)
        processes = 0 if is_new_user else plan["processes"]
        mounts.build_root(plan["empty"], plan["steps"], plan["layers"], plan["upper"], memory=plan["memory"], processes=processes)
        if plan["layers"]:
            sys.path.clear()
        if is_new_user and plan["processes"]:
            linux.limit_processes(plan["processes"])
        linux.refuse_calls()
        linux.keep_container_capabilities()
    elif sys.platform == "linux":
        from local_runner.executors.launcher import linux  # as above; before the user changes, who may not be able to read it

        linux.adopt_orphans()
    if plan["user"]:
        user, group = plan["user"]
        for folder in (plan["pfs"], f"{plan['pfs']}/.scratch"):  # so that user code may make files there, as root may
            os.chown(folder, user, group)
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if plan["empty"]:
        linux.die_with_parent()
    if sys.platform == "linux":
        linux.forbid_tracing()  # who had our sockets could tell the engine anything
