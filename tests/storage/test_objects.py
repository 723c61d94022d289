import io
import os
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.model.file_hash import file_hash
from local_runner.storage.database import Database
from local_runner.storage.objects import INLINE_BYTES, Content

SMALL, LARGE = b"small", b"large" * INLINE_BYTES


def stored(database: Database, source: "bytes | Path | io.BytesIO") -> Content:
    content = database.files.take(source)
    with database.write() as session:
        session.objects.add([content])
    return content


def read(database: Database, name: bytes, offset: int = 0) -> bytes:
    with database.read() as session:
        return b"".join(session.objects.read(name, offset))


def place(database: Database, name: bytes, target: Path) -> None:
    with database.read() as session:
        session.objects.place(name, target)


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 3_000_001])
def test_content_of_any_size_comes_back_under_its_pachyderm_hash(database: Database, tmp_path: Path, size: int) -> None:
    whole = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    path = tmp_path / "file"
    path.write_bytes(whole)
    for source in (whole, path, io.BytesIO(whole)):
        content = stored(database, source)
        assert content.name == file_hash(whole)
        assert content.size == size
        assert read(database, content.name) == whole
    assert read(database, content.name, offset=size // 2) == whole[size // 2 :]


def test_a_stream_that_gives_little_at_a_time_is_read_to_its_end(database: Database) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 1000))

    assert read(database, stored(database, Trickle(LARGE)).name) == LARGE


def test_large_content_is_a_read_only_file_and_small_content_is_none(database: Database) -> None:
    small, large = stored(database, SMALL), stored(database, LARGE)
    assert not database.files.path(small.name).exists()
    assert os.stat(database.files.path(large.name)).st_mode & 0o777 == 0o444
    assert drafts(database) == []


def drafts(database: Database) -> list[str]:
    return [path.name for path in database.home.drafts.glob("*/*") if path.name != "held"]


@pytest.mark.parametrize("size", [300_000, 3 * 65536, 2_000_000])
def test_empty_blocks_are_holes_on_the_disk_and_zeros_for_who_reads_them(database: Database, size: int) -> None:
    content = bytes(size) + b"end" + bytes(size)
    for whole in (content, bytes(size)):
        taken = database.files.take(io.BytesIO(whole))
        path = database.files.path(taken.name)
        assert path.read_bytes() == whole
        assert path.stat().st_blocks * 512 <= 4 * 65536


@pytest.mark.parametrize("whole", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_placed_copy_is_private(database: Database, tmp_path: Path, whole: bytes) -> None:
    content = stored(database, whole)
    place(database, content.name, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == whole
    with (tmp_path / "copy").open("r+b") as copy:
        copy.write(b"changed")
    assert read(database, content.name) == whole


def test_content_is_copied_where_blocks_cannot_be_shared(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not on this file system")

    monkeypatch.setattr("local_runner.storage.objects.fcntl.ioctl", refuse)
    content = stored(database, LARGE)
    place(database, content.name, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == LARGE


def test_a_source_that_breaks_leaves_nothing_behind(database: Database) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError("the line went dead")
            return super().read(size)

    with pytest.raises(OSError, match="dead"):
        database.files.take(Broken(LARGE))
    assert drafts(database) == []


def test_missing_content_is_named_with_what_to_do(database: Database) -> None:
    content = stored(database, LARGE)
    database.files.path(content.name).unlink()
    with pytest.raises(Unavailable, match=content.name.hex()) as error:
        read(database, content.name)
    assert "fsck" in error.value.hint
