"""The Linux system calls a worker needs and Python 3.11 does not have. Only the launcher imports this: ctypes costs it 5 ms."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import struct
import sys

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
MNT_DETACH = 0x2
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 22, 24, 36
# Numbers that are the same on every architecture but alpha; glibc has no wrapper for them before 2.36.
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41, "armv7l": 218, "i686": 217, "ppc64le": 203, "s390x": 217}
_MOUNT_ATTR_RDONLY, _AT_FDCWD, _AT_RECURSIVE = 0x1, -100, 0x8000

# What a container is given by default, as numbers of linux/capability.h: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
# setpcap, net_bind_service, net_raw, sys_chroot, audit_write, setfcap. Not mknod: a container may not open what it makes with it.
_CONTAINER_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31})
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 0x20080522, 47, 4

# Calls that user code is refused, by what linux/audit.h calls the architecture, as (first, last) of numbers that follow each other:
# those of keyrings, of which root's and a session's are the host's in any namespace; those that make or change mounts and namespaces, and
# what only an attacker of the kernel wants from inside (bpf, perf events, userfaultfd, io_uring, handles of files, modules, kexec).
_OF_ALL = ((425, 433), (442, 442))  # io_uring_*, open_tree, move_mount, fs*; mount_setattr
_OF_GENERIC = (
    (39, 41),
    (97, 97),
    (104, 106),
    (217, 219),
    (241, 241),
    (264, 265),
    (268, 268),
    (273, 273),
    (280, 280),
    (282, 282),
    (294, 294),
)
_OF_X86_64 = (
    *((155, 155), (165, 169), (172, 173), (175, 176), (246, 246), (248, 250), (272, 272), (298, 298), (303, 304), (308, 308)),
    *((313, 313), (320, 321), (323, 323)),
)
_REFUSED = {
    0xC000003E: _OF_X86_64 + _OF_ALL,
    0xC00000B7: _OF_GENERIC + _OF_ALL,  # aarch64
    0xC00000F3: _OF_GENERIC + _OF_ALL,  # riscv64
    0xC0000102: _OF_GENERIC + _OF_ALL,  # loongarch64
    # Of others no more than keyrings are refused.
    0x40000003: ((286, 288),),  # i386
    0x40000028: ((309, 311),),  # arm
    0xC0000015: ((269, 271),),  # ppc64le
    0x80000016: ((278, 280),),  # s390x
}
_CLONE = {0xC000003E: 56, 0xC00000B7: 220, 0xC00000F3: 220, 0xC0000102: 220}  # whose first argument says which namespaces are new
_CLONE3 = 435  # whose argument lies in memory, where a filter cannot look; libraries then do with clone
_NEW_NAMESPACES = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
_SECCOMP_MODE_FILTER, _SECCOMP_ALLOW, _SECCOMP_ERROR = 2, 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ABOVE, _ANY_OF, _AND, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x06  # instructions of linux/filter.h
_OF_ARCHITECTURE, _OF_CALL, _OF_FIRST_ARGUMENT = 4, 0, 16  # where they stand in struct seccomp_data

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def enter(namespace: int) -> None:
    """Enter a namespace, given as a descriptor of its file in /proc."""
    _check(_libc.setns(namespace, 0), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _check(_libc.mount(*map(os.fsencode, (source, target, kind)), flags, os.fsencode(data)), f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Detach a mount and all below it; it ends with its last use."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def start_loopback() -> None:
    """Bring up the loopback interface of a new network namespace."""
    import _socket
    import fcntl

    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(any_socket.fileno(), _SIOCSIFFLAGS, b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(2, sys.byteorder) + bytes(14))
    any_socket.close()


def pivot_root(new: str, old: str) -> None:
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root: its number on {os.uname().machine} is not known")
    _check(_libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old)), "pivot_root")


def make_read_only(target: str) -> None:
    """Make `target` and every mount below it read-only."""
    attributes = _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY)
    number, folder = ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    if _libc.syscall(number, folder, os.fsencode(target), ctypes.c_uint(_AT_RECURSIVE), ctypes.byref(attributes), size) == 0:
        return
    # Before Linux 5.12: one mount at a time, keeping its other flags, which a user namespace may not clear.
    for path in _mounts_at_or_below(target):
        with contextlib.suppress(PermissionError):  # what this user may not even look at needs no protection
            mount("", path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | _flags(path))


def _mounts_at_or_below(target: str) -> list[str]:
    with open("/proc/self/mountinfo", "rb") as lines:
        escaped = [line.split()[4] for line in lines]
    points = [os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), point)) for point in escaped]
    return [point for point in points if point == target or point.startswith(target.rstrip("/") + "/")]


def _flags(path: str) -> int:
    # nosuid, nodev and noexec have the same bits in statvfs and in mount; noatime, nodiratime and relatime do not.
    flags = os.statvfs(path).f_flag
    return flags & 0xF | (flags & 0x400) | (flags & 0x800) | (0x200000 if flags & 0x1000 else 0)


def die_with_parent() -> None:
    """Get SIGKILL when the thread that started this process ends. Changing the user id undoes it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")


def limit_processes(most: int) -> None:
    """Limit the processes of this user in this, new, user namespace; a fork beyond that fails with EAGAIN."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def forbid_tracing() -> None:
    """Deny other processes of this user access to the memory and files of this one."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Make orphaned descendants children of this process."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def keep_container_capabilities() -> None:
    """Drop capabilities for this process and all it executes, even as root: no mounting, no modules, no tracing."""
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in _CONTAINER_CAPABILITIES:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # EINVAL beyond the kernel's last one
    # What root executes may have what is inheritable whether or not it is in that set.
    header, data = struct.pack("II", _CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data), "capget")
    data[2] = data[5] = 0
    _check(_libc.capset(header, data), "capset")
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def refuse_calls() -> None:
    """Forbid system calls that could hurt the host, for this process and all it starts (seccomp)."""
    program = [(_LOAD, 0, 0, _OF_ARCHITECTURE)]
    for architecture, ranges in _REFUSED.items():
        block = [(_LOAD, 0, 0, _OF_CALL), (_AND, 0, 0, 0xBFFFFFFF)]  # of x32, which has numbers like those of x86_64
        for first, last in ranges:
            block += [(_AT_LEAST, 0, 2, first), (_ABOVE, 1, 0, last), (_RETURN, 0, 0, _SECCOMP_ERROR | errno.EPERM)]
        if clone := _CLONE.get(architecture):
            block += [
                (_EQUAL, 0, 1, _CLONE3),
                (_RETURN, 0, 0, _SECCOMP_ERROR | errno.ENOSYS),
                (_EQUAL, 0, 3, clone),
                (_LOAD, 0, 0, _OF_FIRST_ARGUMENT),
                (_ANY_OF, 0, 1, _NEW_NAMESPACES),
                (_RETURN, 0, 0, _SECCOMP_ERROR | errno.EPERM),
            ]
        block.append((_RETURN, 0, 0, _SECCOMP_ALLOW))
        program += [(_EQUAL, 0, len(block), architecture), *block]
    program.append((_RETURN, 0, 0, _SECCOMP_ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    header = struct.pack("HP", len(program), ctypes.addressof(code))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "seccomp")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
