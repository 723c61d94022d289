"""Files of logs: what goes in comes out, whatever bytes it is and whatever happens to its neighbours, and costs little more."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.pipelines.logs import LogReader
from local_runner.storage.job_log import JobLog, log_path
from local_runner.storage.log_files import Block, LogScan, damaged_lines, is_unfinished

JOB = JobRef(PipelineRef("default", "p"), "5f93d03b65fa421996185e53f7f8b1e4")
DATUM = Datum("d" * 64, ())
# Also what looks like the words around a block.
TEXT = st.binary(max_size=12) | st.sampled_from([b"", b"y", b"\x1e", b"\0" * 50, b"\x1eo0 1 1 00000000\n", b"x" * 70_000, b"\xff\n\n"])
PRINTED = st.lists(st.tuples(st.sampled_from(["w1", "w2"]), st.sampled_from(["stdout", "stderr"]), TEXT), max_size=40)


def written(folder: Path, printed: list[tuple[str, str, bytes]], most: int = 1 << 30) -> Path:
    log = JobLog(folder, JOB, most)
    lines = {worker: log.begin(worker, DATUM) for worker in ("w1", "w2")}
    for worker, stream, block in printed:
        lines[worker](stream, block)
    for each in lines.values():
        each.close()
    log.close()
    return log_path(folder, JOB)


def read(path: Path) -> dict[tuple[str, str], bytes]:
    """What each worker printed to each stream."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for block in LogScan().new(path):
        assert isinstance(block, Block)
        found.setdefault((block.source["worker"], block.stream), []).append(block.lines)
    return {key: b"\n".join(blocks) for key, blocks in found.items()}


@given(PRINTED)
@settings(deadline=None)
def test_what_was_printed_is_read_again_to_the_byte(printed: list[tuple[str, str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), printed)
        wanted: dict[tuple[str, str], list[bytes]] = {}
        for worker, stream, block in printed:
            wanted.setdefault((worker, stream), []).append(block)
        assert (read(path) if path.exists() else {}) == {key: b"\n".join(blocks) for key, blocks in wanted.items()}


@pytest.mark.parametrize("line", [b"y", b"", b"\x1e", b"123456789 123456789", b"\0" * 1000])
@pytest.mark.parametrize("streams", [("stdout",), ("stdout", "stderr")], ids=["one", "both in turn"])
def test_a_line_costs_at_most_a_third_more_than_its_bytes_however_few_come_at_once(
    tmp_path: Path, line: bytes, streams: tuple[str]
) -> None:
    printed = [(worker, stream, line) for _ in range(5000) for stream in streams for worker in ("w1", "w2")]
    path = written(tmp_path, printed)
    assert path.stat().st_size <= 1.3 * len(printed) * (len(line) + 1) + 2 * 500


def test_a_change_between_the_streams_is_kept_where_it_does_not_cost_too_much(tmp_path: Path) -> None:
    printed = [("w1", stream, text * 200) for text, stream in ((b"1", "stdout"), (b"2", "stderr"), (b"3", "stdout"), (b"4", "stderr"))]
    blocks = [block for block in LogScan().new(written(tmp_path, printed)) if isinstance(block, Block)]
    assert [block.lines[:1] for block in blocks] == [b"1", b"2", b"3", b"4"]


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_damage_is_found_and_takes_no_other_block_along(data: st.DataObject) -> None:
    texts = [b"%d" % number * 200 for number in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), [("w1", "stdout" if number % 2 else "stderr", text) for number, text in enumerate(texts)])
        whole = path.read_bytes()
        assert damaged_lines(path) == []
        bad = bytearray(whole)
        at = data.draw(st.integers(0, len(whole) - 1))
        bad[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(bad)
        assert any(not is_unfinished(path, part) for part in damaged_lines(path)), "taken for the work of a kill"
        left = [block.lines for block in LogScan().new(path) if isinstance(block, Block)]
        assert set(left) < set(texts)
        if at > whole.index(b"\n", whole.index(b"\n") + 1):  # the source is whole
            assert len(left) == len(texts) - 1


@given(st.integers(1, 400), st.integers(0, 300))
@settings(deadline=None)
def test_what_a_kill_left_half_is_passed_over_by_who_goes_on(cut: int, more: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), [("w1", "stdout", b"1" * 300)])
        os.truncate(path, max(path.stat().st_size - cut, 0))
        assert len(damaged_lines(path)) <= 1
        assert all(is_unfinished(path, part) for part in damaged_lines(path))
        written(Path(folder), [("w2", "stdout", b"2" * more)])
        assert [block.lines for block in LogScan().new(path) if isinstance(block, Block)][-1:] == [b"2" * more]


