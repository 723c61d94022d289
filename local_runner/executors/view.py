"""The way back from a path inside a worker to the host's file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # as many as the kernel follows


@dataclass(frozen=True, slots=True)
class View:
    """`places` maps absolute paths inside the worker to host paths; all others are the same on both sides, or `fetch` brings them over.

    What is fetched is not looked into: links on the way there are for `fetch` to follow. What lies in one of `hidden` is the host's own.
    """

    places: Mapping[str, str]
    fetch: Callable[[str], Path] | None = None
    hidden: tuple[str, ...] = ()

    def outside(self, path: str) -> Path:
        """The host's path of what user code knows as the absolute `path`, links followed as they would be inside.

        It need not exist. Raises OSError for links in a circle (ELOOP) or to what is hidden (ENOENT).
        """
        done, todo, links = "/", _parts(path), 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = os.path.dirname(done)
                continue
            here = os.path.join(done, part)
            host = self._host(here)
            if host is not None and os.path.islink(host):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(host)
                todo += _parts(target)
                done = "/" if target.startswith("/") else done
            else:
                done = here
        if (found := self._host(done)) is not None:
            return Path(found)
        return self.fetch(done) if self.fetch else Path(done)

    def _host(self, path: str) -> str | None:
        folder = path
        while folder != "/":
            if (host := self.places.get(folder)) is not None:
                return host + path[len(folder) :]
            if folder in self.hidden:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            folder = os.path.dirname(folder)
        return None if self.fetch else path


def _parts(path: str) -> list[str]:
    """Its components, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
