"""Finds collisions in a commit: one path from two datums, or a file where a folder is (reference pfs 1.6, pps 3.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from local_runner.model.entries import Entry, parse_entry
from local_runner.repos.nodes import path_collision
from local_runner.storage.trees import Root, Trees


def first_collision(trees: Trees, base: Root, root: Root) -> str:
    """The first collision in a tree that grew out of a sound one, "" if there is none; only differences are examined.

    As on a cluster, only neighbours in byte order are compared: `/a`, `/a.txt`, `/a/x` escape (DEVIATIONS.md says so).
    """
    changed = [(key, value) for key, _, value in trees.diff(base, root)] if base is not None else None
    # Looking up two neighbours costs as much as passing over some twenty entries.
    everything = changed is None or len(changed) * 20 > trees.totals(root).entries
    pairs = pairwise(key for key, _ in trees.scan(root)) if everything else _neighbours(trees, root, changed or ())
    for left, right in pairs:
        # A path ends before the zero byte; anything that goes on with a slash lies below it.
        stem = left.partition(b"\0")[0]
        if right.startswith((stem + b"\0", stem + b"/")):
            return _describe(parse_entry(left, b""), parse_entry(right, b""))
    return ""


def _neighbours(trees: Trees, root: Root, changed: Iterable[tuple[bytes, bytes | None]]) -> Iterator[tuple[bytes, bytes]]:
    for key, value in changed:
        before = trees.before(root, key)
        after = next(trees.scan(root, key + b"\0"), None)
        line = [entry[0] for entry in (before, (key, value) if value is not None else None, after) if entry]
        yield from pairwise(line)


def _describe(left: Entry, right: Entry) -> str:
    if left.path == right.path:
        return f"duplicate path output by different datums ({left.path} from {left.tag} and {right.path} from {right.tag})"
    return path_collision(right.path)
