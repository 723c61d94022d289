"""Encodes a file as an entry of a tree: the key is path and datum tag, the value hash and size (FORMAT.md, *Trees*).

Byte order of keys is the order of paths, then of tags, because a path holds no byte below a blank.
"""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_TAG = "default"  # the tag of what people put; pipelines tag with datum ids


class Entry(NamedTuple):
    """A file of a commit, as its entry in the tree says."""

    path: str
    tag: str
    hash: bytes
    size: int


def entry_key(path: str, tag: str = DEFAULT_TAG) -> bytes:
    """The key of one writer's file."""
    return f"{path}\0{tag}".encode()


def entry_value(name: bytes, size: int) -> bytes:
    """The value of a file of this content."""
    return name + size.to_bytes(8, "big")


def parse_value(value: bytes) -> tuple[bytes, int]:
    """The name of a file's content, which is its hash, and its size in bytes."""
    return value[:32], int.from_bytes(value[32:], "big")


def parse_entry(key: bytes, value: bytes) -> Entry:
    """The file behind an entry."""
    path, _, tag = key.decode().partition("\0")
    return Entry(path, tag, *parse_value(value))


def file_range(path: str) -> tuple[bytes, bytes]:
    """Bounds of the keys of one file, of all its writers."""
    return f"{path}\0".encode(), f"{path}\1".encode()


def folder_range(path: str) -> tuple[bytes, bytes]:
    """Bounds of the keys of everything below a folder, given with or without its trailing slash."""
    stem = path.rstrip("/").encode()
    return stem + b"/", stem + b"0"  # "0" follows "/"
