"""What nobody needs goes, and nothing else: after any history, beside anybody, and killed at any step."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Refused, Unavailable
from local_runner.model.datums import Datum
from local_runner.model.refs import META, SPEC, USER, JobRef, PipelineRef, parse_commit, parse_file, parse_repo
from local_runner.repos import check_home, gc_sweep
from local_runner.repos.gc import plan_gc
from local_runner.repos.gc_sweep import Sweep
from local_runner.runner import Runner
from local_runner.storage import objects, pages
from local_runner.storage.job_log import JobLog
from local_runner.storage.pages import is_incremental
from tests.support.histories import Event, begin, happen, histories
from tests.support.lab import Lab, copy

LARGE = 100_000


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "home", jobs=1)
    yield lab
    lab.close()


def contents(lab: Lab) -> dict[str, dict[str, tuple[str, bytes]]]:
    """Of every finished commit, what it reads as."""
    found = {}
    for kind in (USER, META, SPEC):
        for repo in lab.runner.list_repo(type=kind):
            for info in lab.runner.list_commit(repo.repo):
                if info.finished:
                    commit = str(info.commit)
                    listed = [entry for entry in lab.runner.walk_file(parse_file(f"{commit}:/")) if not entry.is_folder]
                    found[commit] = {entry.path + entry.datum: (entry.hash.hex(), read(lab, entry.hash)) for entry in listed}
    return found


def read(lab: Lab, name: bytes) -> bytes:
    with lab.runner.database.read() as session:
        return b"".join(session.objects.read(name))


def is_sound(lab: Lab) -> bool:
    return lab.runner.fsck() == []


def rubbish(lab: Lab) -> int:
    """How many things nobody needs."""
    plan = lab.runner.plan_gc()
    return sum(map(len, (plan.pieces.names, plan.small.names, plan.large.names, plan.sums.names, plan.leftovers, plan.logs)))


def there(lab: Lab) -> int:
    """How many pieces and contents there are."""
    with lab.runner.database.read() as session:
        rows = [session.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("node", "object")]
    return sum(rows) + len([path for path in (lab.runner.home / "objects").rglob("*") if path.is_file()])


def large(letter: str) -> bytes:
    return letter.encode() * LARGE


def remove_all_but_the_last_commit(lab: Lab, repo: str = "data") -> None:
    for info in list(lab.runner.list_commit(parse_repo(repo)))[1:]:
        lab.runner.squash_commit_set(info.commit.id)


# -- what goes -----------------------------------------------------------------------------------------------------------


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


# -- when it is worth it ------------------------------------------------------------------------------------------------


def much(letter: str) -> bytes:
    return letter.encode() * (1 << 20)


def large_ones(lab: Lab) -> int:
    return len([path for path in (lab.runner.home / "objects").rglob("*") if path.is_file()])


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


# -- beside others -------------------------------------------------------------------------------------------------------


def others_gc(lab: Lab) -> bool:
    """As another process would do it."""
    with Runner.open(lab.runner.home, background=False) as other:
        return other.gc()


def test_a_put_between_its_contents_and_its_commit_loses_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.repos.file_changes._INLINE_BUDGET", 0)
    lab.put("data@master", {"/old": large("a")})
    lab.runner.delete_repo(parse_repo("data"))
    lab.repo("data")
    with lab.runner.modify_file(parse_commit("data@master")) as change:
        change.put("/large", large("a"))  # which lies there, and nobody needs it
        change.put("/other", large("b"))
        change.put("/small", b"small")
        assert others_gc(lab)
    assert lab.files("data@master") == {"/large": "a" * LARGE, "/other": "b" * LARGE, "/small": "small"}
    assert is_sound(lab)


def test_contents_that_arrive_after_the_plan_stay(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.repos.file_changes._INLINE_BUDGET", 0)
    files = {"/large": "a" * LARGE, "/small": "small"}
    lab.put("data@master", files)
    lab.runner.delete_repo(parse_repo("data"))
    lab.repo("data")
    plan = lab.runner.plan_gc()
    assert (len(plan.large.names), len(plan.small.names)) == (1, 1)
    with lab.runner.modify_file(parse_commit("data@master")) as change, Runner.open(lab.runner.home, background=False) as other:
        for path, text in files.items():
            change.put(path, text.encode())
        other.gc(plan)
    assert lab.files("data@master") == files
    assert is_sound(lab)


def test_contents_of_a_put_that_failed_are_needed_by_nobody(lab: Lab) -> None:
    lab.repo("data")
    with contextlib.suppress(ZeroDivisionError), lab.runner.modify_file(parse_commit("data@master")) as change:
        change.put("/large", large("a"))
        raise ZeroDivisionError
    assert len(lab.runner.plan_gc().large.names) == 1
    lab.runner.gc()
    assert there(lab) == 0


@pytest.mark.parametrize("content", [b"small", large("a")], ids=["small", "large"])
def test_what_came_to_be_needed_after_the_plan_stays(lab: Lab, content: bytes) -> None:
    lab.put("data@master", {"/a": content, "/b": "1"})
    lab.runner.delete_repo(parse_repo("data"))
    with Runner.open(lab.runner.home, background=False) as other:
        plan = other.plan_gc()
        assert len(plan.large.names) + len(plan.small.names) == 2
        lab.put("data@master", {"/a": content, "/b": "1"})  # the same pieces, which this process remembers
        other.gc(plan)
    assert lab.files("data@master") == {"/a": content.decode(), "/b": "1"}
    assert is_sound(lab)


def test_pieces_that_a_process_remembers_are_stored_again_when_they_are_needed_again(lab: Lab) -> None:
    lab.put("data@master", {f"/{number}": "1" for number in range(100)})
    lab.runner.delete_repo(parse_repo("data"))
    others_gc(lab)
    lab.put("data@master", {f"/{number}": "1" for number in range(100)})
    assert is_sound(lab)


def test_a_job_whose_inputs_are_removed_and_collected_while_it_runs_ends_and_leaves_a_sound_home(lab: Lab) -> None:
    def do(datum: Any) -> None:
        copy(datum)
        with Runner.open(lab.runner.home, background=False) as other:
            other.delete_repo(parse_repo("data"), force=True)
            assert other.gc()

    lab.put("data@master", {f"/{name}": name * LARGE for name in "abcd"})
    lab.pipeline("p", do=do)
    lab.run_all()
    assert lab.state("p").is_final
    assert is_sound(lab)
    lab.runner.gc()
    assert rubbish(lab) == 0


def test_outputs_between_their_datum_and_their_commit_stay(lab: Lab) -> None:
    gone: list[bool] = []

    def do(datum: Any) -> None:
        (file,) = datum.input("data").iterdir()
        (datum.out / file.name).write_bytes(large(file.name))
        gone.append(others_gc(lab))

    lab.put("data@master", {f"/{name}": name for name in "abcd"})
    lab.pipeline("p", do=do)
    lab.run_all()
    assert gone == [True] * 4
    assert lab.files("p@master") == {f"/{name}": name * LARGE for name in "abcd"}
    assert is_sound(lab)
    assert rubbish(lab) == 0


def test_who_reads_what_was_there_before_reads_it_to_its_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_sweep, "_PATIENCE", 0.0)
    lab.put("data@master", {"/a": large("a"), "/b": large("b"), "/c": "small"})
    files = lab.runner.get_files(parse_file("data@master:/"))
    next(files)
    with Runner.open(lab.runner.home, background=False) as other:
        other.delete_repo(parse_repo("data"))
        assert not other.gc()
        assert [b"".join(blocks) for info, blocks in files if not info.is_folder] == [large("a"), large("b"), b"small"]
        assert other.gc()
    assert there(lab) == 0


# -- killed ----------------------------------------------------------------------------------------------------------------


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
