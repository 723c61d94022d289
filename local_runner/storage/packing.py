"""Deflates small documents that are alike, and pieces of trees, for the room they take (FORMAT.md, *Packed*)."""

from __future__ import annotations

import zlib

_LEVEL, _WINDOW, _MEMORY = 6, -12, 5  # no head and no sum: what is packed is named by the hash of what it was


def deflate(content: bytes, dictionary: bytes = b"") -> bytes:
    """A content in fewer bytes, if there is anything to save. What `dictionary` has, too, takes next to nothing."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return packer.compress(content) + packer.flush()


def inflate(packed: bytes, dictionary: bytes = b"") -> bytes:
    """The content again. Raises ValueError for bytes that nothing was deflated to."""
    try:
        return zlib.decompressobj(_WINDOW, dictionary).decompress(packed)
    except zlib.error as error:
        raise ValueError(str(error)) from None
