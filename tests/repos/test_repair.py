"""What is damaged is named, and mended from what is there."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from local_runner.errors import ContentLost
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef
from local_runner.repos.findings import Finding
from local_runner.storage.log_files import LogFile, pack_block
from tests.support.lab import Lab

LARGE = "large" * 50_000


@pytest.fixture
def sound(lab: Lab) -> Lab:
    lab.put("data@master", {"/a": "1", "/large": LARGE})
    lab.pipeline("copy", do=doubled)
    lab.run_all()
    assert lab.runner.fsck() == []
    return lab


def doubled(datum: object) -> None:
    """Contents of its own, so that what is lost of it is nowhere else."""
    for file in datum.input("data").rglob("*"):  # type: ignore[attr-defined]
        (datum.out / file.name).write_text(file.read_text() * 2)  # type: ignore[attr-defined]


def damage(lab: Lab, content: str) -> None:
    """Of every content that has these bytes."""
    with lab.runner.database.write() as session:
        session.connection.execute("UPDATE object SET content = x'00' || content WHERE content = ?", (content.encode(),))
    for path in lab.runner.database.home.objects.glob("*/*"):
        if path.read_text() == content:
            path.unlink()


def execute(lab: Lab, sql: str, *values: object) -> None:
    """As a disk changes rows: no sum follows."""
    with lab.runner.database.write() as session:
        sums = session.connection.execute("SELECT * FROM row_sum").fetchall()
        session.connection.execute("PRAGMA defer_foreign_keys = ON")
        session.connection.execute(sql, values)
        session.connection.execute("DELETE FROM row_sum")
        session.connection.executemany("INSERT INTO row_sum VALUES (?, ?, ?)", sums)
        session.trees.forget()


def again(lab: Lab) -> Lab:
    """The same home, opened by a process that remembers nothing."""
    return Lab(lab.runner.home)


@pytest.mark.parametrize("content", ["1", LARGE], ids=["small", "large"])
def test_contents_are_put_again_from_the_files_of_the_project(sound: Lab, tmp_path: Path, content: str) -> None:
    damage(sound, content)
    assert len(sound.runner.fsck()) == 1
    (tmp_path / "here").write_text(content)
    (tmp_path / "other").write_text("something else")
    files = [("/here", tmp_path / "here"), ("/other", tmp_path / "other"), ("/bytes", b"record")]
    assert any("again" in sentence for sentence in sound.runner.mend([files]))
    assert sound.runner.fsck() == []
    assert sound.files("data@master") == {"/a": "1", "/large": LARGE}


@pytest.mark.parametrize("content", ["11", LARGE * 2], ids=["small", "large"])
def test_a_datum_whose_output_is_lost_runs_again(sound: Lab, content: str) -> None:
    damage(sound, content)
    with pytest.raises(ContentLost, match="default/copy@"):
        sound.files("copy@master")
    assert any("run again with: rerun pipeline copy" in sentence for sentence in sound.runner.mend())
    lab = again(sound)
    lab.does("copy", doubled)
    lab.runner.rerun_pipeline(PipelineRef("default", "copy"))
    lab.run_all()
    assert lab.ran == ["copy:/a" if content == "11" else "copy:/large"]
    assert lab.state("copy") is JobState.SUCCESS
    assert lab.files("copy@master") == {"/a": "11", "/large": LARGE * 2}
    assert lab.runner.fsck() == []
    lab.close()


def test_a_damaged_input_fails_the_datum_that_reads_it_in_words(sound: Lab) -> None:
    for content in ("1", LARGE):
        damage(sound, content)
    sound.pipeline("other")
    sound.run_all()
    assert sound.state("other") is not JobState.SUCCESS
    assert sound.ran == []
    assert "default/data@" in sound.job("other").reason
    assert "is damaged" in sound.job("other").reason or "missing from the store" in sound.job("other").reason


def test_trees_are_made_whole_by_the_same_files(sound: Lab, tmp_path: Path) -> None:
    execute(sound, "UPDATE node SET content = zeroblob(length(content)) WHERE name = (SELECT tree FROM commits WHERE key = 1)")
    assert any(finding.subject.startswith("tree") for finding in again(sound).runner.fsck())
    files = [("/a", b"1"), ("/large", LARGE.encode())]
    assert any("whole again" in sentence for sentence in again(sound).runner.mend([files]))
    lab = again(sound)
    assert lab.runner.fsck() == []
    assert lab.files("data@master") == {"/a": "1", "/large": LARGE}
    lab.close()


def test_contents_of_an_earlier_version_get_their_sums(sound: Lab) -> None:
    with sound.runner.database.write() as session:
        before = session.connection.execute("SELECT * FROM block_sums ORDER BY name").fetchall()
        session.connection.execute("DELETE FROM block_sums")
    assert before
    assert any("sooner" in sentence for sentence in sound.runner.mend())
    with sound.runner.database.read() as session:
        assert session.connection.execute("SELECT * FROM block_sums ORDER BY name").fetchall() == before
    assert sound.runner.mend() == []


def test_a_row_that_is_not_what_was_written_is_said_and_taken(sound: Lab) -> None:
    execute(sound, "UPDATE repo SET description = 'wrong' WHERE name = 'data'")
    assert [finding.problem for finding in sound.runner.fsck()] == ["is not what was written"]
    assert any("look at it" in sentence for sentence in sound.runner.mend())
    assert sound.runner.fsck() == []


def test_rubbish_of_killed_processes_goes_and_that_of_the_living_stays(sound: Lab) -> None:
    home = sound.runner.database.home
    dead = home.drafts / "1-dead"
    dead.mkdir()
    (dead / "draft").write_bytes(b"x" * 1000)
    os.mkfifo(home.wakeups / "1-dead")
    (home.path / ".draft-abc").write_bytes(b"x")
    assert sound.runner.fsck() == []
    assert {leftover.path.name for leftover in sound.runner.leftovers()} == {"1-dead", ".draft-abc"}
    list(sound.runner.mend())
    assert sound.runner.leftovers() == []
    sound.put("data@master", {"/more": "x" * 200_000})
    assert sound.runner.leftovers() == []


def test_a_flip_in_a_log_is_found_and_half_a_record_of_a_killed_writer_is_none(sound: Lab) -> None:
    path = sound.runner.database.home.logs / "default" / "copy" / "x.log"
    log = LogFile(path)
    source = log.add_source({"datumId": "d"})
    for n in range(3):
        log.append(pack_block(source, "stdout", n, b"some line"))
    log.close()
    whole = path.read_bytes()
    for cut in range(len(whole) - 30, len(whole)):
        path.write_bytes(whole[:cut])
        assert sound.runner.fsck() == [], cut
    at = whole.index(b"some")
    path.write_bytes(whole[:at] + b"S" + whole[at + 1 :])
    assert [finding.subject for finding in sound.runner.fsck()] == ["log default/copy/x.log"]


DAMAGES = [
    "UPDATE job SET state = 'JOB_DREAMING'",
    "UPDATE job SET counters = '{'",
    "UPDATE job SET counters = '[1]'",
    "UPDATE pipeline SET state = 'x'",
    "UPDATE pipeline SET effective_spec = '{'",
    "UPDATE pipeline SET user_spec = CAST(x'ff00' AS TEXT)",
    "UPDATE repo SET name = CAST(x'ff41' AS TEXT)",
    "UPDATE branch SET name = 7",
    'UPDATE branch SET "trigger" = \'{"a": 1}\'',
    "UPDATE branch SET repo = 999",
    "UPDATE commits SET tree = 7",
    "UPDATE commits SET tree = 'text'",
    "UPDATE commits SET tree = x'00'",
    "UPDATE commits SET marks = tree",
    "UPDATE commits SET tree = marks WHERE marks IS NOT NULL",
    "UPDATE commits SET parent = key",
    "UPDATE commits SET size = 'many'",
    "UPDATE commits SET finished = 'never'",
    "UPDATE commits SET id = CAST(x'ff41' AS TEXT)",
    "UPDATE commits SET repo = 999",
    "UPDATE commit_source SET source = source + 999",
    "UPDATE node SET content = 'text'",
    "UPDATE node SET name = x'00'",
    "UPDATE object SET content = 7",
    "UPDATE object SET content = CAST(x'ff41' AS TEXT)",
    "INSERT INTO pending VALUES ('x', 1, '{')",
    "INSERT INTO secret VALUES ('s', 1, '[')",
    "INSERT INTO secret VALUES ('s', 1, '7')",
    "UPDATE sqlite_sequence SET seq = 0",
    "DROP TABLE secret",
    "DROP INDEX commits_by_id",
    "ALTER TABLE repo RENAME COLUMN description TO des",
    "DELETE FROM commits",
    "DELETE FROM repo WHERE name = 'data'",
]


@pytest.mark.parametrize("sql", DAMAGES)
def test_fsck_finds_every_damage_and_neither_it_nor_mending_ever_fails(sound: Lab, sql: str) -> None:
    home = sound.runner.database.home
    sound.close()
    connection = sqlite3.connect(home.database)
    try:
        connection.execute(sql)
    except sqlite3.IntegrityError:  # several rows cannot have the same: one of them, then
        connection.execute(f"{sql} {'AND' if 'WHERE' in sql else 'WHERE'} rowid = 1")
    connection.commit()
    connection.close()
    lab = Lab(home.path)
    found = lab.runner.fsck()
    assert found
    assert all(isinstance(finding, Finding) and finding.problem for finding in found)
    assert all(isinstance(sentence, str) for sentence in lab.runner.mend([[("/a", b"1")]]))
    lab.runner.fsck()
    lab.close()
