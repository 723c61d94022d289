"""Killed at any step, or where the disk fails, a collection loses nothing, and the next one goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_runner.errors import Unavailable
from local_runner.model.refs import PipelineRef
from local_runner.repos import check_home, gc_sweep
from local_runner.repos.gc_sweep import Sweep
from local_runner.runner import Runner
from local_runner.storage import pages
from tests.repos.gc.what_there_is import contents, is_sound, large, large_ones, remove_all_but_the_last_commit, rubbish
from tests.support.lab import Lab


def killed_at(home: Path, step: int) -> bool:
    """Collect in a process that dies before the `step`-th thing it does; whether it came to that."""
    child = os.fork()
    if child == 0:
        done = 0

        def counted(action: Callable[..., Any]) -> Callable[..., Any]:
            def act(*args: Any, **more: Any) -> Any:
                nonlocal done
                done += 1
                if done == step:
                    os._exit(9)
                return action(*args, **more)

            return act

        for owner, name in (
            (Sweep, "_remove_row"),
            (Sweep, "_remove_file"),
            (Path, "unlink"),
            (Path, "rmdir"),
            (check_home.shutil, "rmtree"),
            (pages, "_number"),
            (gc_sweep, "empty_log"),
            (gc_sweep, "write_anew"),
            (gc_sweep.time, "sleep"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        gc_sweep._SLICE = 0.0  # a transaction for each
        try:
            Runner.open(home, background=False).gc()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_at_any_step_it_loses_nothing_and_the_next_one_goes_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lab = Lab(home)
    for text in ("a", "b"):
        lab.put("data@master", {"/a": large(text), "/b": text, "/c": large("c")})
        lab.put("old@master", {"/a": large(text), "/b": text, "/d": large(f"{text}d"[-1]), "/e": large(text.upper())})
        for name in ("p", "gone"):
            lab.pipeline(name, do=lambda datum: datum.say("x"), update=text == "b")
        lab.run_all()
    remove_all_but_the_last_commit(lab, "old")
    lab.runner.delete_pipeline(PipelineRef("default", "gone"))
    dead = lab.runner.database.home.drafts / "1-dead"
    dead.mkdir()
    (dead / "draft").write_bytes(b"half")
    before = contents(lab)
    assert len(before) > 4
    lab.close()
    kills = 0
    while killed_at(home, kills + 1):  # each goes on where the one before was killed, and comes a step further
        kills += 1
        lab = Lab(home)
        assert contents(lab) == before
        assert is_sound(lab)
        lab.close()
    assert kills > 8
    lab = Lab(home)
    assert rubbish(lab) == 0
    lab.run_all()
    assert is_sound(lab)
    lab.close()


def test_a_failing_or_full_disk_leaves_all_that_is_needed_and_has_the_room_of_large_contents_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for letter in "ab":
        lab.put("data@master", {"/a": large(letter), "/b": letter})
    remove_all_but_the_last_commit(lab)
    before = contents(lab)

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Sweep, "_remove_row", fail)
    with pytest.raises(Unavailable, match="I/O"):
        lab.runner.gc()
    assert large_ones(lab) == 1
    assert contents(lab) == before
    assert is_sound(lab)
