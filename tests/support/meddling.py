"""User code that does to its datum's folder what the file in `in` says, after it has printed what it found. Standard library only.

It runs in executors, as text after `python -c`, and in folders made by tests for it, to see what it does there. An operation that
cannot be done is passed over.
"""

import base64
import hashlib
import json
import mmap
import os
import shutil
import stat
import sys
import time
from typing import Any

HELD: list[int] = []  # folders of former datums that a batching process keeps open


def seen(own: str) -> list[list[Any]]:
    """Everything a datum finds below its own folder, but times, numbers of inodes, and the content of `.env`."""
    found = []
    for folder, names, files in os.walk(own):
        for name in ["", *files, *(name for name in names if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name).rstrip("/")
            status = os.lstat(path)
            what: Any = None
            if stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(status.st_mode) and name != ".env":
                with open(path, "rb") as file:
                    what = hashlib.sha256(file.read()).hexdigest()
            links = status.st_nlink if name else 0
            attributes = sorted(os.listxattr(path, follow_symlinks=False)) if not stat.S_ISFIFO(status.st_mode) else []
            found.append([os.path.relpath(path, own), oct(status.st_mode), status.st_uid, links, what, attributes])
    return sorted(found, key=lambda entry: entry[0])


def do(folder: str, verb: str, first: str, second: str) -> None:
    """One operation; paths are relative to the datum's folder."""
    one, two = os.path.join(folder, first), os.path.join(folder, second)
    if verb == "write":
        with open(one, "w") as file:
            file.write(second)
    elif verb == "copy with dates":
        shutil.copytree(one, two, dirs_exist_ok=True, symlinks=True)
    elif verb == "dates":
        shutil.copystat(one, two)
    elif verb == "old":
        os.utime(one, ns=(1, 1))
    elif verb == "hard link":
        os.link(one, two)
    elif verb == "link":
        os.symlink(os.path.relpath(one, os.path.dirname(two)), two)
    elif verb == "move":
        os.rename(one, two)
    elif verb == "folder":
        os.makedirs(one)
    elif verb == "mode":
        os.chmod(one, int(second, 8))
    elif verb == "attribute":
        os.setxattr(one, "user.left", second.encode())
    elif verb == "access list":
        os.setxattr(one, "system.posix_acl_default", base64.b64decode("AgAAAAEABwD/////BAAFAP////8gAAUA/////w=="))
    elif verb == "remove":
        shutil.rmtree(one) if os.path.isdir(one) and not os.path.islink(one) else os.unlink(one)
    elif verb == "map":
        with open(one, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            before = os.stat(one)
            memory[0:1] = b"#"
            memory.flush()
            os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif verb == "pipe":
        os.mkfifo(one)
    elif verb == "hold":
        HELD.append(os.open(one, os.O_RDONLY | os.O_DIRECTORY))
    elif verb == "daemon":
        stay(folder, one)
    elif verb == "fail":
        raise SystemExit(3)


def late(descriptor: int) -> None:
    """Write into a folder of a former datum."""
    for name in ("late", "out/late", "in/late", "x/late"):
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
        except OSError:
            continue


def stay(folder: str, place: str) -> None:
    """Leave a process in a session of its own that writes into a folder once its datum is over."""
    descriptor, own = os.open(place, os.O_RDONLY | os.O_DIRECTORY), os.path.dirname(os.path.dirname(folder))
    if os.fork():
        os.close(descriptor)
        return
    os.setsid()
    if not os.fork():
        for number in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        os.chdir(place)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            if not os.path.exists(own):
                for _ in range(100):
                    late(descriptor)
                    late(os.open(".", os.O_RDONLY))
                    time.sleep(0.002)
                break
            time.sleep(0.001)
    os._exit(0)


def meddle(folder: str) -> None:
    """With a datum's folder, as its file says."""
    top = os.path.join(folder, "in")
    name = min(os.listdir(top))
    print(json.dumps([name, seen(os.path.dirname(os.path.dirname(folder)))]), flush=True)
    for descriptor in HELD:
        late(descriptor)
    with open(os.path.join(top, name)) as file:
        ops = json.load(file)
    for verb, first, second in ops:
        try:
            do(folder, verb, first, second)
        except (OSError, shutil.Error, ValueError):
            continue


def meddle_with_datum() -> None:
    meddle(os.path.dirname(os.readlink("/pfs/out")))


if __name__ == "__main__" and sys.argv[1:]:
    meddle_with_datum() if sys.argv[1] == "/pfs" else meddle(sys.argv[1])
