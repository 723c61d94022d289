"""Which outputs a launcher hands over as open files: large ones, on the disk where the datums lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_runner.executors.launcher.collect import Collector

LARGE = 1024 * 1024


@pytest.fixture
def pfs(tmp_path: Path) -> Path:
    (tmp_path / ".scratch" / "datum" / "out").mkdir(parents=True)
    return tmp_path


def collected(pfs: Path, *, hands: bool) -> list[tuple[str, bytes | None]]:
    """Path and bytes of each file; None is one that was handed over, and then it is the right one."""
    collector = Collector(str(pfs), hands=hands)
    question = ("collect", str(pfs / ".scratch" / "datum"), ["out"], [])
    found: list[tuple[str, bytes | None]] = []
    while True:
        pieces, is_last = collector.answer(*question)
        for path, _, _, data, _ in pieces:
            found.append((path, data))
            if data is None:
                assert collector.handed is not None
                assert os.pread(collector.handed, LARGE + 1, 0) == (pfs / ".scratch" / "datum" / path).read_bytes()
        if is_last:
            return found
        question = ("more",)  # type: ignore[assignment]


def test_a_large_file_is_handed_over_and_a_small_one_told(pfs: Path) -> None:
    out = pfs / ".scratch" / "datum" / "out"
    (out / "large").write_bytes(b"x" * LARGE)
    (out / "small").write_bytes(b"y")
    assert collected(pfs, hands=True) == [("out/large", None), ("out/small", b"y")]


def test_nothing_is_handed_to_who_cannot_take_it(pfs: Path) -> None:
    (pfs / ".scratch" / "datum" / "out" / "large").write_bytes(b"x" * LARGE)
    told = collected(pfs, hands=False)
    assert b"".join(data or b"" for _, data in told) == b"x" * LARGE


def test_a_file_of_another_file_system_is_told_for_its_reads_may_never_end(pfs: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == pfs.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    there = other / f"local_runner-test-{os.getpid()}"
    there.write_bytes(b"x" * LARGE)
    try:
        (pfs / ".scratch" / "datum" / "out" / "link").symlink_to(there)
        told = collected(pfs, hands=True)
        assert {path for path, _ in told} == {"out/link"}
        assert b"".join(data or b"" for _, data in told) == b"x" * LARGE
    finally:
        there.unlink()
