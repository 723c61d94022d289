"""Where files come from and what was made of them, over the real engine."""

from __future__ import annotations

import pytest

from local_runner.errors import PathNotFound
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import parse_file
from local_runner.pipelines.why import FileNode, consequences, origin
from tests.support.lab import Lab, copy


def back(lab: Lab, file: str) -> FileNode:
    with lab.runner.database.read() as session:
        return origin(session, parse_file(file))


def forward(lab: Lab, file: str) -> FileNode:
    with lab.runner.database.read() as session:
        return consequences(session, parse_file(file))


def drawn(node: FileNode) -> object:
    """A tree as nested tuples: (repo:path, what is below it), where what is below a file is datums by pipeline, or "put"."""
    below = [(datum.pipeline.name, [drawn(file) for file in datum.files]) for datum in node.datums]
    put = [("put", path) for put in node.put for path in put.paths]
    return (f"{node.commit.repo.name}:{node.path}", below + put)


def merge(datum: ScriptedDatum) -> None:
    """One file of all there is."""
    files = sorted(p for p in datum.input("first").rglob("*") if p.is_file())
    (datum.out / "all").write_text("".join(p.read_text() for p in files))


def test_a_file_is_followed_back_over_datums_to_what_people_put(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "2"})
    lab.pipeline("first")
    lab.pipeline("second", "first:/*")
    lab.run_all()
    found = back(lab, "second@master:/a")
    assert drawn(found) == ("second:/a", [("second", [("first:/a", [("first", [("data:/a", [("put", "/a")])])])])])
    job = lab.job("second").job.id
    assert (found.datums[0].job, found.datums[0].id) == (job, lab.tags("second@master")["/a"])
    assert found.commit == lab.head("second@master")


def test_a_folder_leads_to_every_datum_that_wrote_into_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "2"})
    lab.pipeline("first")
    lab.pipeline("merged", "first:/", merge)
    lab.run_all()
    (merged,) = back(lab, "merged@master:/all").datums
    (folder,) = merged.files
    assert folder.path == "/"
    assert sorted(file.path for datum in folder.datums for file in datum.files) == ["/a", "/b"]
    assert [datum.written for datum in folder.datums] == [1, 1]


def test_a_source_file_names_the_commit_that_brought_it_and_not_a_later_one(lab: Lab) -> None:
    first = lab.put("data@master", {"/old": "1", "/new": "1"})
    second = lab.put("data@master", {"/new": "2"})
    lab.put("data@master", {"/other": "1"})
    assert [(put.commit, put.paths) for put in back(lab, "data@master:/old").put] == [(first, ("/old",))]
    assert [(put.commit, put.paths) for put in back(lab, "data@master:/new").put] == [(second, ("/new",))]
    whole = back(lab, "data@master:/").put
    assert [put.paths for put in whole] == [("/other",), ("/new",), ("/old",)]


def test_a_skipped_datum_names_the_job_that_ran_it_and_the_commit_it_read(lab: Lab) -> None:
    read = lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    lab.run_all()
    ran = lab.job("first").job.id
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    (datum,) = back(lab, "first@master:/a").datums
    assert (datum.state, datum.job) == ("skipped", ran)
    assert datum.files[0].commit == read


def test_a_datum_that_is_met_twice_is_followed_once(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    lab.pipeline("both", {"cross": [{"pfs": {"repo": "first", "name": n, "glob": "/*"}} for n in ("one", "two")]})
    lab.run_all()
    one, two = back(lab, "both@master:/a").datums[0].files
    assert not one.datums[0].again
    assert one.datums[0].files
    assert two.datums[0].again
    assert not two.datums[0].files


def test_an_input_commit_that_was_deleted_is_said_to_be_gone(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("first")
    old = lab.put("data@master", {"/a": "1"})
    lab.run_all()
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    lab.runner.squash_commit_set(old.id)
    (datum,) = back(lab, "first@master:/a").datums
    assert datum.files[0].gone


def test_a_file_that_is_not_there_is_not_found(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    with pytest.raises(PathNotFound):
        back(lab, "data@master:/nope")
    with pytest.raises(PathNotFound):
        forward(lab, "data@master:/nope")


def test_a_file_is_followed_forward_to_everything_that_was_made_of_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "2"})
    lab.pipeline("first")
    lab.pipeline("merged", "first:/", merge)
    lab.run_all()
    expected: object = ("data:/a", [("first", [("first:/a", [("merged", [("merged:/all", [])])])])])
    assert drawn(forward(lab, "data@master:/a")) == expected


def test_forward_only_the_newest_job_of_a_pipeline_counts(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.put("words@master", {"/w": "1"})
    lab.pipeline("both", {"cross": [{"pfs": {"repo": "data", "glob": "/*"}}, {"pfs": {"repo": "words", "glob": "/*"}}]})
    lab.run_all()
    lab.put("words@master", {"/w": "2"})
    lab.run_all()
    (datum,) = forward(lab, "data@master:/a").datums
    assert datum.job == lab.job("both").job.id


def test_what_a_failed_job_wrote_was_made_of_nothing(lab: Lab) -> None:
    def fails(datum: ScriptedDatum) -> int:
        copy(datum)
        return 1

    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first", do=fails, datum_tries=1)
    lab.run_all()
    (datum,) = forward(lab, "data@master:/a").datums
    assert (datum.state, datum.files) == ("failed", ())


def test_a_folder_of_an_input_leads_to_the_datums_of_what_is_in_it(lab: Lab) -> None:
    lab.put("data@master", {"/d/a": "1", "/d/b": "2", "/e": "3"})
    lab.pipeline("first", "data:/**")
    lab.run_all()
    read = {datum.id for datum in forward(lab, "data@master:/d/").datums}
    listed = list(lab.runner.list_datum(lab.job("first").job))
    assert read == {info.datum.id for info in listed if info.datum.inputs[0].path != "/e"}
