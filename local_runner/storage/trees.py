"""Sorted maps from keys to values of fixed width, kept as chunks that versions share (FORMAT.md, *Trees*).

A tree is a list of sorted entries cut after every key whose hash says so, and the same again for the list of its pieces, until one
piece is left: the root. Where a piece ends depends on its keys alone, so equal content gives equal roots whatever its history, and
changing one entry rewrites one piece a level: 8 kB for one file among 100 000 (benchmarks/store_shape.py).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple, Protocol

from local_runner.errors import Unavailable
from local_runner.model.ids import digest
from local_runner.storage.packing import deflate, inflate

Root = bytes | None  # None is the empty tree

# Pieces hold 32 entries on average: half as many make the tree a level deeper, twice as many make a small change dear.
_BITS = 5
_HEAD = struct.Struct(">BHII")  # level, width of values, number of entries, bytes of keys
_CHILD = struct.Struct(">32sQQ")  # hash, entries below, bytes below
_SIZED = 40  # values of this width are file values: 32 bytes of hash, 8 of size
_CACHED_NODES = 4096
_PACKED = b"\xff"  # the first byte of a piece that is packed; of others it is their level


class NodeStore(Protocol):
    """Stores pieces of trees: immutable, named by their hash."""

    def get_node(self, name: bytes) -> bytes: ...

    def put_node(self, name: bytes, content: bytes) -> None: ...


class Totals(NamedTuple):
    """Entries of a tree, and the sum of the sizes of its files in bytes."""

    entries: int
    size: int


class _Node(NamedTuple):
    level: int
    keys: list[bytes]
    values: list[bytes]


Edits = Mapping[bytes, bytes | None]  # a value of None takes the key away


class Trees:
    """Reads and changes trees in a node store. Keys hold no newline; all values of a tree have the same width."""

    def __init__(self, nodes: NodeStore) -> None:
        self._nodes = nodes
        self._cache: dict[bytes, _Node] = {}
        self.replaced = 0  # about how many bytes the pieces take that edits put others in place of

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, root: Root, key: bytes) -> bytes | None:
        """The value at a key, or None."""
        if root is None:
            return None
        node = self._node(root)
        while True:
            at = bisect_left(node.keys, key)
            if at == len(node.keys):
                return None
            if node.level == 0:
                return node.values[at] if node.keys[at] == key else None
            node = self._node(node.values[at][:32])

    def scan(self, root: Root, lower: bytes = b"", upper: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Entries with lower <= key < upper, in byte order of keys.

        The lowest pieces it reads are not remembered: a long list would fill the memory with them (48 MB for 100 000 files).
        """
        if root is None:
            return
        node = self._cache.get(root) or self._read(root)
        if node.level:
            self._remember(root, node)
        start = bisect_left(node.keys, lower)
        if node.level:
            for last, value in zip(node.keys[start:], node.values[start:], strict=True):
                yield from self.scan(value[:32], lower, upper)
                if upper is not None and last >= upper:
                    return
            return
        stop = len(node.keys) if upper is None else bisect_left(node.keys, upper, start)
        yield from zip(node.keys[start:stop], node.values[start:stop], strict=True)

    def before(self, root: Root, key: bytes) -> tuple[bytes, bytes] | None:
        """The last entry with a smaller key, or None."""
        if root is None:
            return None
        node = self._node(root)
        at = bisect_left(node.keys, key)
        if node.level == 0:
            return (node.keys[at - 1], node.values[at - 1]) if at else None
        if at < len(node.keys):
            found = self.before(node.values[at][:32], key)
            if found:
                return found
        return self.before(node.values[at - 1][:32], key) if at else None

    def totals(self, root: Root) -> Totals:
        """How much a tree holds, from its root alone."""
        return Totals(0, 0) if root is None else self._totals(self._node(root))

    def diff(self, old: Root, new: Root) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
        """Keys whose values differ, in order, with both values (None where absent). Shared pieces are not read."""
        ours, theirs = _Cursor(self, old), _Cursor(self, new)
        while True:
            if ours.piece is not None and ours.piece == theirs.piece:
                ours.skip()
                theirs.skip()
                continue
            # Open the higher of the two, or the one that begins first, until both stand on entries.
            if ours.level or theirs.level:
                (ours if ours.level >= theirs.level else theirs).open()
                continue
            left, right = ours.entry, theirs.entry
            if left is None and right is None:
                return
            if right is None or (left is not None and left[0] < right[0]):
                assert left is not None
                yield left[0], left[1], None
                ours.skip()
            elif left is None or right[0] < left[0]:
                yield right[0], None, right[1]
                theirs.skip()
            else:
                if left[1] != right[1]:
                    yield left[0], left[1], right[1]
                ours.skip()
                theirs.skip()

    def pieces(self, root: Root) -> Iterator[bytes]:
        """Names of all pieces of a tree, for the collector of what is unreachable."""
        if root is None:
            return
        yield root
        for child in self.children(root):
            yield from self.pieces(child)

    def children(self, root: bytes) -> list[bytes]:
        """Names of the pieces right below one, which is read anew. Raises `Unavailable` if it is missing or damaged."""
        node = self._read(root)
        return [value[:32] for value in node.values] if node.level else []

    def reach(self, root: Root, seen: set[bytes]) -> Iterator[bytes]:
        """Names of the contents that a tree leads to through pieces that are not `seen`, which grows by them. Remembers no piece."""
        waiting = [root] if root is not None else []
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            node = self._read(name)
            seen.add(name)
            if node.level:
                waiting += [value[:32] for value in node.values]
            elif len(node.values[0]) == _SIZED:
                yield from (value[:32] for value in node.values)

    # -- changing --------------------------------------------------------------------------------------------------

    def edit(self, root: Root, edits: Edits, *, packed: bool = False) -> Root:
        """The root of the tree with these changes; what is unchanged is shared with the old one.

        With `packed` its new pieces take less room, and twice as long to read: for trees that are seldom read (FORMAT.md, *Packed*).
        """
        if not edits:
            return root
        pending: dict[bytes, bytes | None] = dict(edits)
        top = -1 if root is None else self._node(root).level
        level = 0
        while True:
            pending = self._rewrite(root, top, level, pending, packed=packed)
            level += 1
            if level > top:
                break
        # Above the old root only what is new can stand.
        while len(pending) > 1:
            pieces = {key: value for key, value in pending.items() if value is not None}
            if len(pieces) < len(pending):
                pending = dict(pieces)
                continue
            pending = dict(self._cut(level, sorted(pieces.items()), packed=packed))
            level += 1
        return self._lowest_root(next(iter(pending.values()), None))

    def build(self, entries: Iterable[tuple[bytes, bytes]]) -> Root:
        """A tree of these entries, in any order."""
        return self.edit(None, dict(entries))

    def _lowest_root(self, top: bytes | None) -> Root:
        if top is None:
            return None
        name = top[:32]
        node = self._node(name)
        while node.level and len(node.keys) == 1:
            name = node.values[0][:32]
            node = self._node(name)
        return name

    def _rewrite(self, root: Root, top: int, level: int, edits: dict[bytes, bytes | None], *, packed: bool) -> dict[bytes, bytes | None]:
        """Apply edits to the pieces of one level; returns the edits of the list of pieces above."""
        above: dict[bytes, bytes | None] = {}
        ordered = sorted(edits.items())
        at = 0
        while at < len(ordered):
            piece = self._piece_for(root, top, level, ordered[at][0])
            merged: list[tuple[bytes, bytes]] = []
            while True:
                if piece is None:
                    merged += [(key, value) for key, value in ordered[at:] if value is not None]
                    at = len(ordered)
                    break
                last, node, is_final = piece
                stop = len(ordered) if is_final else _until(ordered, last, at)
                merged += _merge(node, ordered[at:stop])
                above[last] = None
                self.replaced += _weight(node) // (2 if packed else 1)
                at = stop
                # A piece that lost its closing key runs on into the next one.
                if is_final or not merged or _closes(merged[-1][0], level):
                    break
                piece = self._piece_for(root, top, level, last + b"\0")
            above.update(self._cut(level, merged, packed=packed))
        return above

    def _piece_for(self, root: Root, top: int, level: int, key: bytes) -> tuple[bytes, _Node, bool] | None:
        """The piece of a level into whose span a key falls: its last key, itself, and whether it is the final one."""
        if root is None or level > top:
            return None
        node, is_final = self._node(root), True
        while node.level > level:
            at = min(bisect_left(node.keys, key), len(node.keys) - 1)
            is_final = is_final and at == len(node.keys) - 1
            node = self._node(node.values[at][:32])
        return node.keys[-1], node, is_final

    def _cut(self, level: int, entries: list[tuple[bytes, bytes]], *, packed: bool) -> Iterator[tuple[bytes, bytes]]:
        """Store entries as pieces; yields (last key, child value) of each."""
        keys: list[bytes] = []
        values: list[bytes] = []
        for key, value in entries:
            keys.append(key)
            values.append(value)
            if _closes(key, level):
                yield key, self._store(_Node(level, keys, values), packed=packed)
                keys, values = [], []
        if keys:
            yield keys[-1], self._store(_Node(level, keys, values), packed=packed)

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _totals(self, node: _Node) -> Totals:
        if node.level:
            children = [_CHILD.unpack(value) for value in node.values]
            return Totals(sum(child[1] for child in children), sum(child[2] for child in children))
        if len(node.values[0]) != _SIZED:
            return Totals(len(node.keys), 0)
        return Totals(len(node.keys), sum(int.from_bytes(value[32:], "big") for value in node.values))

    def _store(self, node: _Node, *, packed: bool) -> bytes:
        keys = b"\n".join(node.keys)
        content = b"".join((_HEAD.pack(node.level, len(node.values[0]), len(node.keys), len(keys)), keys, *node.values))
        name = digest(content)
        # Also one that is remembered: it may have been collected since, as it was not needed.
        self._nodes.put_node(name, _PACKED + deflate(content) if packed else content)
        self._remember(name, node)
        return _CHILD.pack(name, *self._totals(node))

    def _node(self, name: bytes) -> _Node:
        node = self._cache.get(name)
        if node is None:
            node = self._read(name)
            self._remember(name, node)
        return node

    def _read(self, name: bytes) -> _Node:
        content = whole_piece(name, self._nodes.get_node(name))
        if content is None:
            raise Unavailable(f"the piece {name.hex()} of a tree is damaged", hint="run fsck to see what else is")
        level, width, count, length = _HEAD.unpack_from(content)
        begin = _HEAD.size + length
        keys = content[_HEAD.size : begin].split(b"\n")
        return _Node(level, keys, [content[at : at + width] for at in range(begin, begin + count * width, width)])

    def _remember(self, name: bytes, node: _Node) -> None:
        if len(self._cache) >= _CACHED_NODES:
            # The oldest half goes: cheaper than keeping track of every use, and scans would flush a true LRU anyway.
            for old in list(self._cache)[: _CACHED_NODES // 2]:
                del self._cache[old]
        self._cache[name] = node

    def forget(self) -> None:
        """Drop what is remembered, after a write that was taken back: its pieces may never have been stored."""
        self._cache.clear()


def whole_piece(name: bytes, stored: object) -> bytes | None:
    """What a piece says that is stored packed or plain; None if it is damaged."""
    if not isinstance(stored, bytes):
        return None
    try:
        content = inflate(stored[1:]) if stored.startswith(_PACKED) else stored
    except ValueError:
        return None
    return content if digest(content) == name else None


class _Cursor:
    """Stands before a piece or an entry of a tree; moves over it, or into it."""

    def __init__(self, trees: Trees, root: Root) -> None:
        self._trees = trees
        self._stack: list[tuple[_Node, int]] = []
        self._root = root

    @property
    def piece(self) -> bytes | None:
        """The name of the piece it stands before; None before an entry or at the end."""
        if self._root is not None:
            return self._root
        if not self._stack:
            return None
        node, at = self._stack[-1]
        return node.values[at][:32] if node.level else None

    @property
    def level(self) -> int:
        """The level of what it stands before: 0 for an entry or the end, 1 for a lowest piece …"""
        if self._root is not None:
            return self._trees._node(self._root).level + 1
        return self._stack[-1][0].level if self._stack else 0

    @property
    def entry(self) -> tuple[bytes, bytes] | None:
        if not self._stack:
            return None
        node, at = self._stack[-1]
        return node.keys[at], node.values[at]

    def open(self) -> None:
        piece = self.piece
        assert piece is not None
        self._root = None
        self._stack.append((self._trees._node(piece), 0))

    def skip(self) -> None:
        if self._root is not None:
            self._root = None
            return
        while self._stack:
            node, at = self._stack.pop()
            if at + 1 < len(node.keys):
                self._stack.append((node, at + 1))
                return


def _closes(key: bytes, level: int) -> bool:
    """Whether a piece of this level ends after this key. Each level reads other bits of one hash."""
    bits = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> (level * _BITS)
    return bits & ((1 << _BITS) - 1) == 0


def _weight(node: _Node) -> int:
    return sum(map(len, node.keys)) + len(node.values) * len(node.values[0])


def _until(ordered: list[tuple[bytes, bytes | None]], last: bytes, start: int) -> int:
    """The index after the edits whose keys do not exceed `last`."""
    low, high = start, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if ordered[middle][0] <= last:
            low = middle + 1
        else:
            high = middle
    return low


def _merge(node: _Node, edits: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes]]:
    merged: dict[bytes, bytes | None] = dict(zip(node.keys, node.values, strict=True))
    if len(edits) == 1 and edits[0][0] in merged and edits[0][1] is not None:
        merged[edits[0][0]] = edits[0][1]
        return [(key, value) for key, value in merged.items() if value is not None]
    merged.update(edits)
    return sorted((key, value) for key, value in merged.items() if value is not None)
