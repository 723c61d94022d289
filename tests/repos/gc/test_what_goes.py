"""What nobody needs goes, and nothing else, after any history."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Refused, Unavailable
from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.repos import gc_sweep
from local_runner.repos.gc import plan_gc
from local_runner.runner import Runner
from local_runner.storage import objects
from local_runner.storage.job_log import JobLog
from local_runner.storage.pages import is_incremental
from tests.repos.gc.what_there_is import LARGE, contents, is_sound, large, remove_all_but_the_last_commit, rubbish, there
from tests.support.histories import Event, begin, happen, histories
from tests.support.lab import Lab


@given(histories(12), st.booleans())
@settings(deadline=None, max_examples=15)
def test_after_any_history_every_commit_reads_as_before_and_nothing_is_left_that_nobody_needs(history: list[Event], as_files: bool) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        if as_files:
            patch.setattr(objects, "INLINE_BYTES", 0)
        lab = Lab(Path(folder) / "home")

        def make(name: str, update: bool, reprocess: bool) -> None:
            lab.pipeline(name, "data:/*" if name == "up" else "up:/*", update=update, reprocess=reprocess)

        begin(lab, make)
        happen(lab, make, history)
        before = contents(lab)
        assert lab.runner.gc()
        assert rubbish(lab) == 0
        assert contents(lab) == before
        assert is_sound(lab)
        lab.run_all()
        assert is_sound(lab)
        lab.close()


def test_after_everything_is_deleted_nothing_is_left(lab: Lab) -> None:
    lab.put("data@master", {"/a": large("a"), "/b": "small"})
    lab.pipeline("p")
    lab.run_all()
    lab.runner.delete_all()
    lab.runner.gc()
    assert there(lab) == 0
    assert [*(lab.runner.home / "logs").rglob("*")] == []


def test_what_is_replaced_in_an_open_commit_goes_and_the_history_of_a_branch_stays(lab: Lab) -> None:
    for letter in "abc":
        lab.put("data@master", {"/file": large(letter)})
    before = contents(lab)
    lab.runner.gc()
    assert contents(lab) == before
    remove_all_but_the_last_commit(lab)
    plan = lab.runner.plan_gc()
    assert (len(plan.large.names), plan.large.size) == (2, 2 * LARGE)
    lab.runner.gc(plan)
    assert lab.files("data@master") == {"/file": "c" * LARGE}
    assert is_sound(lab)


def test_logs_of_jobs_that_are_gone_go_and_others_stay(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    for name in ("p", "gone"):
        lab.pipeline(name, do=lambda datum: datum.say("said"))
    lab.run_all()
    service = JobLog(lab.runner.home / "logs", JobRef(PipelineRef("default", "p"), ""))
    service.begin("w", Datum("", ()))("stdout", b"of a spout")
    service.close()
    lab.runner.delete_pipeline(PipelineRef("default", "gone"))
    assert len(lab.runner.plan_gc().logs) == 1
    lab.runner.gc()
    assert sorted(path.name for path in (lab.runner.home / "logs").rglob("*") if path.is_file()) == [".log", f"{lab.job('p').job.id}.log"]
    assert not (lab.runner.home / "logs/default/gone").exists()


def test_a_home_with_a_damaged_tree_keeps_everything(lab: Lab) -> None:
    lab.put("data@master", {"/a": large("a")})
    lab.put("data@master", {"/a": large("b")})
    remove_all_but_the_last_commit(lab)
    (name,) = lab.runner.plan_gc().large.names
    with lab.runner.database.write() as session:
        session.connection.execute("UPDATE node SET content = x'00' || substr(content, 2)")
    with pytest.raises(Unavailable, match="damaged"):
        Runner.open(lab.runner.home, background=False).gc()
    assert lab.runner.database.files.path(name).exists()


def test_records_of_an_earlier_version_are_written_anew_and_then_give_pages_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("local_runner.storage.connect._NEW", "")
        old = Lab(tmp_path / "home")
        for start in range(2):
            old.put("data@master", {f"/{number}": os.urandom(20_000) for number in range(100 + start)})
        old.close()
    lab = Lab(tmp_path / "home")
    remove_all_but_the_last_commit(lab)
    for _ in range(2):
        before = contents(lab)
        lab.runner.gc()
        with lab.runner.database.read() as session:
            assert is_incremental(session.connection)
        assert lab.runner.database.home.database.stat().st_size < 1.2 * 101 * 20_000
        assert contents(lab) == before
        lab.put("data@master", {f"/{number}": os.urandom(20_000) for number in range(100)})
        remove_all_but_the_last_commit(lab)
        monkeypatch.setattr(gc_sweep, "_QUICK", 0)  # bit by bit
    lab.close()


def test_what_is_known_of_datums_of_old_jobs_goes_if_that_is_wished_and_the_next_job_skips_what_it_would_have(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in "123":
        lab.put("data@master", {"/a": text, "/b": "same"})
        if text == "1":
            lab.pipeline("p")
        lab.run_all()
    jobs = lab.jobs("p")
    with monkeypatch.context() as patch:
        patch.setenv("LOCAL_RUNNER_KEEP_DATUMS", "1h")
        assert lab.runner.plan_gc().jobs == ()
        patch.setenv("LOCAL_RUNNER_KEEP_DATUMS", "0s")
        plan = lab.runner.plan_gc()
        assert len(plan.jobs) == 2
        assert len(plan.small.names) >= 2
        lab.runner.gc(plan)
        assert rubbish(lab) == 0
    assert is_sound(lab)
    assert sorted(lab.datums("p", jobs[0].job)) == ["/a", "/b"]
    with pytest.raises(Refused, match="not kept any longer"):
        lab.datums("p", jobs[1].job)
    assert lab.files(f"p@{jobs[1].job.id}") == {"/a": "2", "/b": "same"}
    lab.put("data@master", {"/a": "4", "/c": "new"})
    lab.run_all()
    assert lab.ran == ["p:/a", "p:/c"]
    assert is_sound(lab)


def test_a_job_whose_datums_are_forgotten_is_the_base_of_none(lab: Lab) -> None:
    for text in "12":
        lab.put("data@master", {"/a": text, "/gone": "1"})
        if text == "1":
            lab.pipeline("p")
        lab.run_all()
    lab.runner.gc(plan_gc(lab.runner.database, 0.0, time.time()))
    lab.runner.drop_commit_set(lab.job("p").job.id)
    lab.put("data@master", {"/a": "1", "/gone": None})
    lab.run_all()
    assert lab.ran == ["p:/a"]
    assert lab.files("p@master") == {"/a": "1"}
    assert is_sound(lab)
