"""What others write, need and read while rubbish is collected stays."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from local_runner.model.refs import parse_commit, parse_file, parse_repo
from local_runner.repos import gc_sweep
from local_runner.runner import Runner
from tests.repos.gc.what_there_is import LARGE, is_sound, large, rubbish, there
from tests.support.lab import Lab, copy


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
