"""Cyclic sums that the standard library has not, against published values and against the one it has."""

from __future__ import annotations

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.s3.checksums import ALGORITHMS
from local_runner.s3.crc import Crc


def test_sums_are_the_published_ones_of_the_nine_digits() -> None:
    found = {}
    for name in ("crc32", "crc32c", "crc64nvme"):
        taken = ALGORITHMS[name]()
        taken.update(b"123456789")
        found[name] = taken.digest().hex()
    assert found == {"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888"}


@given(seed=st.binary(min_size=1, max_size=50), sizes=st.lists(st.integers(0, 40_000), max_size=4))
@settings(max_examples=30)
def test_pieces_of_any_size_sum_up_as_one(seed: bytes, sizes: list[int]) -> None:
    taken, whole = Crc(0xEDB88320, 32), b""
    for size in sizes:
        piece = (seed * (size // len(seed) + 1))[:size]
        taken.update(piece)
        whole += piece
    assert int.from_bytes(taken.digest(), "big") == zlib.crc32(whole)
