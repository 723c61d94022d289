"""Ways out of a sandbox or a container that user code may try, each with what holds it. SANDBOX.md is their table.

An attempt is a program that runs inside as user code does. It has got out if it prints a line `escaped`, or the bait: a word that stands
on the host in files, names, processes, memory and sockets, or if the host is not as it was. `@NAME@` is where such a thing is on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The numbers of calls, which libraries have no functions for, on the two machines that are common: x86_64 and aarch64.
_CALLS = """
import ctypes, os, platform, struct
libc = ctypes.CDLL(None, use_errno=True)
number = 0 if platform.machine() == "x86_64" else 1
def call(numbers, *arguments):
    return libc.syscall(ctypes.c_long(numbers[number]), *arguments)
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`holds` is what keeps it in: words of SANDBOX.md. `only` is for one kind of isolation; of the other it is no promise."""

    name: str
    holds: str
    code: str
    language: Literal["sh", "python"] = "sh"
    only: Literal["", "sandbox"] = ""


def _python(name: str, holds: str, code: str, only: Literal["", "sandbox"] = "") -> Attempt:
    return Attempt(name, holds, _CALLS + code, "python", only)


_ITS_OWN_FILES = {
    "read the passwords of the host",
    "hard link to a file of the host",
    "write to the user list",
    "replace a program of the host",
    "set the clock back on files of the host",
    "change modes of files of the host",
}
# In a container these reach files that are the image's own, or namespaces and groups that its engine grants: what counts there is what
# became of the host, which is looked at after each attempt.
OF_THE_CONTAINER = _ITS_OWN_FILES | {
    "be root of a user namespace of its own",
    "make namespaces by every call there is",
    "be called by the kernel when a control group ends",
    "find a key of the host",
}
# Of them those about files: with an image as the root of a sandbox they reach the worker's own copy of its files.
OF_THE_IMAGE = _ITS_OWN_FILES | {
    "write to the interpreter",
}
LIST, NAMESPACES, RIGHTS, CALLS, READ_ONLY = "list of host files", "namespaces", "rights", "refused calls", "read-only mounts"
OWN, NO_NETWORK, NOTHING_OPEN, LAUNCHER = "folders of its own", "no network", "nothing inherited", "launcher out of reach"

FILES = (
    Attempt("read the passwords of the host", LIST, "for f in /etc/shadow /etc/gshadow /etc/shadow-; do cat $f && echo escaped; done"),
    Attempt("read the keys of the host's services", LIST, "for f in /etc/ssh/*key /etc/ssl/private/*; do cat $f && echo escaped; done"),
    Attempt("read the home folder of whoever runs this", LIST, "cat @OWNHOME@/*/*; find / -xdev -path '*@NAME@*'"),
    Attempt("read the home folder of another", LIST, "cat @HOME@/*"),
    Attempt("read what lies elsewhere on the host", LIST, "cat @SRV@/* @VAR@/* @OPT@/* @ROOT@/*"),
    Attempt("look for it in all that is seen", LIST, "find / -path /proc -prune -o -name '*@NAME@*' -print 2> /dev/null"),
    Attempt("read temporary files of the host", OWN, "cat @TMP@/* @VARTMP@/*"),
    Attempt("read shared memory of the host", OWN, "cat @SHM@/* /dev/shm/*"),
    Attempt("read the runner's home", LIST, "cat @STATE@/*"),
    Attempt("read the runner's home through the project's folder", LIST, "cat /app/.local_runner/*; ls -lR /app"),
    Attempt("read the folder of another worker", OWN, "cat @WORKER@/*/* @WORKER@/*"),
    Attempt("climb over the root folder", NAMESPACES, "cd /; cat ../../../..@SRV@/*; cd /pfs/out; cat ../../../../../../..@SRV@/*"),
    Attempt("climb out of /pfs", NAMESPACES, "cd -P /pfs/out; cd -P ..; cd -P ../../../../..; ls -R .. | head -n 100000; cat ../secret*/*"),
    Attempt(
        "hard link to a file of the host", READ_ONLY, "ln /etc/passwd /pfs/out/p && echo escaped; ln /usr/bin/env /tmp/e && echo escaped"
    ),
    Attempt("write to the user list", READ_ONLY, "echo 'x::0:0:::' >> /etc/passwd && echo escaped"),
    Attempt(
        "replace a program of the host",
        READ_ONLY,
        "cp /bin/true /usr/bin/env && echo escaped; [ -e /usr/bin/env ] && rm -f /usr/bin/env && echo escaped",
    ),
    Attempt(
        "write to the interpreter",
        READ_ONLY,
        "p=$(command -v python3) && touch $(dirname $(readlink -f $p))/x && echo escaped",
        only="sandbox",
    ),
    Attempt(
        "write to the code of the image", READ_ONLY, "touch /app/x && echo escaped; echo x >> /app/main && echo escaped", only="sandbox"
    ),
    Attempt("write where secrets are shown", READ_ONLY, "touch /secrets/x && echo escaped; rm -f /secrets/* && echo escaped"),
    Attempt(
        "leave files in folders of the host",
        OWN,
        "for d in /tmp /var/tmp /dev/shm /etc /var/lib /root /home /srv /opt; do mkdir -p $d; "
        "{ echo x > $d/@NAME@-left; } 2> /dev/null; done; true",
    ),
    Attempt("write through a link to the host", LIST, "ln -s @WATCHED@ /pfs/out/l; echo x > /pfs/out/l/file; mkdir /pfs/out/l/d; true"),
    Attempt("set the clock back on files of the host", READ_ONLY, "touch -d 1999-01-01 /usr/bin/env && echo escaped"),
    Attempt("change modes of files of the host", READ_ONLY, "chmod 777 /usr/bin/env && echo escaped; chown 1 /usr/bin && echo escaped"),
    _python(
        "write over the running program",
        READ_ONLY,
        """
