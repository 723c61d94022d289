"""`check` finds what is wrong, and nothing where nothing is: the latter is asserted after every random history."""

import os

import pytest

from local_runner.repos.check import check
from local_runner.repos.findings import Finding
from tests.support.lab import Lab

LARGE = "x" * 100_000


@pytest.fixture
def sound(lab: Lab) -> Lab:
    lab.put("data@master", {"/a": "1", "/big": LARGE})
    lab.put("data@master", {"/b": "2"})
    lab.pipeline("copy")
    lab.run_all()
    assert findings(lab) == []
    return lab


def findings(lab: Lab, *, contents: bool = True) -> list[Finding]:
    with lab.runner.database.read() as session:
        return check(session, contents=contents)


def execute(lab: Lab, sql: str, *values: object) -> None:
    with lab.runner.database.write() as session:
        session.connection.execute("PRAGMA defer_foreign_keys = ON")
        session.connection.execute(sql, values)
        session.trees.forget()


@pytest.mark.parametrize(
    ("sql", "subject", "problem"),
    [
        ("DELETE FROM node WHERE name = (SELECT tree FROM commits WHERE parent IS NOT NULL)", "tree", "missing from the store"),
        ("UPDATE node SET content = zeroblob(length(content)) WHERE name = (SELECT tree FROM commits)", "piece", "not what its name says"),
        ("DELETE FROM object WHERE content = CAST('1' AS BLOB)", "default/", "is missing"),
        ("UPDATE object SET content = CAST('3' AS BLOB) WHERE content = CAST('1' AS BLOB)", "default/", "not what its name says"),
        ("UPDATE object SET content = CAST('12' AS BLOB) WHERE content = CAST('1' AS BLOB)", "default/", "has 2 bytes, not 1"),
        ("UPDATE branch SET head = NULL WHERE key = 1", "default/data@master", "has no head"),
        ("UPDATE branch SET head = (SELECT max(key) FROM commits) WHERE key = 1", "default/data@master", "lies in another repo"),
        ("UPDATE commits SET parent = 2 WHERE key = 1", "default/data@", "younger than itself"),
        ("UPDATE commits SET size = 7 WHERE key = 1", "default/data@", "its record says 7 bytes"),
        ("UPDATE job SET state = 'JOB_RUNNING'", "job default/copy@", "it is running, but default/copy@"),
        ("UPDATE commits SET marks = NULL WHERE marks IS NOT NULL", "default/copy.meta@", "a document, but no record"),
    ],
)
def test_damage_is_found_and_named(sound: Lab, sql: str, subject: str, problem: str) -> None:
    execute(sound, sql)
    assert any(found.subject.startswith(subject) and problem in found.problem for found in findings(sound)), findings(sound)


def test_a_large_content_that_rotted_is_found_by_reading_and_a_short_one_at_once(sound: Lab) -> None:
    path = sound.runner.database.files.path(next(iter(_large(sound))))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"rot")
    assert findings(sound, contents=False) == []
    assert [found.problem.split()[-4:] for found in findings(sound)] == [["what", "its", "name", "says"]]
    os.truncate(path, 5)
    assert "has 5 bytes, not 100000" in findings(sound, contents=False)[0].problem


def _large(lab: Lab) -> list[bytes]:
    folder = lab.runner.database.home.objects
    return [bytes.fromhex(path.parent.name + path.name) for path in folder.glob("*/*")]


def test_output_that_its_bookkeeping_does_not_know_is_found(sound: Lab) -> None:
    execute(sound, "UPDATE commits SET tree = (SELECT tree FROM commits WHERE key = 1) WHERE key = (SELECT max(key) - 1 FROM commits)")
    assert any("is not in default/copy.meta@" in found.problem or "lacks" in found.problem for found in findings(sound)), findings(sound)
