"""Builds the sandbox's root folder from a list of steps; runs in the launcher, inside its namespaces."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Sequence

from local_runner.executors.launcher import linux

# Everybody's, those of terminals, links to a process's own, and graphics processors.
_DEVICES = re.compile(r"null|zero|full|u?random|tty|fd|std(in|out|err)|nvidia.*|dri|kfd|dxg")
# Where the host's root stands while the new one is built, and where a folder stands while it is opened up.
_HOST, _BELOW = "/.host", "/.below"
# Where, below its own folder, an image is put together. Linux takes no more than a page of names of layers, so they are short.
_LAYERS, _UPPER, _ROOT = "layers", "upper", "root"
# What stands in the root folder of most systems.
_LINKS = {"/var/run": "/run", "/var/lock": "/run/lock"}
_RESERVED_NUMBERS = 300
_SIZE_OF_DEV = 1 << 16

# ("ro" | "rw", host path, path inside) shows one at the other, following links; ("show", host path, the same) shows it read-only, or is
# the link it is; ("folder", "", path inside) makes one if there is none; ("hide", "", path inside) puts an empty one there;
# ("link", target, path inside) makes a link.
Step = tuple[str, str, str]


def enter_namespaces(*, network: bool) -> bool:
    """Private mounts, shared memory and process ids, with `network` interfaces too; the next fork is process 1.

    Without the right to that, as root of a new user namespace; returns whether that was so.
    """
    user, group = os.geteuid(), os.getegid()
    is_new_user = False
    wanted = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWPID | (linux.CLONE_NEWNET if network else 0)
    try:
        linux.unshare(wanted)
    except PermissionError:
        linux.unshare(linux.CLONE_NEWUSER | wanted)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {user} 1")
        _write("/proc/self/gid_map", f"0 {group} 1")
        is_new_user = True
    if network:
        linux.start_loopback()
    return is_new_user


def build_root(empty: str, steps: list[Step], layers: Sequence[str], upper: str, *, memory: int, processes: int) -> None:
    """Make the root of this mount namespace from `steps`, in their order. `empty` is an empty folder of the caller's.

    With `layers`, the folders of an image's from the topmost down, its files are the root, over which the steps put what they say; what
    is written there goes into `upper`, another empty folder. No link in an image leads out of it.

    `memory` is how many bytes fit into each place that is in memory; `processes` are the most there may be in this process namespace.
    0 is no limit.

    Without, the root folder itself, and folders made on the way to a target, are writable and in memory, as those of a container are on its
    own disk. Raises OSError.
    """
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    if layers:
        _stack(empty, layers, upper)
    else:
        _mount_memory(empty, 0o755, memory)
        os.chdir(empty)
    os.mkdir(_HOST[1:])
    linux.pivot_root(".", _HOST[1:])
    os.chdir("/")
    _mount_proc()  # first: the others are made read-only with its help on older kernels
    if processes:
        # In this namespace's own /proc/sys, which user code will see read-only. The first numbers are given out only once.
        _write("/proc/sys/kernel/pid_max", str(processes + _RESERVED_NUMBERS))
    _make_dev(memory)
    if not layers:
        for folder, link in _LINKS.items():
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            os.symlink(link, folder)
        os.mkdir("/run")
    shown = [path for kind, path, _ in steps if kind == "show"]
    for path in shown:
        _place(os.path.dirname(path), is_folder=True, memory=memory)
        _show(_HOST + path, path, read_only=True)
    _hide_sockets(shown)
    _guard_proc()
    for kind, source, target in steps:
        if kind == "folder":
            _place(target, is_folder=True, memory=memory)
        elif kind == "link":
            os.symlink(source, target)
        elif kind == "hide":
            _hide(target)
        elif kind != "show":
            _bind(_HOST + source, _place(target, os.path.isdir(_HOST + source), memory), read_only=kind == "ro")
    linux.unmount(_HOST)
    os.rmdir(_HOST)


def try_stacking(empty: str, layer: str, upper: str) -> None:
    """Raises OSError if an image cannot be a root here. For a process that does nothing else."""
    enter_namespaces(network=False)
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    _stack(empty, [layer], upper)
    os.mkdir("tried")


def _stack(empty: str, layers: Sequence[str], upper: str) -> None:
    """Be in the root folder of an image. Raises OSError where Linux does not stack for this user (before 5.11) or on these disks."""
    _mount_memory(empty, 0o755, 0)
    os.chdir(empty)
    for name in (_LAYERS, _UPPER, _ROOT):
        os.mkdir(name)
    linux.mount(upper, _UPPER, flags=linux.MS_BIND)
    for name in ("files", "work"):
        os.mkdir(f"{_UPPER}/{name}", 0o755)
    for number, layer in enumerate(layers):
        os.mkdir(f"{_LAYERS}/{number}")
        linux.mount(layer, f"{_LAYERS}/{number}", flags=linux.MS_BIND)
    lower = ":".join(f"{_LAYERS}/{number}" for number in range(len(layers)))
    # Nothing has to reach the disk when it ends. In a user namespace what marks folders are attributes that users may set.
    linux.mount("overlay", _ROOT, "overlay", data=f"lowerdir={lower},upperdir={_UPPER}/files,workdir={_UPPER}/work,volatile,userxattr")
    os.chdir(_ROOT)


def _mount_memory(target: str, mode: int, size: int) -> None:
    linux.mount("tmpfs", target, "tmpfs", data=f"mode={mode:o},size={size or '50%'}")


def _mount_proc() -> None:
    _make_real("/proc")
    try:
        linux.mount("proc", "/proc", "proc")
    except PermissionError:
        # Inside a container whose own /proc has masked parts the kernel refuses a fresh one. The host's serves: /proc/self is right
        # there too, only the numbers are the host's.
        _bind(f"{_HOST}/proc", "/proc", read_only=False)


def _make_dev(memory: int) -> None:
    """Make a /dev without devices of disks, through which root could write to them."""
    _make_real("/dev")
    _mount_memory("/dev", 0o755, _SIZE_OF_DEV)
    for name in os.listdir(f"{_HOST}/dev"):
        if _DEVICES.fullmatch(name):
            _show(f"{_HOST}/dev/{name}", f"/dev/{name}", read_only=False)
    os.mkdir("/dev/shm")
    _mount_memory("/dev/shm", 0o1777, memory)
    os.mkdir("/dev/pts")
    linux.mount("devpts", "/dev/pts", "devpts", data="newinstance,ptmxmode=0666,mode=0620")
    os.symlink("pts/ptmx", "/dev/ptmx")


def _hide_sockets(shown: list[str]) -> None:
    """Hide sockets in the host folders shown: a read-only mount does not prevent connecting to them."""
    with contextlib.suppress(OSError), open(f"{_HOST}/proc/1/net/unix") as table:
        paths = {path for line in table for path in line.rstrip("\n").split(maxsplit=7)[7:] if path.startswith("/")}
        for path in paths:
            if path.startswith(tuple(f"{folder}/" for folder in shown)) and os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
                _bind("/dev/null", path, read_only=False)


def _hide(path: str) -> None:
    if os.path.isdir(path):
        _mount_memory(path, 0o755, _SIZE_OF_DEV)
        linux.make_read_only(path)


def _guard_proc() -> None:
    """Mask the files of /proc by which root could change the host or read its memory, as container engines do."""
    for name in ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi"):
        if os.path.exists(f"/proc/{name}"):
            _bind(f"/proc/{name}", f"/proc/{name}", read_only=True)
    for name in ("kcore", "keys", "latency_stats", "timer_list", "kmsg"):
        if os.path.exists(f"/proc/{name}"):
            _bind("/dev/null", f"/proc/{name}", read_only=False)


def _place(target: str, is_folder: bool, memory: int) -> str:
    """A file or folder at `target` to mount on, made if there is none; the path it has once links on the way are followed."""
    path = os.path.realpath(target)
    if path == _HOST or path.startswith(f"{_HOST}/"):
        raise OSError(errno.EPERM, "a link of the image leads out of it", target)
    if os.path.exists(path):
        return path
    parent = _place(os.path.dirname(path), is_folder=True, memory=memory)
    try:
        _make(path, is_folder)
    except OSError:  # the host's, hence read-only
        _open_up(parent, memory)
        _make(path, is_folder)
    return path


def _make_real(path: str) -> None:
    """A folder in the root folder, whatever an image has there."""
    if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        os.unlink(path)
    os.makedirs(path, exist_ok=True)


def _make(path: str, is_folder: bool) -> None:
    if is_folder:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _open_up(folder: str, memory: int) -> None:
    """Replace a read-only folder by one in memory that shows the same entries, so that another can stand among them.

    Costs a mount for each entry: 10 µs.
    """
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    os.mkdir(_BELOW)
    linux.mount(folder, _BELOW, flags=linux.MS_BIND | linux.MS_REC)
    _mount_memory(folder, mode | 0o700, memory)
    for name in os.listdir(_BELOW):
        _show(f"{_BELOW}/{name}", f"{folder}/{name}", read_only=False)  # each stays as writable as it is
    linux.unmount(_BELOW)
    os.rmdir(_BELOW)


def _show(source: str, target: str, read_only: bool) -> None:
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    else:
        _make(target, os.path.isdir(source))
        _bind(source, target, read_only)


def _bind(source: str, target: str, read_only: bool) -> None:
    linux.mount(source, target, flags=linux.MS_BIND | linux.MS_REC)
    if read_only:
        linux.make_read_only(target)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
