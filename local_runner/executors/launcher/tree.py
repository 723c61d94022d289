"""The description of what a datum sees, and of what its command changed; plain values, as they go through a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Tree(NamedTuple):
    """The description of `/pfs` while a datum is active (reference pps 3.1). Plain values only: it goes through a socket.

    `folder` is the datum's own, relative to `/pfs` (`.scratch/<set>/<id>/pfs/<id>`); `links` are the names in `/pfs`: name -> path
    relative to `/pfs`. In the folder stand `folders` (path, mode), parents first, and `files` (path, content). `brought` are files
    and pipes that were made elsewhere: path, where it is (relative to `/pfs`), whether it keeps that name beside the new one.
    `stored` are files that a worker on another machine makes by itself, by the hash of what they hold: path, hash, size, and whether it
    is the pipe of a lazy input; a launcher is never given any.
    The empty tree is an empty `/pfs`.
    """

    folder: str = ""
    links: Mapping[str, str] = {}  # never written to
    folders: Sequence[tuple[str, int]] = ()
    files: Sequence[tuple[str, bytes]] = ()
    brought: Sequence[tuple[str, str, bool]] = ()
    stored: Sequence[tuple[str, bytes, int, bool]] = ()


class TreeChanges(NamedTuple):
    """How a command changed a tree; paths are relative to its folder.

    `wrote` says whether anything is in `out`. `changed` are other regular files that are new or not what was laid out, `gone` those
    that were laid out and are no longer there. `unread` are inputs whose link was never followed (told by its time of access).
    """

    wrote: bool = False
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


UNTOUCHED = TreeChanges()
