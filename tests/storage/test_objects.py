import errno
import io
import os
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from local_runner.errors import ContentLost, Unavailable
from local_runner.model.file_hash import file_hash
from local_runner.storage.database import Database
from local_runner.storage.objects import INLINE_BYTES, Content
from local_runner.storage.sums import Fingerprint

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

    monkeypatch.setattr("local_runner.storage.intake.fcntl.ioctl", refuse)
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


# -- damage ------------------------------------------------------------------------------------------------------------

MEBI = 1024 * 1024
SIZES = [1, 5000, INLINE_BYTES, INLINE_BYTES + 1, MEBI, 3 * MEBI + 12345]


def kept(database: Database, size: int, *, sums: bool = True) -> tuple[Content, bytes]:
    """A stored content of random bytes; without sums as a former version left it."""
    whole = os.urandom(size)
    content = stored(database, whole)
    if not sums:
        with database.write() as session:
            session.connection.execute("DELETE FROM block_sums")
    return content, whole


def flip(database: Database, content: Content, at: int) -> None:
    """One bit of a stored content, as a disk may do it."""
    path = database.files.path(content.name)
    if path.exists():
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 4]))
        return
    with database.write() as session:
        damaged = bytearray(session.objects.stored(content.name) or b"")
        damaged[at] ^= 4
        session.connection.execute("UPDATE object SET content = ? WHERE name = ?", (bytes(damaged), content.name))


@pytest.mark.parametrize("sums", [True, False], ids=["sums", "no-sums"])
@pytest.mark.parametrize("size", SIZES)
def test_damaged_bytes_are_given_to_nobody(database: Database, tmp_path: Path, size: int, sums: bool) -> None:
    for at in {0, size // 2, size - 1}:
        content, whole = kept(database, size, sums=sums)
        flip(database, content, at)
        given: list[bytes] = []
        with pytest.raises(ContentLost, match=content.name.hex()), database.read() as session:
            given.extend(session.objects.read(content.name))
        assert sum(map(len, given)) < size
        if sums or size <= INLINE_BYTES:
            assert whole.startswith(b"".join(given))
        with pytest.raises(ContentLost) as error:
            place(database, content.name, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        assert "put that file again" in error.value.hint


@pytest.mark.parametrize("sums", [True, False], ids=["sums", "no-sums"])
@pytest.mark.parametrize("size", SIZES)
def test_reading_from_an_offset_never_gives_a_damaged_block(database: Database, size: int, sums: bool) -> None:
    content, whole = kept(database, size, sums=sums)
    for offset in (0, 1, size // 2, size - 1, size, size + 5):
        assert read(database, content.name, offset) == whole[offset:]
    flip(database, content, size - 1)
    database.files.known = type(database.files.known)()
    with pytest.raises(ContentLost):
        read(database, content.name, size // 2)


def test_the_block_before_an_offset_may_be_damaged_where_there_are_sums(database: Database) -> None:
    content, whole = kept(database, 3 * MEBI)
    flip(database, content, 10)
    assert read(database, content.name, MEBI + 5) == whole[MEBI + 5 :]


@pytest.mark.parametrize("size", SIZES)
def test_a_content_that_is_put_again_is_mended(database: Database, size: int) -> None:
    content, whole = kept(database, size)
    flip(database, content, size // 2)
    assert stored(database, whole) == content
    assert read(database, content.name) == whole


def test_a_content_that_was_found_clean_is_not_read_again_until_somebody_writes_to_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, whole = kept(database, 2 * MEBI)
    path = database.files.path(content.name)
    monkeypatch.setattr("local_runner.storage.sums._TICK", 0)
    assert read(database, content.name) == whole
    checked: list[int] = []
    monkeypatch.setattr("local_runner.storage.objects.fits", lambda sums, number, block: bool(checked.append(number)) or True)
    assert read(database, content.name) == whole
    assert checked == []
    before = path.stat()
    flip(database, content, 5)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # which changes the third date
    monkeypatch.undo()
    with pytest.raises(ContentLost):
        read(database, content.name)


def test_what_was_written_a_moment_ago_is_not_taken_for_clean(database: Database) -> None:
    content, whole = kept(database, 2 * MEBI)
    assert read(database, content.name) == whole
    path = database.files.path(content.name)
    found = path.stat()
    now = Fingerprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    assert not database.files.known.has(content.name, now)


@pytest.mark.parametrize("wrong", [b"", b"\0\0\0\0", b"x" * 12, b"odd"])
def test_wrong_sums_do_not_condemn_a_whole_content(database: Database, wrong: bytes) -> None:
    content, whole = kept(database, 3 * MEBI)
    with database.write() as session:
        session.connection.execute("UPDATE block_sums SET sums = ?", (wrong,))
    assert read(database, content.name) == whole
    assert read(database, content.name, MEBI + 1) == whole[MEBI + 1 :]


def test_a_disk_that_is_nearly_full_gives_nobody_a_part(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (5000, 3 * MEBI):
        content, _ = kept(database, size)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _NearlyFull(size - 1000))
            with pytest.raises(Unavailable, match=f"the disk that holds {tmp_path / 'copy'} is full"):
                place(database, content.name, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


def test_who_reads_a_part_of_a_very_large_content_leaves_nothing_behind(database: Database) -> None:
    content, whole = kept(database, 20 * MEBI)
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with database.read() as session:
        pieces = session.objects.read(content.name)
        assert next(pieces) == whole[:MEBI]
        assert isinstance(pieces, Generator)
        pieces.close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, descriptors)
    assert read(database, content.name, 5 * MEBI + 1) == whole[5 * MEBI + 1 :]
    flip(database, content, 15 * MEBI)
    given: list[bytes] = []
    with pytest.raises(ContentLost), database.read() as session:
        given.extend(session.objects.read(content.name))
    assert b"".join(given) == whole[: 15 * MEBI]
    assert threading.active_count() == threads


class _NearlyFull:
    """`os.write` on a disk that has room for so many bytes more."""

    def __init__(self, room: int) -> None:
        self._room, self._write = room, os.write

    def __call__(self, descriptor: int, data: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: self._room])
        self._room -= written
        return written
