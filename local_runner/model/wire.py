"""Fields of protobuf messages written and found by hand, where building a message would cost more than all else. Imports nothing."""

from __future__ import annotations

_BYTES = tuple(bytes((number,)) for number in range(256))


def varint(number: int) -> bytes:
    """A number that is not negative: seven bits a byte, the lowest first, and a bit that says whether more follow."""
    if number < 0x80:
        return _BYTES[number]
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def delimited(tag: int, content: bytes) -> bytes:
    """A field with a length: bytes, text or a message; `tag` is its number and kind as one byte."""
    return _BYTES[tag] + varint(len(content)) + content


def extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of a field begins, and where it ends, whose length is written at `at`. Raises `IndexError` if the length is cut."""
    length = data[at]
    if length < 0x80:
        return at + 1, at + 1 + length
    length, shift = length & 0x7F, 7
    while True:
        at += 1
        length |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return at + 1, at + 1 + length
        shift += 7
