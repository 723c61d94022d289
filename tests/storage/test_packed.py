"""Documents of jobs with many datums are packed: they take little room, and are read, checked, mended and collected as others are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import ContentLost, Unavailable
from local_runner.model.refs import META, PipelineRef, parse_file
from local_runner.storage.objects import Content
from local_runner.storage.packing import deflate, inflate
from local_runner.storage.trees import Trees, whole_piece
from tests.storage.test_trees import DICTS, EDITS, FEW, Memory
from tests.support.lab import Lab

MANY = 120


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    lab = Lab(home)
    lab.put("data@master", {f"/{number}": f"{number}" for number in range(MANY)})
    lab.pipeline("up", "data:/*")
    lab.run_all()
    yield lab
    lab.close()


def read(lab: Lab, name: bytes) -> bytes:
    with lab.runner.database.read() as session:
        return b"".join(session.objects.read(name))


def documents(lab: Lab) -> dict[str, bytes]:
    """The files of the newest meta commit of `up`."""
    root = f"up.{META}@master:/"
    return {entry.path: read(lab, entry.hash) for entry in lab.runner.walk_file(parse_file(root)) if not entry.is_folder}


def count(lab: Lab, table: str) -> int:
    with lab.runner.database.read() as session:
        return int(session.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def spoil(lab: Lab, statement: str) -> None:
    with lab.runner.database.write() as session:
        session.connection.execute(statement)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_what_was_deflated_is_inflated_to_the_same(content: bytes, dictionary: bytes) -> None:
    assert inflate(deflate(content, dictionary), dictionary) == content


@FEW
@given(DICTS, EDITS)
def test_a_packed_tree_is_the_same_tree(content: dict[bytes, bytes], edits: dict[bytes, bytes | None]) -> None:
    plain, packed = Memory(), Memory()
    before = Trees(plain).build(content.items())
    root = Trees(plain).edit(before, edits)
    assert Trees(packed).edit(Trees(packed).edit(None, content, packed=True), edits, packed=True) == root
    assert list(Trees(packed).scan(root)) == list(Trees(plain).scan(root))
    assert all(whole_piece(name, piece) == plain[name] for name, piece in packed.items())


@given(st.data())
def test_a_damaged_piece_is_never_taken_for_whole(data: st.DataObject) -> None:
    memory = Memory()
    root = Trees(memory).edit(None, {b"%d" % number: bytes(40) for number in range(9)}, packed=True)
    assert root is not None
    piece = bytearray(memory[root])
    piece[data.draw(st.integers(0, len(piece) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert whole_piece(root, bytes(piece)) in (None, whole_piece(root, memory[root]))


def test_a_job_of_many_datums_packs_what_its_meta_commit_has_and_it_reads_as_ever(lab: Lab) -> None:
    found = documents(lab)
    assert count(lab, "packed") == 2 * MANY
    assert count(lab, "dictionary") == 1
    with lab.runner.database.read() as session:
        taken = session.connection.execute("SELECT sum(length(content)) FROM packed").fetchone()[0]
    kept = sum(len(content) for path, content in found.items() if path.endswith(("/meta", "/.env")))
    assert taken < kept / 3
    infos = list(lab.runner.list_datum(lab.job("up").job))
    assert sorted(info.datum.inputs[0].path for info in infos) == sorted(f"/{number}" for number in range(MANY))
    assert lab.runner.fsck() == []


def test_a_home_has_format_3_from_its_first_packed_content_on(lab: Lab) -> None:
    assert (lab.runner.home / "FORMAT").read_text() == "3\n"


def test_a_small_job_packs_nothing(home: Path) -> None:
    lab = Lab(home)
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("up", "data:/*")
    lab.run_all()
    assert (home / "FORMAT").read_text() == "1\n"
    lab.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE packed SET content = CAST('no' AS BLOB)",
        "UPDATE packed SET content = 7",
        "UPDATE packed SET dictionary = 99",
        "UPDATE dictionary SET content = CAST('other words' AS BLOB)",
        "DELETE FROM dictionary",
        "DELETE FROM packed",
    ],
)
def test_damage_is_given_to_nobody_and_found(lab: Lab, damage: str) -> None:
    whole = documents(lab)
    spoil(lab, damage)
    for entry in lab.runner.walk_file(parse_file(f"up.{META}@master:/meta/")):
        if not entry.is_folder:
            try:
                assert read(lab, entry.hash) == whole[entry.path]  # the one that is its own dictionary, or needs none
            except ContentLost:
                continue
    problems = lab.runner.fsck()
    assert len(problems) >= 2 * MANY - 2
    assert all("its content" in str(problem) for problem in problems)


def test_they_are_among_all_contents_and_checked_with_them(lab: Lab) -> None:
    whole = lab.runner.check_storage(contents=True)
    assert whole == count(lab, "object") + count(lab, "packed")
    spoil(lab, "UPDATE packed SET content = X'00'")
    with pytest.raises(ContentLost):
        lab.runner.check_storage(contents=True)


def test_what_is_put_again_is_mended(lab: Lab) -> None:
    whole = documents(lab)
    spoil(lab, "UPDATE packed SET content = CAST('no' AS BLOB)")
    with lab.runner.database.write() as session:
        session.objects.add(session.objects.files.take(content) for content in whole.values())
    assert lab.runner.fsck() == []
    spoil(lab, "UPDATE object SET content = CAST('no' AS BLOB)")
    with lab.runner.database.write() as session:
        contents: list[Content] = [session.objects.files.take(content) for content in whole.values()]
        session.objects.add_alike("again", contents)
    assert documents(lab) == whole


def test_packed_contents_go_with_the_last_commit_that_has_them_and_their_dictionary_too(lab: Lab) -> None:
    before = documents(lab)
    assert lab.runner.gc()
    assert documents(lab) == before
    lab.runner.delete_pipeline(PipelineRef("default", "up"))
    assert lab.runner.gc()
    assert (count(lab, "packed"), count(lab, "dictionary")) == (0, 0)
    assert lab.runner.fsck() == []


def test_pieces_that_a_job_replaced_are_collected_when_the_engine_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.engine.loop.FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("local_runner.engine.loop._FLUSH_SHARE", 1000.0)
    monkeypatch.setattr("local_runner.repos.gc._LITTLE", 1)
    lab = Lab(home)
    lab.put("data@master", {f"/{number}": f"{number}" for number in range(MANY)})
    lab.pipeline("up", "data:/*")
    lab.run_all()
    assert lab.runner.plan_gc().pieces.names == ()
    assert lab.runner.fsck() == []
    lab.close()


def test_records_without_the_tables_are_read(home: Path) -> None:
    lab = Lab(home)
    lab.put("data@master", {"/a": "1"})
    with sqlite3.connect(home / "records.sqlite") as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'packed'").fetchall()
    with pytest.raises(Unavailable), lab.runner.database.read() as session:
        session.trees.get(bytes(32), b"a")
    with pytest.raises(ContentLost):
        read(lab, bytes(32))
    lab.close()
