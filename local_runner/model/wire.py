"""Fields of protobuf messages written by hand, where building a message would cost more than all else. Imports nothing."""

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
