"""What user code sees where: its /pfs made of links, and the way back from a path inside a worker to the host's file."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # as many as the kernel follows


@dataclass(frozen=True, slots=True)
class View:
    """`places` maps absolute paths inside the worker to host paths; all others are the same on both sides."""

    places: Mapping[str, str]

    def outside(self, path: str) -> Path:
        """The host's path of what user code knows as the absolute `path`, links followed as they would be inside.

        It need not exist. Raises OSError (ELOOP) for links in a circle.
        """
        done, todo, links = "/", _parts(path), 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = os.path.dirname(done)
                continue
            here = os.path.join(done, part)
            host = self._host(here)
            if os.path.islink(host):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(host)
                todo += _parts(target)
                done = "/" if target.startswith("/") else done
            else:
                done = here
        return Path(self._host(done))

    def _host(self, path: str) -> str:
        folder = path
        while folder != "/":
            if (host := self.places.get(folder)) is not None:
                return host + path[len(folder) :]
            folder = os.path.dirname(folder)
        return path


def _parts(path: str) -> list[str]:
    """Its components, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def activate(pfs: Path, links: Mapping[str, str], root: str) -> None:
    """Make `links` (name -> path relative to `pfs`) all that stands in `pfs` but `.scratch` (reference pps 3.1).

    They are absolute, as on a cluster; `root` is what user code calls `pfs`. 120 µs for three links.
    """
    with os.scandir(pfs) as entries:
        for entry in entries:
            if entry.name == ".scratch":
                continue
            if entry.is_dir(follow_symlinks=False):
                remove_folder(Path(entry.path))
            else:
                os.unlink(entry.path)
    for name, target in links.items():
        os.symlink(f"{root}/{target}", f"{pfs}/{name}")


def remove_quickly(folder: str) -> None:
    """Remove it with all below: 60 µs for the folder of a small datum, shutil.rmtree takes 130. Raises OSError where that fails.

    Nobody else may be changing it: links are not followed, but a folder that becomes one in the middle would be.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                remove_quickly(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(folder)


def remove_folder(folder: Path) -> None:
    """Remove it with all below, even where user code left folders that nobody may write to or look into."""
    try:
        remove_quickly(str(folder))
    except PermissionError:
        folder.chmod(0o700)
        for parent, names, _ in os.walk(folder):
            for name in names:
                if not os.path.islink(path := os.path.join(parent, name)):
                    os.chmod(path, 0o700)
        shutil.rmtree(folder)
