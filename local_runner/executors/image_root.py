"""An image as the root of a sandbox: its files, what is put over them, and who and where its programs are."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from local_runner import beneath
from local_runner.errors import Unavailable
from local_runner.executors.base import WorkerRequest
from local_runner.executors.host_files import host_paths
from local_runner.executors.users import UserFiles, find_user
from local_runner.oci.cache import ImageCache, Kept

Steps = list[tuple[str, str, str]]

# What says where this is and how others are found: every engine puts the host's over the image's.
_NAMES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what engines give to an image that says none
_TEMPORARY = ("/tmp", "/var/tmp")
_MADE_ANEW = frozenset({"proc", "dev", "pfs"})
_TRY = (
    "import sys; sys.path.append(sys.argv[1]); from local_runner.executors.launcher.mounts import try_stacking; try_stacking(*sys.argv[2:])"
)
_PACKAGE_ROOT = str(Path(__file__).parents[2])


@dataclass(frozen=True, slots=True)
class ImageRoot:
    """`trees` are the folders of its layers, the topmost first, to be stacked; or one with all that is in them, not to be written to."""

    image: Kept
    trees: tuple[Path, ...]
    is_merged: bool

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": _PATH, **self.image.config.env}

    @property
    def layers(self) -> list[str]:
        """What the launcher stacks."""
        return [] if self.is_merged else [str(tree) for tree in self.trees]

    def working_dir(self, wanted: str) -> str:
        """The image's, unless something else is wanted than the root folder."""
        return os.path.join("/", wanted if wanted not in ("", "/") else self.image.config.working_dir)

    def owner(self, wanted: str) -> tuple[int, int] | None:
        """The numbers of `transform.user`, else of the image's USER, by the image's own files; None for root. Raises `Unavailable`.

        A number need not be in them if the image names it, as engines have it.
        """
        user = wanted or self.image.config.user
        if user in ("", "0", "root", "0:0", "root:root"):
            return None
        files = UserFiles(self._read("etc/passwd"), self._read("etc/group"))
        try:
            return find_user(user, files)
        except Unavailable:
            number, _, group = user.partition(":")
            if wanted or not number.isdecimal() or (group and not group.isdecimal()):
                raise
            return int(number), int(group or 0)

    def home(self, owner: tuple[int, int] | None) -> str:
        """The home folder of a user, as his line in the image's passwd has it."""
        for line in self._read("etc/passwd").splitlines():
            fields = line.split(":")
            if len(fields) > 5 and fields[2] == str(owner[0] if owner else 0) and fields[5].startswith("/"):
                return os.path.normpath(fields[5])
        return "/" if owner else "/root"

    def steps(self, request: WorkerRequest, own: Path, env: Mapping[str, str], programs: Mapping[str, Path]) -> Steps:
        """What stands where, as mounts.py has it; makes the folders that are the worker's own in `own`. `programs` are the runner's."""
        homes = [home for home in (env.get("HOME", ""),) if home.startswith("/") and home not in ("/", *_TEMPORARY)]
        steps = self._entries() if self.is_merged else []
        private = [*_TEMPORARY, *homes] if self.is_merged else [path for path in _TEMPORARY if not self._has_folder(path[1:])]
        for number, inside in enumerate(private):
            folder = own / f"private-{number}"
            folder.mkdir()
            folder.chmod(0o1777)
            steps.append(("rw", str(folder), inside))
        steps += [("ro", path, path) for path in host_paths() if path.startswith("/sys/")]
        steps += [("ro", os.path.realpath(path), path) for path in _NAMES if os.path.isfile(path)]
        over = {**programs, **request.code, **request.mounts}
        steps += [("ro", str(source.resolve()), target) for target, source in sorted(over.items())]
        steps += [("rw", str(request.pfs.resolve()), "/pfs"), ("rw", str(request.scratch.resolve()), "/pfs/.scratch")]
        return [*steps, *(("folder", "", path) for path in (*homes, self.working_dir(request.working_dir)))]

    def _entries(self) -> Steps:
        """The root folder of a merged copy, entry by entry: beside them others may stand."""
        found: Steps = []
        for entry in sorted(os.scandir(self.trees[0]), key=lambda entry: entry.name):
            if entry.is_symlink():
                found.append(("link", os.readlink(entry.path), f"/{entry.name}"))
            elif entry.name not in _MADE_ANEW:
                found.append(("ro", entry.path, f"/{entry.name}"))
        return found

    def _has_folder(self, path: str) -> bool:
        for tree in self.trees:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return stat.S_ISDIR(os.lstat(tree / path).st_mode)
        return False

    def _read(self, path: str) -> str:
        """A small file of the image, "" if it has none; no link is followed."""
        for tree in self.trees:
            root = beneath.open_root(tree)
            try:
                with os.fdopen(beneath.open_file(root, path), "rb") as file:
                    return file.read().decode(errors="replace")
            except OSError as why:
                if why.errno not in (errno.ENOENT, errno.ENOTDIR):
                    return ""
            finally:
                os.close(root)
        return ""


def image_owner(name: str, wanted: str) -> tuple[int, int] | None:
    """As `ImageRoot.owner`, of an image that is here. Raises `NotFound`, `Unavailable`."""
    cache = ImageCache()
    image = cache.get(name)
    with cache.using(image) as trees:
        return ImageRoot(image, tuple(trees), is_merged=False).owner(wanted)


@contextlib.contextmanager
def image_root(name: str, workers_on: Path) -> Iterator[ImageRoot]:
    """The files of an image that is here, which stay until the block ends. `workers_on` is a folder on the disk that workers write to.

    Raises `NotFound`, `Unavailable`.
    """
    cache = ImageCache()
    image = cache.get(name)
    with contextlib.ExitStack() as stack:
        trees = stack.enter_context(cache.using(image))
        if all(cache.layer(tree).stackable for tree in trees) and trees and can_stack(trees[0], workers_on):
            yield ImageRoot(image, tuple(trees), is_merged=False)
        else:
            yield ImageRoot(image, (stack.enter_context(cache.merged(image)),), is_merged=True)


@dataclass(frozen=True, slots=True)
class _Disks:
    """Two disks, and a folder on each to try things in."""

    layers: int
    workers: int
    tree: str = field(compare=False)
    folder: str = field(compare=False)


def can_stack(tree: Path, workers_on: Path) -> bool:
    """Whether Linux stacks layers here for this user: only trying tells. 30 ms, once for each pair of disks."""
    return _can_stack(_Disks(os.stat(tree).st_dev, os.stat(workers_on).st_dev, str(tree), str(workers_on)))


@lru_cache(maxsize=8)
def _can_stack(disks: _Disks) -> bool:
    with tempfile.TemporaryDirectory(prefix="local_runner-", dir=disks.folder) as folder:
        places = [os.path.join(folder, name) for name in ("empty", "upper")]
        for place in places:
            os.mkdir(place)
        command = [sys.executable, "-I", "-S", "-c", _TRY, _PACKAGE_ROOT, places[0], disks.tree, places[1]]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for place in places:
            beneath.remove(place)
    return done.returncode == 0
