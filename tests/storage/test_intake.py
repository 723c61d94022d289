"""Large content on its way in, in one pass and by several threads."""

import io
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from local_runner.model.file_hash import file_hash
from local_runner.storage import intake
from local_runner.storage.database import Database
from local_runner.storage.intake import Stream
from local_runner.storage.sums import sums_of

MEBI = 1 << 20
LARGE = random.Random(7).randbytes(21 * MEBI + 12_345)  # more than one thread takes in alone, and two chunks at least
HOLEY = LARGE[: 9 * MEBI] + bytes(4 * MEBI) + LARGE[:70_000] + bytes(2 * MEBI)


def as_file(content: bytes, folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


WAYS: dict[str, Callable[[bytes, Path], object]] = {
    "bytes": lambda content, _: content,
    "path": as_file,
    "stream": lambda content, _: io.BytesIO(content),
    "pieces": lambda content, _: Stream(iter([content[:100], b"", content[100 : 11 * MEBI], content[11 * MEBI :]])),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("whole", [LARGE, HOLEY], ids=["full", "with holes"])
def test_large_content_comes_in_whole_whatever_brings_it(database: Database, tmp_path: Path, way: str, whole: bytes) -> None:
    content = database.files.take(WAYS[way](whole, tmp_path))  # type: ignore[arg-type]
    assert (content.name, content.size, content.sums) == (file_hash(whole), len(whole), sums_of(whole))
    path = database.files.path(content.name)
    assert path.read_bytes() == whole
    assert path.stat().st_mode & 0o777 == 0o444


def test_holes_are_left_holes(database: Database, tmp_path: Path) -> None:
    content = database.files.take(as_file(HOLEY, tmp_path))
    assert database.files.path(content.name).stat().st_blocks * 512 < 11 * MEBI


def test_a_file_is_read_from_where_its_reader_stands(database: Database, tmp_path: Path) -> None:
    with as_file(LARGE, tmp_path).open("rb", buffering=0) as file:
        file.seek(5)
        assert database.files.take(file).name == file_hash(LARGE[5:])


def test_memory_does_not_grow_with_a_file(database: Database, tmp_path: Path) -> None:
    path = as_file(LARGE + LARGE, tmp_path)
    tracemalloc.start()
    try:
        database.files.take(path)
        assert tracemalloc.get_traced_memory()[1] < 12 * MEBI
    finally:
        tracemalloc.stop()


def test_where_blocks_can_be_shared_nothing_is_written(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def share(draft: int, source: int) -> bool:
        os.pwrite(draft, LARGE, 0)  # what a file system does without writing
        return True

    monkeypatch.setattr(intake, "share", share)
    monkeypatch.setattr(intake, "write_sparse", lambda *_: pytest.fail("it was written"))
    content = database.files.take(as_file(LARGE, tmp_path))
    assert content.name == file_hash(LARGE)
    assert database.files.path(content.name).read_bytes() == LARGE


def test_a_disk_that_fails_in_the_thread_that_makes_it_last_is_an_error(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:  # told once, then forgotten, as the kernel does
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(intake, "_LASTING", 9 * MEBI)
    monkeypatch.setattr(intake.os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        database.files.take(as_file(LARGE, tmp_path))
    assert [path.name for path in database.home.drafts.glob("*/*")] == ["held"]