for path in ("/proc/self/exe", "/proc/1/exe"):
    try:
        os.open(path, os.O_WRONLY)
        print("escaped")
    except OSError:
        pass
""",
    ),
)

PROCESSES = (
    Attempt("read the files of process 1's root", LAUNCHER, "cat /proc/1/root@SRV@/* /proc/1/cwd@SRV@/*"),
    Attempt("read through the roots of all processes", NAMESPACES, "for p in /proc/[0-9]*; do cat $p/root@SRV@/* $p/cwd@SRV@/*; done"),
    Attempt("read what other processes have open", NAMESPACES, "cat /proc/[0-9]*/fd/[3-9]*  < /dev/null & sleep 0.3; kill $!; true"),
    Attempt("read the environment of other processes", NAMESPACES, "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"),
    Attempt("read the command lines of other processes", NAMESPACES, "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"),
    Attempt("read the environment of the launcher", LAUNCHER, "head -c 1 /proc/1/environ | grep -q . && echo escaped"),
    Attempt(
        "read the memory of the launcher", LAUNCHER, "head -c 1 /proc/1/mem && echo escaped; cat /proc/1/maps | grep -q . && echo escaped"
    ),
    Attempt("reach the launcher's sockets", LAUNCHER, "for f in $(ls /proc/1/fd/); do readlink /proc/1/fd/$f && echo escaped; done"),
    _python("trace the launcher", LAUNCHER, "if libc.ptrace(16, 1, 0, 0) == 0: print('escaped')"),
    _python(
        "read the launcher's memory by a call",
        LAUNCHER,
        """
class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
here, there = Piece(ctypes.addressof(buffer), 8), Piece(id(libc), 8)
if libc.process_vm_readv(1, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) >= 0 or ctypes.get_errno() != 1:
    print("escaped")
