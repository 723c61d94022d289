"""Files and the folders they imply, with Pachyderm's hashes and sizes (reference pfs 1.7, 1.8)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from local_runner.errors import LocalRunnerError
from local_runner.model.entries import file_range, folder_range, parse_value
from local_runner.model.globs import Glob
from local_runner.model.ids import new_hash
from local_runner.storage.trees import Root, Trees


def path_collision(path: str) -> str:
    """The sentence about a path that lies below a file."""
    return f"file / directory path collision ({path})"


class Node(NamedTuple):
    """A file, or a folder (path with trailing slash); `tag` is the datum that wrote a file."""

    path: str
    hash: bytes
    size: int
    tag: str = ""


@dataclass(slots=True)
class _Folder:
    """A folder whose end is not reached yet; its hash and size are summed up as its children come."""

    path: str
    hash: blake2b = field(default_factory=new_hash)
    size: int = 0


def files_below(trees: Trees, root: Root, folder: str = "/") -> Iterator[Node]:
    """All files below a folder, in path order."""
    return _files(trees, root, *folder_range(folder))


def _files(trees: Trees, root: Root, lower: bytes, upper: bytes) -> Iterator[Node]:
    for key, value in trees.scan(root, lower, upper):
        path, _, tag = key.decode().partition("\0")
        yield Node(path, *parse_value(value), tag)


def file_at(trees: Trees, root: Root, path: str) -> Node | None:
    """The file of exactly this path."""
    return next(_files(trees, root, *file_range(path)), None)


def with_folders(files: Iterable[Node], top: str = "/") -> Iterator[Node]:
    """The files and every folder from `top` down, a folder after what it holds; nothing if there is no file.

    Raises `LocalRunnerError` for a file that lies below a file, as it may in an open commit (reference pfs 1.6).
    """
    stack: list[_Folder] = []
    below = top + "/"  # what a path below the last file begins with: of none, no path
    for node in files:
        if node.path.startswith(below):
            raise LocalRunnerError(path_collision(node.path), hint="delete one of them; the commit could not be finished well either")
        below = node.path + "/"
        if not stack:
            stack.append(_Folder(top))
        while not node.path.startswith(stack[-1].path):
            yield _close(stack)
        begin = len(stack[-1].path)
        while (slash := node.path.find("/", begin)) >= 0:
            begin = slash + 1
            stack.append(_Folder(node.path[:begin]))
        stack[-1].hash.update(node.hash)  # as model.ids.directory_hash
        stack[-1].size += node.size
        yield node
    while stack:
        yield _close(stack)


def _close(stack: list[_Folder]) -> Node:
    folder = stack.pop()
    node = Node(folder.path, folder.hash.digest(), folder.size)
    if stack:
        stack[-1].hash.update(node.hash)  # as model.ids.directory_hash
        stack[-1].size += node.size
    return node


def node_at(trees: Trees, root: Root, path: str) -> Node | None:
    """The file or folder at a path, given without trailing slash."""
    found = file_at(trees, root, path)
    if found:
        return found
    top = path if path == "/" else path + "/"
    # The folder itself comes after all it holds.
    return next(iter(deque(with_folders(files_below(trees, root, path), top), maxlen=1)), None)


def children(trees: Trees, root: Root, path: str, after: str = "") -> Iterator[Node]:
    """The direct children of a folder, in path order, those after a path; or the file itself; nothing for a missing path."""
    found = file_at(trees, root, path)
    if found and found.path > after:
        yield found
    top = path if path == "/" else path + "/"
    lower, upper = folder_range(path)
    if after > top:  # nothing that stands before it is looked at; a folder it lies in comes before, too
        lower = max(lower, (folder_range(after) if after.endswith("/") else file_range(after))[1])
    for node in with_folders(_files(trees, root, lower, upper), top):
        if node.path > max(after, top) and "/" not in node.path[len(top) : -1]:
            yield node


def walk(trees: Trees, root: Root, path: str) -> Iterator[Node]:
    """A folder with everything below it, each folder before what it holds; or a file."""
    found = file_at(trees, root, path)
    if found:
        yield found
    top = path if path == "/" else path + "/"
    yield from sorted(with_folders(files_below(trees, root, path), top))


def matching(trees: Trees, root: Root, glob: Glob) -> Iterator[Node]:
    """Files and folders a pattern matches, in path order (reference pps 1.5). The root matches `/` alone."""
    if glob.pattern == "/":
        found = node_at(trees, root, "/")
        if found:
            yield found
        return
    # Whatever a matched folder holds begins with the prefix, too. Folders above it are incomplete here, and match nothing.
    prefix = glob.literal_prefix.encode()
    nodes = with_folders(_files(trees, root, prefix, prefix + b"\x7f"), "/")
    if glob.depth is not None:
        # Matches of one depth do not contain each other, so they come in path order already.
        slashes = glob.depth
        chosen = (n for n in nodes if n.path.count("/", 0, -1) == slashes)
        yield from (node for node in chosen if glob.matches(node.path))
    else:
        yield from sorted(node for node in nodes if node.path != "/" and glob.matches(node.path))
