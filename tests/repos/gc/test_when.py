"""Rubbish is collected when that is worth it, and troubles nobody."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.model.refs import parse_commit, parse_repo
from local_runner.repos.gc_sweep import Sweep
from local_runner.runner import Runner
from tests.repos.gc.what_there_is import large, large_ones, remove_all_but_the_last_commit
from tests.support.lab import Lab


def much(letter: str) -> bytes:
    return letter.encode() * (1 << 20)


def test_it_follows_when_as_much_was_removed_as_is_left_and_not_for_a_little(lab: Lab) -> None:
    for letter in "abcd":
        lab.put("data@master", {"/a": much(letter)})
    lab.put("other@master", {"/a": large("x")})
    lab.put("other@master", {"/a": large("y")})
    remove_all_but_the_last_commit(lab, "other")
    assert large_ones(lab) == 6
    oldest_first = [info.commit.id for info in lab.runner.list_commit(parse_repo("data"), reverse=True)]
    lab.runner.squash_commit_set(oldest_first[0])
    assert large_ones(lab) == 6
    lab.runner.squash_commit_set(oldest_first[1])
    assert large_ones(lab) == 3
    lab.runner.delete_repo(parse_repo("data"))
    assert large_ones(lab) == 1


def test_what_goes_wrong_with_it_is_no_failure_of_what_was_asked_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(*_: object) -> None:
        tried.append("")
        raise Unavailable("the disk is broken")

    monkeypatch.setattr(Sweep, "run", fail)
    lab.put("data@master", {"/a": much("a")})
    lab.runner.delete_repo(parse_repo("data"))
    assert lab.runner.list_repo() == []
    lab.put("data@master", {"/a": "1"})
    assert len(tried) == 1  # who removes nothing has nothing to do with it


def test_what_takes_longer_than_a_moment_is_done_by_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.runner._MOMENT", 0.0)
    with Runner.open(tmp_path / "home") as runner:
        runner.create_repo(parse_repo("data"))
        for letter in "ab":
            with runner.modify_file(parse_commit("data@master")) as change:
                change.put("/a", much(letter))
        runner.delete_repo(parse_repo("data"))
        objects = tmp_path / "home/objects"
        deadline = time.monotonic() + 60
        while any(path.is_file() for path in objects.rglob("*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert runner._collector
        runner._collector.wait(60)