""",
    ),
    _python(
        "take the launcher's sockets",
        LAUNCHER,
        "f = call((434, 434), 1, 0)\nif f >= 0 and call((438, 438), f, 0, 0) >= 0: print('escaped')",
    ),
    Attempt("end a process of the host", NAMESPACES, "kill -9 @PID@; kill -STOP @PID@; true"),
    Attempt("end all processes", NAMESPACES, "trap '' TERM; kill -TERM -1; true"),
    Attempt("end the launcher", LAUNCHER, "for s in 1 2 3 6 9 11 15 19; do kill -$s 1; done; true"),
    _python("have precedence over the host's processes", RIGHTS, "os.nice(-5)\nprint('escaped')"),
    _python("have a processor for itself", RIGHTS, "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))\nprint('escaped')"),
    Attempt("be the last to be killed for memory", RIGHTS, "echo -900 > /proc/self/oom_score_adj && echo escaped"),
    Attempt("raise the most processes there may be", READ_ONLY, "echo 4000000 > /proc/sys/kernel/pid_max && echo escaped"),
)

RIGHTS_OVER_THE_HOST = (
    _python(
        "have a right that is over the host",
        RIGHTS,
        """
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    # dac_read_search, linux_immutable, net_admin, ipc_lock, ipc_owner, sys_module, sys_rawio, sys_ptrace, sys_pacct, sys_admin, sys_boot,
    # sys_nice, sys_resource, sys_time, sys_tty_config, mac_override, mac_admin, syslog, wake_alarm, perfmon, bpf, checkpoint_restore
    if name in ("CapEff", "CapPrm", "CapBnd", "CapAmb") and any(int(value, 16) >> one & 1 for one in
            (2, 9, 12, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 32, 33, 34, 35, 38, 39, 40)):
        print("escaped", line)
    if name == "CapInh" and int(value, 16):
        print("escaped")
""",
    ),
    _python(
        "climb out of a root folder of its own",
        NAMESPACES,
        """
os.mkdir("/tmp/jail")
os.chroot("/tmp/jail")
for _ in range(100):
    os.chdir("..")
os.chroot(".")
for folder, _, names in os.walk("@SRV@"):
    print(names)
""",
    ),
    _python(
        "climb out by a folder that was opened before",
        NAMESPACES,
        """
root = os.open("/", os.O_RDONLY)
os.mkdir("/tmp/jail")
os.chroot("/tmp/jail")
os.fchdir(root)
for _ in range(100):
    os.chdir("..")
print(os.listdir("@SRV@"[1:]))
""",
    ),
    _python(
        "open a file of the disk by its number",
        CALLS,
        """
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 8)]
for path in ("/usr", "/pfs/.scratch", "/etc/passwd"):
    handle = Handle(8, 1, (ctypes.c_ubyte * 8)(2))  # the root folder of many file systems
    if call((304, 265), os.open(path, os.O_RDONLY), ctypes.byref(handle), os.O_RDONLY) >= 0 or ctypes.get_errno() not in (1, 38):
        print("escaped")
""",
    ),
    Attempt("make the disk's device", RIGHTS, "mknod /tmp/disk b @DISK@ && head -c 1 /tmp/disk && echo escaped"),
    Attempt("make the device of the memory", RIGHTS, "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem && echo escaped"),
    Attempt(
        "open devices of the host",
        LIST,
        "for d in /dev/mem /dev/kmsg /dev/port /dev/fuse /dev/kvm /dev/loop-control /dev/sd* /dev/vd* "
        "/dev/nvme*; do head -c 0 $d && echo escaped; done",
    ),
    Attempt("make a loop device", LIST, "truncate -s 1M /tmp/i && losetup -f /tmp/i && echo escaped"),
    Attempt("read the kernel's memory", READ_ONLY, "head -c 1 /proc/kcore | grep -q . && echo escaped"),
    Attempt("mount over a folder of the host", CALLS, "mount -t tmpfs x /usr && echo escaped"),
    Attempt("mount a folder in another place", CALLS, "mount --bind / /tmp && echo escaped"),
    Attempt("make a read-only mount writable", CALLS, "mount -o remount,rw,bind /usr && echo escaped"),
    Attempt(
        "look below what hides",
        CALLS,
        "for m in /app/.local_runner /etc/passwd /proc/kcore /proc/sys /dev/shm /tmp; do umount -l $m && echo escaped; done",
    ),
    Attempt("mount another /proc", CALLS, "mount -t proc x /tmp && echo escaped"),
    Attempt("mount the disk", CALLS, "mount -t ext4 /dev/root /tmp && echo escaped; mount -t overlay -o lowerdir=/ x /tmp && echo escaped"),
    Attempt("be root of a user namespace of its own", CALLS, "unshare --map-root-user --mount true && echo escaped"),
    Attempt(
        "undo mounts in namespaces of its own", CALLS, "unshare --map-root-user --mount --pid --fork umount -l /etc/passwd && echo escaped"
    ),
    _python(
        "make namespaces by every call there is",
        CALLS,
        """
