"""The request for a worker, as it goes to another machine and as that machine makes it its own.

What is the engine's machine's own becomes the other's: folders, the interpreter, and variables that user code has from its host.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_runner.errors import Invalid
from local_runner.executors.base import WorkerRequest
from local_runner.executors.host_env import host_env, variables
from local_runner.executors.remote.cache import ContentCache
from local_runner.executors.resources import Resources
from local_runner.model.file_hash import FileHasher

_MOST_INLINE = 64 * 1024  # bytes of a file of code that go in the request itself
_MOST_SECRETS = 4 << 20  # bytes; a Kubernetes secret has at most 1 MiB
_BLOCK = 1 << 20

# A file that stands at a path inside: path below the target ("" is the target), mode, and its bytes, or its hash, or where a link leads.
Entry = tuple[str, int, str, bytes]
IS_FOLDER, IS_LINK, IS_HERE, IS_STORED = "folder", "link", "here", "stored"


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as plain values, and the files of code that go by their hashes."""

    plain: dict[str, Any]
    files: Mapping[bytes, Path]


def send_request(request: WorkerRequest) -> SentRequest:
    """The request for another machine. Raises `Invalid` for secrets that are too large, and OSError for code that cannot be read."""
    files: dict[bytes, Path] = {}
    here = host_env()
    code = {target: list(_entries(source, files)) for target, source in request.code.items()}
    secrets = {target: list(_entries(source, None)) for target, source in request.mounts.items()}
    if sum(len(entry[3]) for entries in secrets.values() for entry in entries) > _MOST_SECRETS:
        raise Invalid("the secrets of a pipeline have more than 4 MiB", hint="put that into a repo")
    plain = {
        "name": request.name,
        "env": dict(request.env),
        "host_env": [name for name, value in here.items() if request.env.get(name) == value],
        "image": request.image,
        "rootfs": request.rootfs,
        "in_container": request.in_container,
        "code": code,
        "mounts": secrets,
        "hidden": [str(path) for path in request.hidden],
        "working_dir": request.working_dir,
        "user": request.user,
        "digest": request.digest,
        "resources": tuple(request.resources),
        "network": request.network,
    }
    return SentRequest(plain, files)


def lacking(plain: Mapping[str, Any], cache: ContentCache) -> list[bytes]:
    """The hashes of those files of code that a machine does not have."""
    stored = {content for entries in plain["code"].values() for _, _, kind, content in entries if kind == IS_STORED}
    return [name for name in stored if not cache.has(name)]


def receive_request(plain: Mapping[str, Any], place: Path, cache: ContentCache, passed_on: tuple[str, ...]) -> WorkerRequest:
    """The request on the machine where it is to be met, with files in `place`; `passed_on` are names of variables it has from this process.

    Raises OSError, and `NotKept` for a file of code that is not in the cache.
    """
    here = host_env()
    env = variables(passed_on) | dict(plain["env"])
    env |= {name: here[name] for name in plain["host_env"] if name in here}
    return WorkerRequest(
        name=plain["name"],
        pfs=place / "pfs",
        folder=place / "folder",
        env=env,
        image=plain["image"],
        rootfs=plain["rootfs"],
        in_container=plain["in_container"],
        code=_write_all(plain["code"], place / "code", cache),
        mounts=_write_all(plain["mounts"], place / "mounts", cache),
        visible=(Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix)),
        hidden=(*map(Path, plain["hidden"]), cache.folder, place.parent),  # the secrets of other pipelines are there
        working_dir=plain["working_dir"],
        user=plain["user"],
        digest=plain["digest"],
        resources=Resources(*plain["resources"]),
        network=plain["network"],
    )


def _entries(source: Path, files: dict[bytes, Path] | None) -> Iterator[Entry]:
    """What stands below a path; large files are noted in `files`, if there is room for any."""
    source = source.resolve()
    todo = [("", source)]
    while todo:
        below, path = todo.pop()
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            yield below, mode, IS_LINK, os.fsencode(os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            yield below, mode, IS_FOLDER, b""
            todo += [(f"{below}/{name}".lstrip("/"), path / name) for name in sorted(os.listdir(path))]
        elif stat.S_ISREG(status.st_mode):
            if files is None or status.st_size <= _MOST_INLINE:
                yield below, mode, IS_HERE, path.read_bytes()
            else:
                name = _hash(path)
                files[name] = path
                yield below, mode, IS_STORED, name


def _hash(path: Path) -> bytes:
    hasher = FileHasher()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.digest()


def _write_all(listed: Mapping[str, list[Entry]], place: Path, cache: ContentCache) -> dict[str, Path]:
    made = {}
    for number, (target, entries) in enumerate(listed.items()):
        place.mkdir(exist_ok=True)
        made[target] = place / str(number)
        modes = []
        for below, mode, kind, content in entries:
            path = made[target] / below if below else made[target]
            if kind == IS_FOLDER:
                path.mkdir()
                modes.append((path, mode))
            elif kind == IS_LINK:
                path.symlink_to(os.fsdecode(content))
            else:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                try:
                    if kind == IS_HERE:
                        with os.fdopen(os.dup(descriptor), "wb") as file:
                            file.write(content)
                    else:
                        cache.copy(content, descriptor)
                    os.fchmod(descriptor, mode)
                finally:
                    os.close(descriptor)
        for path, mode in reversed(modes):  # a folder that may not be written to, after what stands in it
            path.chmod(mode)
    return made
