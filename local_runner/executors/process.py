"""Runs user code as plain child processes, for hosts without namespaces: nothing is hidden, and /pfs lies elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from local_runner.executors.base import Capabilities, Pachctl, Worker, WorkerRequest
from local_runner.executors.users import find_user
from local_runner.executors.worker import LauncherWorker, link_scratch, own_folder, plan_in_the_open


class ProcessExecutor:
    """No isolation. In cmd, stdin and environment /pfs and the paths of the image's code are replaced by where they really are.

    So code that takes its paths from there works; a path inside a program, or put together from pieces, does not.
    """

    name = "process"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            absolute_pfs=False,
            private_tmp=False,
            hides_host_files=False,
            hides_processes=False,
            limits_memory=sys.platform == "linux",
            limits_processes=False,
            limits_network=False,
            needs_image=False,
            runs_programs=True,
            shows_images=False,
            runs_as_user=os.geteuid() == 0,
        )

    def why_not(self) -> str:
        return "" if os.name == "posix" else "commands are started as on Linux and macOS; on Windows use WSL 2"

    def places(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def engine_with(self, image: str) -> str:
        return ""

    def owner(self, request: WorkerRequest) -> tuple[int, int] | None:
        return find_user(request.user) if request.user and self.capabilities.runs_as_user else None

    @contextlib.contextmanager
    def worker(self, request: WorkerRequest) -> Iterator[Worker]:
        """Raises `Unavailable` if the launcher cannot be started or `transform.user` is not known here."""
        pfs = str(request.pfs.absolute())
        with own_folder(request) as own:
            link_scratch(request)
            places = {"/pfs": pfs} | mirror(own, {**request.code, **request.mounts}, request.working_dir)
            translate = translator(places)
            env = {name: translate(value) for name, value in request.env.items()}
            if request.pachctl:
                env["PATH"] = f"{env.get('PATH', os.defpath)}:{_install(own, request.pachctl)}"
            plan = plan_in_the_open(env, pfs, self.owner(request), memory=request.resources.memory)
            folder = translate(os.path.join("/", request.working_dir))
            worker = LauncherWorker(request.pfs, plan, folder, translate)
            try:
                yield worker
            finally:
                worker.close()


def _install(own: Path, pachctl: Pachctl) -> Path:
    """A folder with `pachctl`, which is the command line itself: here user code sees the home."""
    (folder := own / "pach-bin").mkdir()
    variables = [f"{name}={value}" for name, value in pachctl.env.items()]
    (folder / "pachctl").write_text(f'#!/bin/sh\nexec env {shlex.join([*variables, *pachctl.whole])} "$@"\n')
    (folder / "pachctl").chmod(0o755)
    return folder


def translator(places: Mapping[str, str]) -> Callable[[str], str]:
    """A function that replaces each of the absolute paths `places` by what it stands for.

    Only a whole path is meant: it begins the text or follows a space, a quote or one of = , : ; ( < > | & [ { @ ` !, and it ends the
    text or is followed by a slash or anything that is not part of a name. So /pfsx, x/pfs, ~/pfs and ${HOME}/pfs stay as they are.
    """
    names = "|".join(re.escape(path) for path in sorted(places, key=len, reverse=True))
    path = re.compile(rf"""(?<![^\s'"=,:;(<>|&\[{{@`!])({names})(?![\w.*?~+%-])""")
    return lambda text: path.sub(lambda found: places[found[0]], text)


def mirror(own: Path, code: Mapping[str, Path], working_dir: str) -> dict[str, str]:
    """Lay out `code` and the working directory as an image would have them, with links in `own`; absolute path -> its place there.

    A working directory the host has, and where no code stands, is the host's.
    """
    places: dict[str, str] = {}
    folder = os.path.normpath(os.path.join("/", working_dir))
    for target in sorted(code):
        path = _place(own, target)
        if path.is_symlink():  # a file of the same name in a folder that stands here
            path.unlink()
        path.symlink_to(code[target].resolve())
        places[target] = str(path)
    if folder != "/" and not (own / folder[1:]).is_dir() and not os.path.isdir(folder):
        _place(own, folder).mkdir()
    if folder != "/" and (own / folder[1:]).is_dir():
        places[folder] = str(own / folder[1:])
    return places


def _place(own: Path, target: str) -> Path:
    """The path of `target` in `own`; a linked folder on the way is replaced by a folder of links, so that more can stand in it."""
    *folders, name = [part for part in target.split("/") if part]
    at = own
    for folder in folders:
        at /= folder
        if at.is_symlink():
            source = at.resolve()
            at.unlink()
            at.mkdir()
            for entry in source.iterdir():
                (at / entry.name).symlink_to(entry)
        elif not at.exists():
            at.mkdir()
    return at / name
