"""Cyclic sums that the standard library has not (CRC-32C, CRC-64/NVME), for many pieces of a block at once with numpy.

A sum is linear: that of A followed by B is the sum of A, carried over as many zero bytes as B has, combined with that of B. So a
block is cut into lanes which are summed side by side, a byte of each at a time, and then joined pair by pair.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import uint64
    from numpy.typing import NDArray

_LANE = 256  # bytes; 1 MiB has 4096 lanes
_FEW = 4096  # bytes that are summed one by one sooner


class Crc:
    """A reflected cyclic sum with all bits set before and turned over after, as both of S3's are."""

    def __init__(self, polynomial: int, bits: int) -> None:
        self._polynomial, self._bits = polynomial, bits
        self._ones = (1 << bits) - 1
        self._value = self._ones

    def update(self, content: bytes, /) -> None:
        if len(content) < _FEW:
            self._value = _one_by_one(self._value, content, _table(self._polynomial))
            return
        lanes = 1 << ((len(content) // _LANE).bit_length() - 1)
        whole = lanes * _LANE
        joined = _joined(content[:whole], lanes, self._polynomial)
        self._value = _apply(_zeros(self._polynomial, self._bits, whole), self._value) ^ joined
        self.update(content[whole:])

    def digest(self) -> bytes:
        return (self._value ^ self._ones).to_bytes(self._bits // 8, "big")


@functools.cache
def _table(polynomial: int) -> tuple[int, ...]:
    def of(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        return byte

    return tuple(of(byte) for byte in range(256))


def _one_by_one(value: int, content: bytes, table: tuple[int, ...]) -> int:
    for byte in content:
        value = value >> 8 ^ table[(value ^ byte) & 255]
    return value


@functools.cache
def _zeros(polynomial: int, bits: int, size: int) -> tuple[tuple[int, ...], ...]:
    """What so many zero bytes make of a sum: a table for each of its bytes."""
    if size == 1:
        columns = [_one_by_one(1 << bit, b"\0", _table(polynomial)) for bit in range(bits)]
    else:
        half = _zeros(polynomial, bits, size // 2)  # sizes are powers of two
        columns = [_apply(half, _apply(half, 1 << bit)) for bit in range(bits)]
    tables = []
    for first in range(0, bits, 8):
        table = [0] * 256
        for value in range(1, 256):
            low = value & -value
            table[value] = table[value ^ low] ^ columns[first + low.bit_length() - 1]
        tables.append(tuple(table))
    return tuple(tables)


def _apply(tables: tuple[tuple[int, ...], ...], value: int) -> int:
    found = 0
    for position, table in enumerate(tables):
        found ^= table[value >> 8 * position & 255]
    return found


def _joined(content: bytes, lanes: int, polynomial: int) -> int:
    """The sum of a block, of a power of two of lanes, that begins with no bit set."""
    import numpy  # 125 ms, and seldom needed

    bits = 64 if polynomial >> 32 else 32
    table = numpy.array(_table(polynomial), dtype=numpy.uint64)
    columns = numpy.frombuffer(content, dtype=numpy.uint8).reshape(lanes, _LANE).T.astype(numpy.uint64)
    sums: NDArray[uint64] = numpy.zeros(lanes, dtype=numpy.uint64)
    byte, mask = numpy.uint64(8), numpy.uint64(255)
    for column in columns:
        sums = sums >> byte ^ table[sums & mask ^ column]
    size = _LANE
    while len(sums) > 1:
        carried = _carried(sums[0::2], _arrays(polynomial, bits, size), numpy)
        sums, size = carried ^ sums[1::2], size * 2
    return int(sums[0])


def _carried(sums: NDArray[uint64], tables: NDArray[uint64], numpy: Any) -> NDArray[uint64]:
    found: NDArray[uint64] = tables[0][sums & numpy.uint64(255)]
    for position in range(1, len(tables)):
        found = found ^ tables[position][sums >> numpy.uint64(8 * position) & numpy.uint64(255)]
    return found


@functools.cache
def _arrays(polynomial: int, bits: int, size: int) -> NDArray[uint64]:
    import numpy

    return numpy.array(_zeros(polynomial, bits, size), dtype=numpy.uint64)
