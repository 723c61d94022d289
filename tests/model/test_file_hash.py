"""Pachyderm's hash of a file at every size (reference pfs 1.8)."""

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_runner.model import file_hash as module
from local_runner.model.file_hash import MIN_CHUNK, FileHasher, file_hash, native_cut, numpy_cut
from local_runner.model.ids import digest

SEQ = b"".join(b"%d\n" % i for i in range(1, 3_000_001))
SEQ_HASH = "7c365e42690d20efad2756955ebd53778ff8eb4af488f3b0e861cdf2bc23d674"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"foo", "8724c9c674bca188e8ea868fb6cca0cb9622876efbad0ea2063e7ac51396dfc5"),
        (b"", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"),
        (bytes(999_999), "c6b58f7dc4c0ac780b6af1a3002b9795a3955d4cea62aded7029851e24ebd14b"),
        (bytes(1_000_000), "b37a23aff058344de71131e66fe81197a775590a423732362b6de95ea047e89d"),
        (SEQ[:1_988_895], "a97a22029ae611f7afc9f71941edf062a12cbae49e65a64203001882c0a3dc1b"),
        (SEQ, SEQ_HASH),
    ],
    ids=["foo", "empty", "below the first chunk", "one chunk", "seq 300000", "seq 3000000"],
)
def test_a_file_has_the_hash_a_cluster_gives_it(content, expected) -> None:
    assert file_hash(content).hex() == expected


def repeated(byte: bytes, count: int) -> Iterator[bytes]:
    while count:
        yield byte * min(count, 1 << 20)
        count -= min(count, 1 << 20)


def pseudo_random() -> Iterator[bytes]:
    block = b""
    for _ in range(400_000):
        block = sha256(block).digest()
        yield block


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (repeated(b"\0", 41_000_000), "dc88e9b872a86d24a99cd33bc4d5f21948a778ea3eb1716e26c2f952e70638c7"),
        (repeated(b"a", 20_000_000), "b3e95c8ce08ff7691aae5b83f8591b853e51e47f2ef0fe7ffebffb5d0b6a3a24"),
        (repeated(b"a", 30_000_000), "ede039fa022da1985ef2f5992650e46ef02e862b7c6cebebda7fdc77c41f3573"),
        (iter([b"".join(pseudo_random())]), "c763f648abc689a3d892c09f6abb53b7d2bb233ebf6efb6076baaf7148f59d53"),
    ],
    ids=["longest chunks", "shortest chunks and an empty one", "more of them", "pseudo-random"],
)
def test_a_stream_has_the_hash_of_its_chunks(blocks, expected) -> None:
    hashers = [FileHasher(), FileHasher(numpy_cut)]
    for block in blocks:
        for hasher in hashers:
            hasher.update(block)
    assert [hasher.digest().hex() for hasher in hashers] == [expected, expected]


def test_a_cut_at_the_longest_chunk_leaves_an_empty_chunk_at_the_end() -> None:
    assert file_hash(bytes(20_000_000)) == digest(digest(bytes(20_000_000)) + digest(b""))


@settings(max_examples=20, deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 2_500_000), max_size=8), st.integers(1, 2_500_000))
def test_the_pieces_a_file_comes_in_do_not_matter(ends, size) -> None:
    content = SEQ[:size]
    hasher = FileHasher()
    begin = 0
    for end in [*sorted(ends), size]:
        hasher.update(memoryview(content)[begin:end])
        begin = max(begin, end)
    assert hasher.digest() == file_hash(content)


def test_a_digest_may_be_asked_for_in_between() -> None:
    hasher = FileHasher()
    hasher.update(SEQ[:1_500_000])
    assert hasher.digest() == file_hash(SEQ[:1_500_000])
    hasher.update(SEQ[1_500_000:])
    assert hasher.digest().hex() == SEQ_HASH


