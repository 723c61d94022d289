"""`doctor`: report what this host can do, and how to get what is missing."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from local_runner.cli.app import App, command, raw_output
from local_runner.cli.output import GREEN, RED, YELLOW
from local_runner.errors import EXIT_UNAVAILABLE
from local_runner.executors.base import Capabilities
from local_runner.model.units import human_size

HEADER = ("WHAT", "STATE", "HERE", "TO GET IT")

# OPTIONAL is missing too, but nothing stops working by default.
OK, OPTIONAL, MISSING = "ok", "optional", "missing"

_DISTRIBUTION = "local_runner"
_OLDEST_PYTHON = (3, 11)
_OLDEST_SQLITE = (3, 8, 2)  # WITHOUT ROWID
_LEAST_SPACE = 256 << 20
_FICLONE = 0x40049409  # Linux: share the blocks of another file
_ANSWER_SECONDS = 5.0  # a container engine may wait for a daemon that never comes
# SQLite's write-ahead log is shared memory, which these do not share between machines.
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "lustre"})
_COLOURS = {OK: GREEN, OPTIONAL: YELLOW, MISSING: RED}


class HostCheck(NamedTuple):
    """One thing that was looked at. `remedy` says how to get what is not there."""

    what: str
    state: str
    here: str
    remedy: str = ""


@command("doctor")
@raw_output
def doctor(app: App) -> int:
    """Say what this host can do, and how to get what is missing. The exit status is 5 if something is that the defaults need."""
    found = [finding for look in _LOOKS for finding in look()]

    def row(finding: HostCheck) -> tuple[str, ...]:
        return finding.what, app.out.paint(finding.state, _COLOURS[finding.state]), finding.here, finding.remedy

    if app.out.raw:
        app.out.documents(map(HostCheck._asdict, found))
    else:
        for line in app.out.wrapped(HEADER, map(row, found)):
            app.out.line(line)
    return EXIT_UNAVAILABLE if any(finding.state == MISSING for finding in found) else 0


def _python() -> Iterator[HostCheck]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    good = sys.version_info >= _OLDEST_PYTHON
    yield HostCheck(
        "python", OK if good else MISSING, f"{version} at {sys.executable}", "" if good else f"install Python {wanted} or newer"
    )


def _packages() -> Iterator[HostCheck]:
    """The packages this one needs, then those of its extras, which are named in markers: `dask; extra == "dask"`."""
    from importlib import metadata  # 30 ms, for this command only

    from local_runner.images.requirements import unmet

    try:
        listed = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield HostCheck("packages", OPTIONAL, "the package is not installed, so what it needs is not known", "pip install -e .")
        return
    extras: dict[str, list[str]] = {}
    for requirement in listed:
        needed, _, marker = requirement.partition(";")
        extras.setdefault(marker.partition("extra ==")[2].strip(" \"'"), []).append(needed.strip())
    for extra, wanted in extras.items():
        lacking = unmet(wanted)
        target = f"'{_DISTRIBUTION}[{extra}]'" if extra else _DISTRIBUTION
        remedy = f"pip install {target}" if lacking else ""
        state = OK if not lacking else OPTIONAL if extra else MISSING
        yield HostCheck(f"extra {extra}" if extra else "packages", state, ", ".join(lacking) or "installed", remedy)


def _executors() -> Iterator[HostCheck]:
    from local_runner.executors.table import EXECUTORS, choose  # starts processes to find out

    able = 0
    for name, make in EXECUTORS.items():
        executor = make()
        why_not, _, remedy = executor.why_not().partition("; ")
        able += not why_not
        yield HostCheck(f"executor {name}", OPTIONAL if why_not else OK, why_not or f"works{_unkept(executor.capabilities)}", remedy)
    if able:
        yield HostCheck("by default", OK, choose("auto")[1])
    else:
        yield HostCheck("by default", MISSING, "no executor works", "see above: one is enough")


def _unkept(can: Capabilities) -> str:
    """The promises of the table that this executor does not keep, in the words of the table."""
    promises = (field.name for field in dataclasses.fields(can) if field.name.startswith(("hides_", "limits_")))
    unkept = [name.replace("_", " ") for name in promises if not getattr(can, name)]
    return f"; nothing {', '.join(unkept)}" if unkept else ""


def _container_engine() -> Iterator[HostCheck]:
    found = []
    for name in ("podman", "docker"):
        if shutil.which(name):
            try:
                done = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
                found.append(done.stdout.strip() or name)
            except (OSError, subprocess.TimeoutExpired):
                found.append(f"{name}, which does not answer")
    remedy = "" if found else "install podman or docker, for images that are no folders of the project"
    yield HostCheck("container engine", OK if found else OPTIONAL, ", ".join(found) or "neither podman nor docker", remedy)


def _images() -> Iterator[HostCheck]:
    """The images that are kept here, and those that pipelines of the home name and nothing here stands for."""
    from local_runner.cli.image_notes import image_notes
    from local_runner.oci.cache import ImageCache
    from local_runner.runner import Runner
    from local_runner.storage.home import find_home, is_made

    cache = ImageCache()
    kept = cache.images()
    size = human_size(sum(image.size for image in kept))
    yield HostCheck("images", OK, f"{len(kept)} kept in {cache.folder} ({size})" if kept else f"none kept in {cache.folder}")
    if is_made(find_home()):
        with Runner.open(find_home(), background=False, create=False) as runner:
            used = {info.spec.transform.image for info in runner.list_pipeline()}
        for image in sorted(used):
            for text in image_notes(find_home(), image):
                what, _, remedy = text.partition(" To have it: ")
                if remedy:
                    yield HostCheck(f"image {image}", OPTIONAL, what, remedy)


def _dask() -> Iterator[HostCheck]:
    """The cluster that the project or the environment names; nothing if none is named."""
    from local_runner.errors import LocalRunnerError
    from local_runner.executors.dask.settings import read_settings
    from local_runner.project.file import dask_of
    from local_runner.storage.home import find_home

    try:
        settings = read_settings(dask_of(find_home()))
    except LocalRunnerError as why:
        yield HostCheck("dask", OPTIONAL, why.message, why.hint)
        return
    if not settings.scheduler:
        return
    try:
        from local_runner.executors.dask.report import examine_cluster  # brings Dask with it
    except ModuleNotFoundError:
        yield HostCheck("dask", OPTIONAL, "the package distributed is not installed", "pip install 'local_runner[dask]'")
        return
    for found in examine_cluster(settings):
        yield HostCheck(found.what, OPTIONAL if found.trouble else OK, found.here, found.remedy)


def _places() -> Iterator[HostCheck]:
    from local_runner.storage.home import VARIABLE, Home, find_home

    home = Home(find_home())
    yield _place("home", home.path, f"set {VARIABLE} to another folder")
    for place in home.workers:
        yield _place("scratch", place, "make room there")
    yield _shared_blocks(home.path, home.workers[-1])


def _place(what: str, path: Path, remedy: str) -> HostCheck:
    """The file system of a folder, which need not exist yet, and its free space."""
    folder = _nearest(path)
    kind, free = _file_system(folder), shutil.disk_usage(folder).free
    here = f"{path} ({kind + ', ' if kind else ''}{human_size(free)} free)"
    if not os.access(folder, os.W_OK):
        return HostCheck(what, MISSING, f"{here}: it cannot be written", remedy)
    if free < _LEAST_SPACE:
        return HostCheck(what, MISSING, f"{here}: that is little", remedy)
    if what == "home" and kind in _REMOTE:
        return HostCheck(what, MISSING, f"{here}: records need a disk of this machine", remedy)
    return HostCheck(what, OK, here)


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _file_system(folder: Path) -> str:
    """The type of a file system, "" elsewhere than on Linux."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    mounts = [(line.split()[4], line.partition(" - ")[2].split()[0]) for line in lines]
    here = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    # Of mounts on one another the last counts.
    return max(enumerate(here), key=lambda found: (len(found[1][0]), found[0]))[1][1] if here else ""


