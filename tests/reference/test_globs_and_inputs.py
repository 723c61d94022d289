"""Cases 1 to 22 of reference pps 6.1: which paths a glob selects, and what a datum sees of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from local_runner.errors import Invalid
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_commit
from tests.cli.conftest import Pachctl
from tests.reference.datums import FOO, datums, fill, pfs
from tests.support.lab import Lab

TREE = ["/a", "/d/x", "/d/e/y"]


class Globbed(NamedTuple):
    """The datums that each glob makes of these files."""

    case: str
    files: list[str]
    expected: Mapping[str, list[str]]


GLOBS = [
    Globbed("3", TREE, {"/*": ["/a", "/d/"]}),
    Globbed("4", TREE, {"/*/": ["/a", "/d/"]}),
    Globbed("5", TREE, {"/**": ["/a", "/d/", "/d/e/", "/d/e/y", "/d/x"]}),
    Globbed("6", TREE, {"/*/*": ["/d/e/", "/d/x"]}),
    Globbed("7", TREE, {"*": ["/a", "/d/"]}),
    Globbed("9", TREE, {"/nope/*": []}),
    Globbed("10", FOO, {"/foo?1": ["/foo11", "/foo21", "/foo31", "/foo41"]}),
    Globbed("11", FOO, {"/foo*2": ["/foo12", "/foo2", "/foo22", "/foo32", "/foo42"]}),
    Globbed("12", FOO, {"!(**)": []}),
    Globbed("13", ["/x.csv", "/x.txt", "/d/x.txt"], {"/!(*.csv)": ["/d/", "/x.txt"]}),
    Globbed("14", ["/a", "/ab", "/b"], {"/!(a)*": ["/b"]}),
    Globbed("15", ["/a1", "/b1", "/c1"], {"/{a,b}*": ["/a1", "/b1"]}),
    Globbed("16", ["/a1", "/d1"], {"/[!a-c]*": ["/d1"]}),
    Globbed(
        "17a",
        ["/dir1/file1.1", "/dir1/file1.2", "/dir2/file2.1", "/dir2/file2.2"],
        {
            "**.2": ["/dir1/file1.2", "/dir2/file2.2"],
            "/dir1/*": ["/dir1/file1.1", "/dir1/file1.2"],
            "/*": ["/dir1/", "/dir2/"],
            "/": ["/"],
        },
    ),
    Globbed("18", ["/a/b"], {"/a[/]b": ["/a/b"]}),
]


@pytest.mark.parametrize("globbed", GLOBS, ids=lambda globbed: f"case_{globbed.case}")
def test_a_glob_selects_files_and_folders(lab: Lab, globbed: Globbed) -> None:
    fill(lab, data=globbed.files)
    for glob, expected in globbed.expected.items():
        assert datums(lab, pfs(glob)) == [[path] for path in expected], glob
        assert [info.path for info in lab.runner.glob_file(parse_commit("data@master"), glob)] == expected


def test_case_17_globs_over_three_hundred_files_at_several_depths(lab: Lab) -> None:
    fill(lab, data=[f"{folder}file{n}" for folder in ("/", "/dir1/", "/dir2/dir3/") for n in range(100)])
    assert [len(datums(lab, pfs(glob))) for glob in ("*", "*/*", "**file1?")] == [102, 101, 30]


def everything(datum: ScriptedDatum) -> None:
    """Writes down what stands below `/pfs/in`, and the variable that names the datum."""
    seen = sorted(str(path.relative_to(datum.input("in"))) for path in datum.input("in").rglob("*") if path.is_file())
    (datum.out / datum.env["PACH_DATUM_ID"]).write_text(" ".join([datum.env["in"], *seen]))


def test_case_1_the_root_is_one_datum_that_sees_all_under_the_full_paths(lab: Lab) -> None:
    fill(lab, data=TREE)
    lab.pipeline("p", pfs("/", name="in"), everything)
    lab.run_all()
    assert datums(lab, pfs("/")) == [["/"]]
    assert list(lab.files("p@master").values()) == ["/pfs/in a d/e/y d/x"]


def test_case_2_an_empty_commit_has_no_root_to_work_on(pachctl: Pachctl) -> None:
    pachctl.ok("create repo data")
    pachctl.ok("start commit data@master")
    pachctl.ok("finish commit data@master")
    pachctl.ok("create pipeline", stdin=json.dumps({"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "input": pfs("/")}))
    (job,) = pachctl.ok("list job -p p --raw").documents
    assert job["state"] == "JOB_SUCCESS"
    assert "data_total" not in job
    assert pachctl.ok("list job -p p").lines[1].endswith("success: there were no datums to process")


def test_case_8_a_folder_is_one_datum_and_named_by_its_variable(lab: Lab) -> None:
    fill(lab, data=TREE)
    lab.pipeline("p", pfs("/d", name="in"), everything)
    lab.run_all()
    assert datums(lab, pfs("/d")) == [["/d/"]]
    assert list(lab.files("p@master").values()) == ["/pfs/in/d d/e/y d/x"]


@pytest.mark.parametrize("glob", [pytest.param("/nope/*", id="case_9"), pytest.param("!(**)", id="case_12")])
def test_a_job_without_datums_succeeds(lab: Lab, glob: str) -> None:
    fill(lab, data=TREE)
    lab.pipeline("p", pfs(glob))
    lab.run_all()
    assert (lab.state("p"), lab.counts("p"), lab.files("p@master")) == (JobState.SUCCESS, {}, {})


def test_case_19_a_glob_that_does_not_compile_is_found_out_by_the_job(lab: Lab) -> None:
    fill(lab, data=["/a"])
    with pytest.raises(Invalid, match="glob"):
        datums(lab, pfs("/[]"))
    lab.pipeline("p", pfs("/[]"))
    lab.run_all()
    # On a cluster the job is tried again for ever; that it fails is a row of DEVIATIONS.md.
    assert lab.state("p") is JobState.FAILURE


def test_case_20_a_changed_file_runs_the_whole_folder_it_is_in(lab: Lab) -> None:
    lab.put("data@master", {"/dir/f1": "1", "/dir/f2": "2"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/dir/f2": "3"})
    lab.run_all()
    assert lab.ran == ["p:/dir"]
    assert lab.counts("p") == {"total": 1, "processed": 1}
    assert lab.files("p@master") == {"/dir/f1": "1", "/dir/f2": "3"}


def test_case_21_a_file_renamed_in_its_folder_is_no_change(lab: Lab) -> None:
    lab.put("data@master", {"/dir/f1": "1"})
    lab.pipeline("p")
    lab.run_all()
    lab.put("data@master", {"/dir/f1": None, "/dir/f9": "1"})
    lab.run_all()
    assert lab.counts("p") == {"total": 1, "skipped": 1}
    assert lab.files("p@master") == {"/dir/f1": "1"}


@pytest.mark.parametrize("name", ["a (1).txt", "foobar*", "ü", "line\nbreak", "tab\t", "wakeup\a"])
def test_case_22_a_name_that_could_be_a_pattern_or_is_not_plain_text_is_refused(lab: Lab, name: str) -> None:
    lab.repo("data")
    with pytest.raises(Invalid, match="path"):
        lab.put("data@master", {f"/{name}": "x"})


def test_case_22_blanks_and_tildes_are_plain_text(lab: Lab) -> None:
    lab.put("data@master", {"/a b~": "x"})
    lab.pipeline("p")
    lab.run_all()
    assert lab.files("p@master") == {"/a b~": "x"}
