"""Pachyderm's hash of a file that lies in a draft: its chunks are hashed side by side, where the processor can (`_lanes.c`)."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator

from local_runner.model.file_hash import Chunk, Cutter, FirstCut, Piece

Digests = Callable[[int, bytes], bytes]  # `_lanes.c` says what it is


@functools.cache
def native_digests() -> Digests | None:
    """Hashes of parts of a file; None where the extension was not built, or the processor has no such vectors."""
    try:
        from local_runner.storage._lanes import digests
    except ImportError:
        return None
    return digests


class DraftHasher:
    """As a `FileHasher`, of a content that is in an open draft by the time its hash is asked for: until then it is only cut."""

    def __init__(self, draft: int, digests: Digests, first_cut: FirstCut | None = None) -> None:
        self._draft, self._digests = draft, digests
        self._cutter = Cutter(first_cut)
        self._sizes = [0]  # of the chunks; the last one goes on

    def cut(self, content: bytes | bytearray | memoryview) -> Iterator[Piece]:
        """What comes next, for `hash`."""
        return self._cutter.cut(content)

    def hash(self, pieces: Iterable[Piece]) -> None:
        """Add what was cut."""
        for piece in pieces:
            self._sizes[-1] += len(piece.content)
            if piece.ends:
                self._sizes.append(0)

    def chunks(self) -> list[Chunk]:
        """Those of all that was added. Raises `OSError` where the draft cannot be read, `EOFError` where it is shorter."""
        if self._sizes == [0]:
            return []
        parts, offset = [], 0
        for size in self._sizes:
            parts.append(struct.pack("=QQ", offset, size))
            offset += size
        digests = self._digests(self._draft, b"".join(parts))
        return [Chunk(digests[32 * at : 32 * (at + 1)], size) for at, size in enumerate(self._sizes)]