def slow_cut(window: bytes, block: bytes, mask: int) -> int:
    """The rolling hash as it is defined, byte by byte: every constant turned by its distance from the end of the window."""
    constants = [int(word, 16) for word in module._CONSTANTS.split()]
    last = deque(window, maxlen=64)
    for end, byte in enumerate(block, 1):
        last.append(byte)
        rolling = 0
        for distance, value in enumerate(reversed(last)):
            word = constants[value] << distance
            rolling ^= (word | word >> 64) & (1 << 64) - 1
        if not rolling & mask:
            return end
    return 0


RANDOM = b"".join(sha256(bytes([i % 256, i // 256])).digest() for i in range(4000))

native = pytest.mark.skipif(native_cut() is None, reason="the C extension could not be built when local_runner was installed")


@pytest.fixture
def frequent_cuts(monkeypatch):
    """A mask of six bits instead of 23, so that a cut comes every 64 bytes or so."""
    yield from cuts_with(63, monkeypatch)


@pytest.fixture
def rare_cuts(monkeypatch):
    """A mask of 14 bits, so that a cut comes every 16 KiB or so."""
    yield from cuts_with((1 << 14) - 1, monkeypatch)


def cuts_with(mask: int, monkeypatch) -> Iterator[int]:
    monkeypatch.setattr(module, "_CUT_MASK", mask)
    module._tables.cache_clear()
    yield mask
    module._tables.cache_clear()


@pytest.mark.parametrize("first_cut", [numpy_cut, pytest.param(native_cut(), marks=native)], ids=["numpy", "C"])
def test_the_rolling_hash_is_the_one_that_rolls_byte_by_byte(frequent_cuts, first_cut) -> None:
    found = []
    for begin in range(63, 5000, 97):
        window, block = RANDOM[begin - 63 : begin], RANDOM[begin : begin + 300]
        cut = first_cut(window, memoryview(block))
        assert cut == slow_cut(window, block, frequent_cuts)
        found.append(cut)
    assert len(set(found)) > 10


@native
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(63, 30_000), st.integers(0, 100_000), st.binary(max_size=200))
def test_numpy_and_the_extension_cut_at_the_same_places(rare_cuts, begin, size, more) -> None:
    window, block = RANDOM[begin - 63 : begin], memoryview(RANDOM[begin : begin + size] + more)
    extension = native_cut()
    assert extension is not None
    at = 0
    while cut := extension(window, block[at:]):
        assert cut == numpy_cut(window, block[at:])
        at += cut
        window = bytes(63)  # a chunk begins with what came before it forgotten; any window will do
    assert numpy_cut(window, block[at:]) == 0


@native
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4_000_000), max_size=6), st.integers(1, 4_000_000), st.integers(0, 100))
def test_numpy_and_the_extension_give_a_file_the_same_hash(ends, size, skipped) -> None:
    content = memoryview(SEQ)[skipped : skipped + size]
    hashers = [FileHasher(numpy_cut), FileHasher(native_cut())]
    for hasher in hashers:
        begin = 0
        for end in [*sorted(ends), size]:
            hasher.update(content[begin:end])
            begin = max(begin, end)
    assert len({hasher.digest() for hasher in hashers}) == 1


@native
def test_the_extension_refuses_what_it_cannot_compute_with() -> None:
    from local_runner.model._cuts import first_cut

    with pytest.raises(ValueError, match="256 aligned words"):
        first_cut(bytes(8), 1, bytes(63), b"")
    with pytest.raises(ValueError, match="tail of 63 bytes"):
        first_cut(bytes(2048), 1, bytes(62), b"")


def test_numpy_is_loaded_only_where_there_are_cuts_to_find_and_no_extension() -> None:
    program = f"""
import sys
from local_runner.model.file_hash import FileHasher, file_hash, native_cut
hasher = FileHasher()
hasher.update(bytes({MIN_CHUNK - 1}))
assert hasher.digest() == file_hash(bytes({MIN_CHUNK - 1}))
assert "numpy" not in sys.modules
hasher.update(bytes(1))
hasher.digest()
assert ("numpy" in sys.modules) == (native_cut() is None)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
