"""Pachyderm's hash of a file, exact at every size (reference pfs 1.8): content-defined chunks, each hashed, and the hash of those.

The cuts between chunks come from a rolling hash over 64 bytes (buzhash64). `_cuts.c` computes it at 1.4 GB/s where it could be built;
else numpy does, at 0.13 GB/s. Both find the same cuts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from local_runner.model.ids import digest, new_hash

if TYPE_CHECKING:
    from numpy import intp, uint64
    from numpy.typing import NDArray

MIN_CHUNK, MAX_CHUNK = 1_000_000, 20_000_000  # bytes
_WINDOW = 64
_CUT_MASK = (1 << 23) - 1  # a chunk may end where these bits of the rolling hash are zero
_BLOCK = 64 * 1024  # numpy's arrays of a block stay in the second-level cache: 345 MB/s, with 4 KiB 230, with 1 MiB 130

FirstCut = Callable[[bytes, memoryview], int]  # `numpy_cut` says what it is


class Piece(NamedTuple):
    """Part of a file that lies in one chunk, and whether the chunk ends with it."""

    content: memoryview
    ends: bool


class Cutter:
    """Cuts a file that comes in pieces into those of its chunks."""

    def __init__(self, first_cut: FirstCut | None = None) -> None:
        self._first_cut = first_cut
        self._size = 0  # of the chunk so far
        self._tail = b""  # the last bytes before the next one, up to a window less one

    def cut(self, content: bytes | bytearray | memoryview) -> Iterator[Piece]:
        """Cut the next bytes of the file into pieces of chunks; the iterator must be used up. Best with 64 KiB and more."""
        view = memoryview(content)
        while view:
            # No chunk ends within its first MIN_CHUNK - 1 bytes, so there only the last window need be kept.
            quiet = MIN_CHUNK - 1 - self._size
            if quiet > 0:
                piece = Piece(view[:quiet], ends=False)
            else:
                self._first_cut = self._first_cut or native_cut() or numpy_cut
                piece = self._piece(self._first_cut, view[: MAX_CHUNK - self._size])
            count = len(piece.content)
            self._size = 0 if piece.ends else self._size + count
            self._tail = b"" if piece.ends else (self._tail + view[max(0, count - _WINDOW + 1) : count])[-_WINDOW + 1 :]
            view = view[count:]
            yield piece

    def _piece(self, first_cut: FirstCut, block: memoryview) -> Piece:
        cut = first_cut(self._tail, block)
        return Piece(block[: cut or len(block)], ends=bool(cut) or self._size + len(block) == MAX_CHUNK)


class Chunk(NamedTuple):
    """What a file is cut into: its own BLAKE2b, and its size in bytes."""

    digest: bytes
    size: int


class FileHasher:
    """The hash of a file that comes in pieces; best in pieces of 64 KiB and more. It remembers no bytes, only the chunks' hashes.

    Who has two cores cuts in one thread and hashes the chunks in another: `update` is `hash` of what a `Cutter` gives.
    """

    def __init__(self, first_cut: FirstCut | None = None) -> None:
        self._cutter = Cutter(first_cut)
        self._whole: list[Chunk] = []
        self._chunk, self._size = new_hash(), 0

    def update(self, content: bytes | bytearray | memoryview) -> None:
        """Add what comes next."""
        self.hash(self.cut(content))

    def cut(self, content: bytes | bytearray | memoryview) -> Iterator[Piece]:
        """What comes next, for `hash`."""
        return self._cutter.cut(content)

    def hash(self, pieces: Iterable[Piece]) -> None:
        """Add what was cut."""
        for piece in pieces:
            self._chunk.update(piece.content)
            self._size += len(piece.content)
            if piece.ends:
                self._whole.append(Chunk(self._chunk.digest(), self._size))
                self._chunk, self._size = new_hash(), 0

    def chunks(self) -> list[Chunk]:
        """Those of all that was added so far; of what ends with a cut the last one is empty, and nothing has none."""
        if not self._whole and not self._size:
            return []
        return [*self._whole, Chunk(self._chunk.digest(), self._size)]

    def digest(self) -> bytes:
        """The hash of all that was added so far."""
        return hash_of_chunks(self.chunks())


def hash_of_chunks(chunks: Iterable[Chunk]) -> bytes:
    """The hash of a file, from those of its chunks."""
    return digest(b"".join(chunk.digest for chunk in chunks))


def file_hash(content: bytes) -> bytes:
    """The hash of a file that is in memory; 32 bytes."""
    if 0 < len(content) < MIN_CHUNK:
        return digest(digest(content))  # what a FileHasher makes of it, in 1 µs for a small file instead of 2
    hasher = FileHasher()
    hasher.update(content)
    return hasher.digest()


@functools.cache
def native_cut() -> FirstCut | None:
    """`numpy_cut`, computed by `_cuts.c`; None where that was not built."""
    try:
        from local_runner.model._cuts import first_cut
    except ImportError:
        return None
    from array import array

    words = array("Q", _constants())
    return lambda tail, block: first_cut(words, _CUT_MASK, tail, block)


def numpy_cut(tail: bytes, block: memoryview) -> int:
    """The number of bytes of the block up to the end of the chunk, 0 if it goes on. `tail` are the 63 bytes before the block."""
    for begin in range(0, len(block), _BLOCK):
        part = block[begin : begin + _BLOCK]
        if cut := _first_cut(tail, part):
            return begin + cut
        tail = (tail + part[-_WINDOW + 1 :])[-_WINDOW + 1 :]
    return 0


class _Tables(NamedTuple):
    """Constants of `_first_cut`, by place in a block: `turned[offsets + byte]` for each byte, `masks` for each possible cut."""

    turned: NDArray[uint64]
    offsets: NDArray[intp]
    masks: NDArray[uint64]


@functools.cache
def _tables() -> _Tables:
    import numpy as np  # 125 ms, and only large files need it

    turns = np.arange(_WINDOW, dtype=np.uint64)[:, np.newaxis]
    constants = np.array(_constants(), np.uint64)
    mask = np.uint64(_CUT_MASK)
    turned = (constants >> turns) | (constants << (_WINDOW - turns) % _WINDOW)
    masks = ((mask >> turns) | (mask << (_WINDOW - turns) % _WINDOW)).ravel()
    places = np.arange(_BLOCK + _WINDOW - 1) % _WINDOW
    return _Tables(turned.ravel(), places * 256, masks[places[_WINDOW - 1 :]])


def _first_cut(tail: bytes, block: memoryview) -> int:
    """`numpy_cut` of at most _BLOCK bytes.

    The rolling hash is the xor of the constants of the last 64 bytes, each turned left by its distance. Turned right by its place
    instead, a byte counts the same for every window it is in; then a window is the xor of two running xors, turned left by the place
    where it ends, and the mask can be turned in its stead.
    """
    import numpy as np

    tables = _tables()
    size = _WINDOW - 1 + len(block)
    running = np.zeros(size + 1, np.uint64)
    places = np.frombuffer(tail + block, np.uint8) + tables.offsets[:size]
    np.bitwise_xor.accumulate(tables.turned[places], out=running[1:])
    windows = running[_WINDOW:] ^ running[:-_WINDOW]
    cuts = np.flatnonzero((windows & tables.masks[: len(block)]) == 0)
    return int(cuts[0]) + 1 if len(cuts) else 0


def _constants() -> list[int]:
    return [int(word, 16) for word in _CONSTANTS.split()]


_CONSTANTS = """
    4d65822107fcfd52 78629a0f5f3f164f 55104dc76695721d 380704bb7b4d7c03 365a858149c6e2d1 57e9d1860d1d68d8 0866cb397916001e
    1408d2ac22c4d294 0c697f48392907a0 268447a4189deb99 41f27cc6f3875d04 68255aaf95e94627 1b6cffa2ba517936 30b95ff183c471d4
    28b621587cb3ad0b 3c04951aa42655d9 243a768b7c4e0b68 25845c95d4491d1b 56ec3f2525632186 1bf98be2a9d78d73 1a02070f169c1121
    2e3108dabb158644 490bd268b68e6a3f 6e661e92759805f5 2584c47f2cdf5b8a 2606cd2b57d29245 6054502fc5d6d268 1a714cf86b83d0e2
    6ec34c367674cb74 592e17f7b068d9db 430c8b35bb9457d8 039f6f78a15d523b 144419db794209ff 4dba7b0f9da1d7eb 7cd4b7a55a25e0cb
    0a2b894cf840ec4b 4c22b02936d4ff9b 079143f7f4a5ee3b 589442fd5ad145f4 26984b92f6740304 162d968d3f71f8cb 4542c29291018d7c
    45a6e3cafccae224 23a62343b186b51f 3629d9f17d9e8fbc 43ea3b9393f93f33 207403def63a5b6f 241b3ae419476c36 64f1017fbc897d06
    2e4fa459169873f5 70b5a315724c7af1 2607c649581eeb39 727a71f52257bb7d 0c7964976f269a28 7d0b9ca8be8e9981 09825e117039374b
    1c73fac825416fed 572d92faded7e411 1ee9f7676678e7aa 27dff7ab244fcd36 7767830356aa6b86 5ef4e81ede4561ad 6688f8bd3e99b0a8
    5d78399cbed80a3a 176a156ae58348b0 36d467a4af63e58d 72d0a1e9406aec9d 57613082c233f007 7d4d8e9fa5ead0bd 760b0d22050143a6
    0ba08e4b738b6829 3f1f46e83699caf3 76a780ea967cd710 7a3ba6f606f665a6 2c89c16725fd3d7f 586d68260fd6e479 5aff01c926fbf29b
    4829ee0716de4c35 5322787c2bf3394b 46a03cb44af864ba 60bed31f1cb9e6c6 33afd37941439089 10b92d0169a39144 7e34179dc34f182d
    72bb5389421657ff 293a0c2bf9fc6568 5c4e91e98b02c917 528047936c9c64b7 0af2560383d17909 55b4a4b2ea3d4ca5 4fb58fbeaf635d47
    2f5218587fc78769 1e503382be14186f 44841df33539b1ea 17f7ae24e9174548 1e925507c051e18a 5065855807b73658 103970a329ec300c
    2402a18da250bf34 3485757ea7ed5d97 37ab3641fe3dea79 50031d27b8b352f7 466b36dbc9b344e9 4fd269fd8e5f0475 5d55cb471941e52a
    6a4eef7a2694763d 0010d6326b40eabc 5e377ef58485d68b 3332aafe336eacca 3fba24704399a363 4d4f278a67149b9c 346e5f29ae10a901
    03cc44bf5a5ffefb 003e6306563b26de 005d29286f00f02b 7539a2019f06397d 4b7fafc3545836c4 479a2bf931d6416b 685f325712f4128d
    7062b076752f33ff 3aae3e3e4a305605 4cd239ea0c8dc214 035ca80d72521a90 6c443faf8eb3e4a1 1ff5f26283efc6c6 5225fcd6090ec04f
    1facfc5dc1540864 163a5aceec2c8aaa 4bdb185b70ab53ba 683e14a538d3b494 58cfb024878d4063 03e19bf7a317ae3f 4504d6353cb62f07
    7ce2e98ef360412c 601900fb4ffbf3a9 25a1ffb522d554b4 606796b83f190476 1352ca320796a710 2d89c820f5c353cf 6a7cb5cf04f59bb7
    1dac9b582d230176 505ce263e2d6a9ce 3fcb626c3f1d7427 0b7fbfbcafd915bb 03398e40b01aa47d 323423cfcde2c269 4b70e7ac7417bf38
    76fd839a1e094f9a 493a23eb55ece0ea 4b56783ccb94539b 34b4a3c813d346b5 46baf44754e0c0c1 3eecfdbc6db30e37 7a9e3bdcdc02b390
    660aedf1a6e222f5 0dbeaa0fe2f8c1fe 643a7d712e166bdf 32560c7a67588a74 10b166a221898f34 1852fe624c330f1d 5eb29c7719af53ba
    53b7a0ff70658b94 0c97d70a133c9673 429bd23a4efeeadd 0cc3f10e0f212551 136f9ac7070f0914 09c09a3e6f241c57 2858bd10f13e41b7
    146f70ff3be70cb0 11a39040f4b6f47f 294b4e8e20f31127 450064ce6551cb89 4911aa87289cbd2c 41a2d5288946f23d 57930cf840a79c3b
    5396d24a03c6d982 4322cee10365790c 53bf1faf0cf52517 5bb1f57b0bb131e8 517d8ebf3da5475c 01a44786139efcca 03ed64e9bcd44eb4
    0c8c4694a54af747 2f3f0d6fb73c32ed 69c93fb09f6c47ac 2c80d58fe8ba8f22 2c1283b654043a66 20624c583b0a7f20 1bb55397b4926431
    470a4f5ae17c02d5 33770eb58f0d2558 40d4e552014fbff2 15974b9d7f803594 2a6a467079b76fbe 69f98c4033fe2656 59a30874792c8ee8
    076a20af6b41292d 7fe4754afdff9c32 34ad5ac882093298 0e4b5ac059483870 63efbff5b2d5a113 0bca82a42dd96e5a 06d8e96f5b8e56a9
    5b7b2709ebd9dda9 2018fa6e04f9ce92 6ca000e8cb440950 7ca82947a67e52b1 1b35327a49f6d261 02c19e7792417fc3 78fc24541c3b6bd9
    0be67230b027b7e0 52aaab031f765a41 27ebdd8f44c9ab40 396747c045d99121 3e5ddb0efd7a84af 0a8eb1ac99b75788 55fe7f03e3abff4a
    33395eafa88aa67f 733c374d736e41cc 7995c5dc9cbcbe5e 28dfd8d37b3ccebc 3febdd25e1b7fa93 33415dbd315ae6af 0289172b9cced2e2
    5290a23119ea0f2f 36df4331a9770722 2b77e80684a6bfdc 7197e13488f03f07 1e3ffa8aa44a03a4 61ebca0827a6b885 04939bb8b580c8ba
    5d214064018153da 501b6a22b648e604 41acd9f551180278 0945fcdd893a310f 5cb389ac728f5f4c 709ec18437f5198b 7d275a873cc0ea9b
    6c7ae37ae39d02db 6a85764813883142 1fb95e8cca599392 74ea42afc12d154e 099ad1bdc176163d 6ae4ae6d5c92e2b8 508df0dcf9f95ede
    60390908b802bdfc 50e57d0f8a928585 0c68571ddca6e10b 01e5dcfd887953e8 4abb18c948b9e962 08cd00c4e533e9a3 7fc76fad5e0ce6e5
    53189b251dba77ae 7e23bc6fc8214b8a 6adaea4753b428d7 2a80d0564cf20a65
"""