def test_a_reader_who_came_too_early_sees_the_whole_record_later(tmp_path: Path) -> None:
    path = written(tmp_path, [("w1", "stdout", b"one")])
    whole = path.read_bytes()
    path.write_bytes(b"")
    scan, seen = LogScan(), []
    for at in range(len(whole)):
        with path.open("ab") as file:
            file.write(whole[at : at + 1])
        seen += [block.lines for block in scan.new(path) if isinstance(block, Block)]
        assert seen == [] or at == len(whole) - 1
    assert seen == [b"one"]
    assert scan.rest(path) is None


def test_what_does_not_fit_on_the_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = JobLog(tmp_path, JOB)
    lines = log.begin("w1", DATUM)
    lines("stdout", b"first")
    path, write = log_path(tmp_path, JOB), os.write
    size = path.stat().st_size

    def full(descriptor: int, content: memoryview) -> int:
        if path.stat().st_size > size:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            lines("stdout", b"x" * 100_000)
    assert path.stat().st_size == size
    lines("stdout", b"second")
    lines.close()
    log.close()
    assert damaged_lines(path) == []
    assert read(path)["w1", "stdout"] == b"first\n" + b"x" * 100_000 + b"\nsecond"


def test_a_datum_that_prints_more_than_it_may_has_its_beginning_its_end_and_how_much_is_missing(tmp_path: Path) -> None:
    log = JobLog(tmp_path, JOB, most=10_000)
    for _ in range(2):  # the second attempt has nothing left
        lines = log.begin("w1", DATUM)
        for first in range(0, 30_000, 1000):
            lines("stdout", b"\n".join(b"%d" % number for number in range(first, first + 1000)))
        assert lines.last[-1] == "29999"
        lines.close()
    log.close()
    assert log_path(tmp_path, JOB).stat().st_size < 13_500
    said = [(record["stream"], record["message"]) for record in LogReader(tmp_path, None, [JOB], lambda record: True).new()]
    first = [message for stream, message in said if stream == "stdout"]
    assert first[:1000] == [str(number) for number in range(1000)]
    kept = first.index("29980")
    assert first[kept:] == [str(number) for number in range(29_980, 30_000)] * 2
    assert [message for stream, message in said if stream == "stderr"] == [
        "local_runner: the log of this datum has 9.766KiB; of what follows only the last lines are kept",
        f"local_runner: {30_000 - kept} lines, {human(30_000, kept)}, were not kept; the last are:",
        "local_runner: the log of this datum has 9.766KiB; of what follows only the last lines are kept",
        f"local_runner: 30000 lines, {human(30_000, 0)}, were not kept; the last are:",
    ]


def human(lines: int, kept: int) -> str:
    from local_runner.model.units import human_size

    return human_size(sum(len(str(number)) + 1 for number in range(kept, lines)))


def test_a_command_that_stays_has_its_newest_lines_and_who_follows_it_misses_none(tmp_path: Path) -> None:
    spout = JobRef(PipelineRef("default", "p"), "")
    log, reader, seen = JobLog(tmp_path, spout, most=1000, rolls=True), LogReader(tmp_path, spout.pipeline, [], lambda record: True), []
    lines = log.begin("w1", Datum("", ()))
    for number in range(1000):
        lines("stdout", b"%d" % number)
        if number % 50 == 0:
            lines.close()
            seen += list(reader.new())
    lines.close()
    log.close()
    seen += list(reader.new())
    assert [record["message"] for record in seen] == [str(number) for number in range(1000)]
    assert {record["jobId"] for record in seen} == {""}
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.log")) < 3000
    kept = [int(record["message"]) for record in LogReader(tmp_path, None, [spout], lambda record: True).new()]
    assert kept == list(range(kept[0], 1000))
    assert len(kept) > 250