for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
    if libc.unshare(flag) == 0:
        print("escaped")
    child = call((56, 220), flag | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        print("escaped")
arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
child = call((435, 435), arguments, 88)
if child == 0:
    os._exit(0)
if child > 0:
    print("escaped")
""",
    ),
    Attempt("enter the namespaces of the launcher", CALLS, "nsenter -t 1 -m true && echo escaped; nsenter -t 1 -a true && echo escaped"),
    _python("change the root mount", CALLS, "os.mkdir('/tmp/n')\nif call((155, 41), b'/tmp', b'/tmp/n') == 0: print('escaped')"),
    _python("take a mount along by descriptor", CALLS, "if call((428, 428), -100, b'/', 1) >= 0: print('escaped')"),
    _python("make a file system without mounting it", CALLS, "if call((430, 430), b'tmpfs', 0) >= 0: print('escaped')"),
    Attempt(
        "be called by the kernel when a control group ends",
        READ_ONLY,
        "mount -t cgroup -o rdma x /tmp && echo escaped\n"
        "find /sys/fs/cgroup -name release_agent -o -name notify_on_release | head | while read f; do echo 1 > $f && echo escaped; done\n"
        "mkdir /sys/fs/cgroup/x && echo escaped; mkdir /sys/fs/cgroup/memory/x && echo escaped",
    ),
    Attempt("be called by the kernel for a crash", READ_ONLY, "echo '|/tmp/x' > /proc/sys/kernel/core_pattern && echo escaped"),
    Attempt("be called by the kernel for a module", READ_ONLY, "echo /tmp/x > /proc/sys/kernel/modprobe && echo escaped"),
    Attempt(
        "be called by the kernel for a device",
        READ_ONLY,
        "cd /sys/kernel; [ -e uevent_helper ] && echo /tmp/x > uevent_helper && echo escaped",
    ),
    Attempt(
        "be called by the kernel for a kind of program",
        READ_ONLY,
        "echo ':x:M::x::/tmp/x:' > /proc/sys/fs/binfmt_misc/register && echo escaped",
    ),
    Attempt("press the magic key", READ_ONLY, "echo h > /proc/sysrq-trigger && echo escaped"),
    Attempt(
        "change the kernel's settings",
        READ_ONLY,
        "for f in vm/drop_caches kernel/hostname kernel/randomize_va_space net/ipv4/ip_forward fs/file-max; "
        "do echo 1 > /proc/sys/$f && echo escaped; done",
    ),
    Attempt(
        "tell the hardware anything",
        READ_ONLY,
        "find /sys -type f -perm -200 2> /dev/null | head -n 50 | while read f; do echo 1 > $f && echo escaped; done",
    ),
    Attempt("name the host anew", RIGHTS, "hostname x && echo escaped"),
    Attempt("set the clock", RIGHTS, "date -s 1999-01-01 && echo escaped"),
    _python("load a module", CALLS, "if call((313, 273), 0, b'', 0) == 0 or ctypes.get_errno() != 1: print('escaped')"),
    _python(
        "run a program in the kernel",
        CALLS,
        "if call((321, 280), 5, ctypes.create_string_buffer(128), 128) >= 0 or ctypes.get_errno() != 1: print('escaped')",
    ),
    _python(
        "watch the processors",
        CALLS,
        "b = struct.pack('IIQ', 1, 112, 0).ljust(112, b'\\0')\nif call((298, 241), b, -1, 0, -1, 0) >= 0: print('escaped')",
    ),
    _python("handle faults of the kernel's", CALLS, "if call((323, 282), 0) >= 0: print('escaped')", only="sandbox"),
    _python(
        "have the kernel do its calls",
        CALLS,
        "if call((425, 425), 8, ctypes.create_string_buffer(120)) >= 0: print('escaped')",
        only="sandbox",
    ),
    _python("boot another kernel", CALLS, "if call((246, 104), 0, 0, 0, 0) == 0 or ctypes.get_errno() not in (1, 38): print('escaped')"),
    _python(
        "find a key of the host",
        CALLS,
        "if call((250, 219), 10, -4, b'user', b'@NAME@', 0) >= 0: print('escaped')\nif call((250, 219), 0, -3, 0) >= 0: print('escaped')",
    ),
)

CONNECTIONS = (
    _python(
        "talk to a service of the host", NO_NETWORK, "import socket\nprint(socket.create_connection(('127.0.0.1', @PORT@), 2).recv(100))"
    ),
    _python(
        "talk to a socket of the host that has no path",
        NO_NETWORK,
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0@ABSTRACT@')\nprint(s.recv(100))",
    ),
    _python(
        "talk to a socket of the host that has one",
        LIST,
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('@SOCKET@')\nprint(s.recv(100))",
    ),
    Attempt(
        "talk to a container engine",
        LIST,
        "for f in /run/docker.sock /run/podman /run/containerd /run/dbus; do ls $f && echo escaped; done",
    ),
    _python("talk to the world", NO_NETWORK, "import socket\nsocket.create_connection(('1.1.1.1', 53), 2)\nprint('escaped')"),
    _python("listen to the host's network", NO_NETWORK, "import socket\nif len(socket.if_nameindex()) > 1: print('escaped')"),
    _python(
        "give itself a network",
        RIGHTS,
        "import fcntl, socket\ns = socket.socket()\nfcntl.ioctl(s, 0x8914, b'lo'.ljust(16, b'\\0') + bytes(24))\nprint('escaped')",
    ),
    _python("find memory that is shared by a key", NAMESPACES, "if libc.shmget(@SHMKEY@, 0, 0) != -1: print('escaped')"),
    _python("find a message queue of the host", NAMESPACES, "if libc.msgget(@SHMKEY@, 0) != -1: print('escaped')"),
    _python("open the terminal of whoever runs this", NOTHING_OPEN, "os.open('/dev/tty', os.O_RDWR)\nprint('escaped')"),
    _python(
        "type at the terminal of whoever runs this",
        NOTHING_OPEN,
        """
import fcntl, termios
for descriptor in range(10):
    try:
        fcntl.ioctl(descriptor, termios.TIOCSTI, b"x")
        print("escaped")
    except OSError:
        pass
""",
    ),
    _python(
        "use what was left open",
        NOTHING_OPEN,
        """
for descriptor in range(3, 256):
    try:
        print("escaped", os.fstat(descriptor))
    except OSError:
        pass
""",
    ),
    Attempt("find the runner's variables", NOTHING_OPEN, "env | grep -E 'LOCAL_RUNNER|@NAME@' && echo escaped"),
    Attempt(
        "replace pachctl",
        READ_ONLY,
        "cp /bin/true /pach-bin/pachctl && echo escaped; rm -f /pach-bin/.runner && echo escaped",
        only="sandbox",
    ),
)

ATTEMPTS = (*FILES, *PROCESSES, *RIGHTS_OVER_THE_HOST, *CONNECTIONS)