def _shared_blocks(home: Path, scratch: Path) -> HostCheck:
    """Whether a copy of a large file from the store to a datum costs nothing."""
    try:
        with tempfile.TemporaryFile(dir=_nearest(home)) as source, tempfile.TemporaryFile(dir=_nearest(scratch)) as copy:
            source.write(b"\0" * 4096)
            source.flush()
            fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
    except OSError:
        remedy = "keep home and scratch on one file system that has reflinks, such as btrfs or xfs"
        return HostCheck("shared blocks", OPTIONAL, "large input files are copied for each datum", remedy)
    return HostCheck("shared blocks", OK, "copies of input files share their blocks")


def _shared_memory() -> Iterator[HostCheck]:
    folder = Path("/dev/shm")
    if folder.is_dir() and os.access(folder, os.W_OK):
        yield HostCheck("shared memory", OK, f"{folder} ({human_size(shutil.disk_usage(folder).free)} free)")
    else:
        yield HostCheck("shared memory", OPTIONAL, f"there is no {folder} to write to", "mount a tmpfs there; in docker: --shm-size=1g")


def _sqlite() -> Iterator[HostCheck]:
    import sqlite3  # the store's, which no `--help` needs

    good = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    wanted = ".".join(map(str, _OLDEST_SQLITE))
    yield HostCheck(
        "sqlite", OK if good else MISSING, sqlite3.sqlite_version, "" if good else f"use a Python with SQLite {wanted} or newer"
    )


def _file_hash() -> Iterator[HostCheck]:
    from local_runner.model.file_hash import native_cut

    if native_cut():
        yield HostCheck("file hash", OK, "by the C extension")
    else:
        remedy = "install a C compiler and Python's headers (python3-dev), then this package again"
        yield HostCheck("file hash", OPTIONAL, "by numpy: files of 1 MB and more take four times as long", remedy)


def _inotify() -> Iterator[HostCheck]:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    try:
        yield HostCheck("inotify", OK, f"up to {int(limit.read_text())} watched files and folders")
    except (OSError, ValueError):
        yield HostCheck("inotify", OPTIONAL, "there is none", "it comes with Linux")


_LOOKS: tuple[Callable[[], Iterator[HostCheck]], ...] = (
    *(_python, _packages, _executors, _dask, _container_engine, _images),
    *(_places, _shared_memory, _sqlite, _file_hash, _inotify),
)
