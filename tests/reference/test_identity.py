"""Cases 50 to 71 of reference pps 6.3: what a datum is, when it is skipped, and what becomes of its output when it goes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_branch, parse_commit
from tests.reference.datums import Input, fill, ids, pfs
from tests.support.lab import Lab, copy

FAILURE, SUCCESS = JobState.FAILURE, JobState.SUCCESS
TEN = [f"/file-{n}" for n in range(10)]

MAIN_AND_REFERENCE: Input = {"cross": [pfs("/*", "main"), pfs("/", "table", reference=True)]}


def shout(datum: ScriptedDatum) -> None:
    """The copy of another version."""
    for file in datum.input("data").iterdir():
        (datum.out / file.name).write_text(file.read_text().upper() + "!")


class Fails:
    """A copy that fails on some files; with `mend`, the error command succeeds on some of these."""

    def __init__(self, *names: str, mend: Sequence[str] = ()) -> None:
        self.names, self.mended = names, mend

    def __call__(self, datum: ScriptedDatum) -> int:
        name = datum.env["data"].rpartition("/")[2]
        if datum.request.cmd == ("mend",):
            return int(name not in self.mended)
        copy(datum)
        return int(name in self.names)


def test_case_50_an_id_is_made_of_names_and_path(lab: Lab) -> None:
    fill(lab, images=["/liberty.jpg"])
    assert ids(lab, pfs("/*", "images")) == ["cef4a52be60465b328ea783037b6c46531ad7cc9f4e190f9c0e548f473cd1fd1"]


def test_case_51_an_empty_commit_makes_a_job_that_runs_nothing(lab: Lab) -> None:
    lab.put("data@master", {"/file": "foo"})
    lab.pipeline("p")
    lab.run_all()
    lab.runner.start_commit(parse_branch("data@master"))
    lab.runner.finish_commit(parse_commit("data@master"))
    lab.run_all()
    assert lab.ran == []
    assert lab.counts("p") == {"total": 1, "skipped": 1}
    assert len(lab.jobs("p")) == 2


def test_case_52_output_follows_what_is_changed_deleted_and_added(lab: Lab) -> None:
    lab.put("data@master", {"/file": "foo"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/file": "bar"})
    lab.run_all()
    assert lab.files("p@master") == {"/file": "bar"}
    lab.put("data@master", {"/file": None, "/file2": "new"})
    lab.run_all()
    assert lab.files("p@master") == {"/file2": "new"}


def test_case_53_a_second_file_is_one_datum_more(lab: Lab) -> None:
    lab.put("data@master", {"/file1": "1"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/file2": "2"})
    lab.run_all()
    assert lab.counts("p") == {"total": 2, "processed": 1, "skipped": 1}
    assert lab.datums("p") == {"/file1": "skipped", "/file2": "success"}


def test_case_54_ten_files_more_leave_ten_skipped(lab: Lab) -> None:
    fill(lab, data=TEN)
    lab.pipeline("p")
    lab.run_all()
    fill(lab, data=[f"/more-{n}" for n in range(10)])
    lab.run_all()
    assert sorted(lab.datums("p").values()) == ["skipped"] * 10 + ["success"] * 10


def test_case_55_the_meta_repo_holds_four_files_of_each_present_datum(lab: Lab) -> None:
    lab.put("data@master", {"/foo": "1"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/foo": None, "/bar": "2"})
    lab.run_all()
    (datum,) = ids(lab, pfs("/*"))
    held = {f"/meta/{datum}/meta", f"/pfs/{datum}/.env", f"/pfs/{datum}/data/bar", f"/pfs/{datum}/out/bar"}
    assert lab.files("p.meta@master").keys() == held


def test_case_56_without_its_only_file_the_output_is_empty(lab: Lab) -> None:
    lab.put("data@master", {"/file": "foo"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/file": None})
    lab.run_all()
    assert (lab.files("p@master"), lab.counts("p"), lab.state("p")) == ({}, {}, SUCCESS)


@pytest.fixture
def updated(lab: Lab) -> Lab:
    """Two files were copied before an update made the pipeline shout."""
    lab.put("data@master", {"/a": "a", "/b": "b"})
    lab.pipeline("p")
    lab.run_all()
    lab.pipeline("p", do=shout, update=True)
    return lab


def test_case_57_an_update_makes_a_job_that_runs_nothing_again(updated: Lab) -> None:
    updated.run_all()
    assert updated.job("p").pipeline_version == 2
    assert updated.counts("p") == {"total": 2, "skipped": 2}
    assert updated.files("p@master") == {"/a": "a", "/b": "b"}


def test_case_58_an_update_with_reprocess_runs_all_again(updated: Lab) -> None:
    updated.pipeline("p", update=True, reprocess=True)
    updated.run_all()
    assert updated.counts("p") == {"total": 2, "processed": 2}
    assert updated.files("p@master") == {"/a": "A!", "/b": "B!"}


def test_case_59_what_changes_after_an_update_runs_the_new_way(updated: Lab) -> None:
    updated.run_all()
    updated.put("data@master", {"/b": "c"})
    updated.run_all()
    assert updated.counts("p") == {"total": 2, "processed": 1, "skipped": 1}
    assert updated.files("p@master") == {"/a": "a", "/b": "C!"}


def test_case_60_another_salt_in_an_updated_spec_runs_nothing_again(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", salt="one")
    lab.run_all()
    lab.pipeline("p", salt="two", update=True)
    lab.run_all()
    assert lab.counts("p") == {"total": 1, "skipped": 1}


def test_case_61_what_succeeded_in_a_failed_job_runs_again(lab: Lab) -> None:
    fill(lab, data=TEN)
    lab.pipeline("p", do=Fails("file-5"))
    lab.run_all()
    assert lab.state("p") is FAILURE
    assert lab.counts("p") == {"total": 10, "processed": 9, "failed": 1}
    lab.pipeline("p", do=copy, update=True)
    lab.run_all()
    assert lab.counts("p") == {"total": 10, "processed": 10}
    assert sorted(lab.files("p@master")) == TEN


def test_case_62_a_job_stands_on_the_last_good_one(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RUNNER_KEEP_SUCCEEDED", "0")
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", do=Fails("b"))
    lab.run_all()
    lab.put("data@master", {"/b": "1", "/c": "1"})
    lab.run_all()
    assert lab.state("p") is FAILURE
    lab.put("data@master", {"/b": None})
    lab.run_all()
    assert lab.ran == ["p:/c"]
    assert lab.counts("p") == {"total": 2, "processed": 1, "skipped": 1}
    assert lab.datums("p") == {"/a": "skipped", "/c": "success"}


def test_case_63_a_recovered_datum_runs_again_after_an_update(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", do=Fails("a", mend=["a"]), transform={"err_cmd": ["mend"]})
    lab.run_all()
    assert lab.counts("p") == {"total": 1, "recovered": 1}
    lab.pipeline("p", do=copy, update=True)
    lab.run_all()
    assert lab.counts("p") == {"total": 1, "processed": 1}


def test_case_64_every_job_runs_everything_if_the_spec_says_so(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("p", reprocess_spec="every_job")
    lab.run_all()
    lab.put("data@master", {})
    lab.run_all()
    assert len(lab.jobs("p")) == 2
    assert lab.counts("p") == {"total": 2, "processed": 2}


@pytest.fixture
def referring(lab: Lab) -> Lab:
    """A pipeline that writes down the table as it saw it, and did so once."""

    def do(datum: ScriptedDatum) -> None:
        (datum.out / datum.env["main"].rpartition("/")[2]).write_text((datum.input("table") / "t").read_text())

    lab.put("main@master", {"/a": "1", "/b": "1"})
    lab.put("table@master", {"/t": "old"})
    lab.pipeline("p", MAIN_AND_REFERENCE, do)
    lab.run_all()
    return lab


def test_case_65_a_changed_reference_runs_nothing_again(referring: Lab) -> None:
    referring.put("table@master", {"/t": "new"})
    referring.run_all()
    assert referring.counts("p") == {"total": 2, "skipped": 2}
    assert referring.files("p@master") == {"/a": "old", "/b": "old"}


def test_case_66_what_runs_for_another_reason_sees_the_new_reference(referring: Lab) -> None:
    referring.put("table@master", {"/t": "new"})
    referring.put("main@master", {"/a": "2"})
    referring.run_all()
    assert referring.counts("p") == {"total": 2, "processed": 1, "skipped": 1}
    assert referring.files("p@master") == {"/a": "new", "/b": "old"}


def test_case_67_a_file_that_is_not_written_again_is_gone(lab: Lab) -> None:
    def do(datum: ScriptedDatum) -> None:
        for name in (datum.input("data") / "list").read_text().split():
            (datum.out / name).write_text("x")

    lab.put("data@master", {"/list": "a b"})
    lab.pipeline("p", do=do)
    lab.run_all()
    lab.put("data@master", {"/list": "a"})
    lab.run_all()
    assert lab.files("p@master") == {"/a": "x"}


def test_case_68_another_glob_over_the_same_files_runs_nothing_again(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("p", "data:/*")
    lab.run_all()
    lab.pipeline("p", "data:/**", update=True)
    lab.run_all()
    assert lab.counts("p") == {"total": 2, "skipped": 2}


def test_case_69_another_name_makes_other_datums_that_may_write_the_same_paths(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("p", pfs("/*", name="old"))
    lab.run_all()
    before = lab.tags("p@master")
    lab.pipeline("p", pfs("/*", name="new"), update=True)
    lab.run_all()
    after = lab.tags("p@master")
    assert lab.counts("p") == {"total": 2, "processed": 2}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_case_70_the_same_content_again_is_no_change(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/a": "1"})
    lab.run_all()
    assert lab.counts("p") == {"total": 1, "skipped": 1}


def test_case_71_a_failed_job_counts_what_succeeded_recovered_and_failed(lab: Lab) -> None:
    fill(lab, data=["/1", "/2", "/3"])
    lab.pipeline("p", do=Fails("2", "3", mend=["2"]), transform={"err_cmd": ["mend"]})
    lab.run_all()
    assert lab.state("p") is FAILURE
    assert lab.counts("p") == {"total": 3, "processed": 1, "recovered": 1, "failed": 1}
    assert lab.datums("p") == {"/1": "success", "/2": "recovered", "/3": "failed"}
