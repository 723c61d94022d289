"""`gc`: what it says it would do, and that it does it."""

from __future__ import annotations

from pathlib import Path

import pytest


def size(home: str = "home") -> int:
    return sum(path.stat().st_blocks * 512 for path in Path(home).rglob("*") if path.is_file())


@pytest.fixture
def replaced(pachctl):
    """A home with a file of 300 kB that two commits replaced, and were squashed: too little to be collected at once."""
    pachctl.ok("create repo data")
    for letter in "abc":
        pachctl.ok("put file data@master:/f", stdin=letter * 300_000)
    for info in pachctl.ok("list commit data --raw").documents[1:]:
        pachctl.ok(f"squash commit {info['commit']['id']}")
    return pachctl


def test_a_dry_run_says_what_would_go_and_removes_nothing(replaced):
    before = size()
    lines = [line.split() for line in replaced.ok("gc --dry-run").lines]
    assert ["large", "contents", "2", "585.9KiB"] in lines
    assert {line[0] for line in lines} == {"WHAT", "large", "small", "pieces", "left", "jobs", "logs", "free", "goes", "stays"}
    assert size() == before


def test_room_that_nobody_needs_is_given_back(replaced):
    assert size() > 900_000
    replaced.ok("garbage-collect")
    assert size() < 600_000
    assert replaced.ok("get file data@master:/f").out == "c" * 300_000
    assert replaced.ok("fsck").lines == ["No errors found."]
    assert ["goes", "0B"] in [line.split() for line in replaced.ok("gc").lines]


def test_much_that_was_deleted_is_given_back_at_once(pachctl):
    pachctl.ok("create repo data")
    for letter in "ab":
        pachctl.ok("put file data@master:/f", stdin=letter * 3_000_000)
    pachctl.ok("delete all -y")
    assert size() < 600_000
