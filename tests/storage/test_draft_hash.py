"""The hash of a content in a draft, by parts side by side, is that of a `FileHasher`."""

from __future__ import annotations

import os
import random
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.model.file_hash import FileHasher, file_hash
from local_runner.model.ids import digest
from local_runner.storage import draft_hash, intake
from local_runner.storage.database import Database
from local_runner.storage.draft_hash import DraftHasher, native_digests

pytestmark = pytest.mark.skipif(
    native_digests() is None, reason="the C extension could not be built when local_runner was installed, or there is no AVX2"
)

RANDOM = random.Random(5).randbytes(1 << 20)
EDGES = [0, 1, 127, 128, 129, 255, 256, 257, 65_535, 65_536, 65_537, 65_663, 65_664, 65_665, 131_072]
parts = st.tuples(st.integers(0, len(RANDOM)), st.one_of(st.sampled_from(EDGES), st.integers(0, 300_000)))


@pytest.fixture(scope="module")
def file() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(RANDOM)
        file.flush()
        yield file.fileno()


@pytest.mark.parametrize("lanes", [8, 4])
@settings(max_examples=100, deadline=None)
@given(st.lists(parts, max_size=24))
def test_parts_of_a_file_have_the_hashes_they_have_one_by_one(file, lanes, wanted) -> None:
    from local_runner.storage._lanes import digests

    cut = [(offset, min(size, len(RANDOM) - offset)) for offset, size in wanted]
    found = digests(file, b"".join(struct.pack("=QQ", *part) for part in cut), lanes)
    assert found == b"".join(digest(RANDOM[offset : offset + size]) for offset, size in cut)


def test_a_file_that_is_too_short_or_cannot_be_read_is_an_error(file: int, tmp_path: Path) -> None:
    digests = native_digests()
    assert digests is not None
    with pytest.raises(EOFError):
        digests(file, struct.pack("=QQ", len(RANDOM) - 5, 6))
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        digests(folder, struct.pack("=QQ", 0, 6))
    os.close(folder)


@pytest.mark.parametrize(
    "content", [b"", b"a" * 20_000_000, bytes(41_000_000), RANDOM * 3], ids=["empty", "ends with a cut", "zeros", "random"]
)
def test_a_draft_has_the_hash_of_its_content(content: bytes) -> None:
    digests = native_digests()
    assert digests is not None
    hasher = FileHasher()
    with tempfile.TemporaryFile() as draft:
        drafted = DraftHasher(draft.fileno(), digests)
        for begin in range(0, len(content), 1 << 20):
            block = content[begin : begin + (1 << 20)]
            draft.write(block)
            hasher.update(block)
            drafted.hash(drafted.cut(block))
        draft.flush()
        assert drafted.chunks() == hasher.chunks()


@pytest.mark.parametrize("side_by_side", [True, False], ids=["side by side", "one by one"])
def test_a_large_file_is_stored_under_the_same_name_either_way(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side_by_side: bool
) -> None:
    if not side_by_side:
        monkeypatch.setattr(intake, "native_digests", lambda: None)
    content = RANDOM * 35 + b"end"
    path = tmp_path / "file"
    path.write_bytes(content)
    assert database.files.take(path).name == file_hash(content)


def test_without_the_extension_there_are_no_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "local_runner.storage._lanes", None)
    assert draft_hash.native_digests.__wrapped__() is None
