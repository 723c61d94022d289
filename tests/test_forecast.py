"""What would run and why is known before anything has run; and it is what then happens."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import PipelineRef, parse_branch, parse_commit, parse_file
from local_runner.model.repos import Trigger
from local_runner.planning.forecast import JobForecast
from local_runner.planning.plan import CHANGED, FAILED, NEW, OTHER_SALT, Action
from local_runner.project.file import InputRepo
from local_runner.project.update import Changes, FilesChanged
from local_runner.repos.files import Put, modify
from tests.support.lab import Lab, copy, label


def job_forecasts(lab: Lab) -> list[JobForecast]:
    return list(lab.runner.plan(Changes()).job_forecasts)


def only(lab: Lab, pipeline: str) -> JobForecast:
    (found,) = (one for one in job_forecasts(lab) if one.pipeline.name == pipeline)
    return found


def verbs(job_forecast: JobForecast) -> dict[str, str]:
    return {label(step.datum) if step.datum else step.id: step.verb.value for step in job_forecast.steps}


def fail_on(text: str):  # type: ignore[no-untyped-def]
    def do(datum: ScriptedDatum) -> int:
        copy(datum)
        return int(any(text in file.read_text() for file in datum.out.iterdir()))

    return do


def test_nothing_is_foretold_where_nothing_is_to_be_done(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.run_all()
    assert job_forecasts(lab) == []


def test_a_look_ahead_changes_nothing(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.pipeline("again", "copy:/*")
    before = job_forecasts(lab)
    assert job_forecasts(lab) == before
    lab.run_all()
    assert lab.files("again@master") == {"/a": "1"}


def test_a_changed_file_is_named_with_its_old_and_new_size_and_hash(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("copy")
    lab.run_all()
    old = lab.runner.inspect_file(parse_file("data@master:/b"))
    lab.put("data@master", {"/b": "twelve bytes"})
    new = lab.runner.inspect_file(parse_file("data@master:/b"))
    found = only(lab, "copy")
    assert verbs(found) == {"/a": "reuse", "/b": "run"}
    (step,) = (step for step in found.steps if step.verb is Action.RUN)
    (change,) = step.changes
    assert (step.reason, change.input, change.path) == (CHANGED, "data", "/b")
    assert change.old == (old.hash, 1)
    assert change.new == (new.hash, 12)


def test_of_a_folder_the_files_in_it_are_named(lab: Lab) -> None:
    lab.put("data@master", {"/d/a": "1", "/d/b": "1", "/d/c": "1", "/e/a": "1"})
    lab.pipeline("copy", "data:/*")
    lab.run_all()
    lab.put("data@master", {"/d/a": "2", "/d/b": None, "/d/new": "1"})
    (step,) = (step for step in only(lab, "copy").steps if step.verb is Action.RUN)
    found = {change.path: (change.old is not None, change.new is not None) for change in step.changes}
    assert found == {"/d/a": (True, True), "/d/b": (True, False), "/d/new": (False, True)}


def test_of_texts_that_changed_there_is_a_diff(lab: Lab) -> None:
    lab.put("data@master", {"/a": "one\ntwo\nthree\n", "/b": b"\xff\xfe"})
    lab.pipeline("copy")
    lab.run_all()
    lab.put("data@master", {"/a": "one\n2\nthree", "/b": b"\xff"})
    looked = lab.runner.plan(Changes())
    shown = {c.path: lab.runner.text_diff(looked, c) for step in looked.job_forecasts[0].steps for c in step.changes}
    assert shown["/a"][2:] == ["@@ -1,3 +1,3 @@", " one", "-two", "-three", "+2", "+three", "\\ No newline at end of file"]
    assert shown["/b"] == ["no text"]


def test_a_datum_that_failed_says_so_and_its_companions_that_their_output_is_kept(lab: Lab) -> None:
    lab.put("data@master", {"/bad": "fail", "/good": "1"})
    lab.pipeline("copy", do=fail_on("fail"), datum_tries=1)
    lab.run_all()
    lab.pipeline("copy", do=fail_on("fail"), update=True, datum_tries=1)
    found = only(lab, "copy")
    kept = f"succeeded in job {lab.jobs('copy')[1].job.id}, which failed; its output is kept"
    assert {label(step.datum): step.reason for step in found.steps if step.datum} == {"/bad": FAILED, "/good": kept}
    assert verbs(found) == {"/bad": "run", "/good": "keep"}
    assert [cause.kind for cause in found.causes] == ["last job"]
    lab.put("data@master", {"/bad": "mended"})
    last = job_forecasts(lab)[-1]
    assert {label(step.datum): step.verb.value for step in last.steps if step.datum} == {"/bad": "run", "/good": "reuse"}


def test_a_spec_field_that_changed_is_named_with_its_old_and_new_value(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy", transform={"env": {"SEED": "1"}})
    lab.run_all()
    lab.pipeline("copy", transform={"env": {"SEED": "2"}}, update=True, reprocess=True)
    found = only(lab, "copy")
    assert [(cause.kind, cause.name, cause.old, cause.new) for cause in found.causes] == [("spec", "transform.env.SEED", "1", "2")]
    assert [step.reason for step in found.steps] == [OTHER_SALT]


def test_a_new_pipeline_has_new_datums(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    found = only(lab, "copy")
    assert [cause.kind for cause in found.causes] == ["new pipeline"]
    assert [step.reason for step in found.steps] == [NEW]


def test_downstream_of_a_job_that_never_ran_nothing_is_known(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("first")
    lab.pipeline("second", "first:/*")
    found = only(lab, "second")
    assert (found.waits_for, found.steps) == (("first",), ())


def test_downstream_what_stands_on_reused_datums_is_certain_and_the_rest_is_said_to_be_unknown(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("first")
    lab.pipeline("second", "first:/*")
    lab.pipeline("all", "second:/")
    lab.run_all()
    lab.put("data@master", {"/b": "2", "/c": "1"})
    assert verbs(only(lab, "first")) == {"/a": "reuse", "/b": "run", "/c": "run"}
    second = only(lab, "second")
    assert second.waits_for == ("first",)
    assert verbs(second) == {"/a": "reuse", "/b": "unknown"}
    assert verbs(only(lab, "all")) == {"/": "unknown"}


def test_downstream_of_a_job_that_only_removes_everything_is_known(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("first")
    lab.pipeline("second", "first:/*")
    lab.run_all()
    lab.put("data@master", {"/b": None})
    second = only(lab, "second")
    assert second.waits_for == ()
    assert verbs(second) == {"/a": "reuse", "/b": "remove"}


def test_a_datum_runs_for_certain_if_one_of_its_inputs_changed_though_another_is_unknown(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.put("words@master", {"/w": "1"})
    lab.pipeline("first")
    lab.pipeline("both", {"cross": [{"pfs": {"repo": "first", "glob": "/"}}, {"pfs": {"repo": "words", "glob": "/*"}}]})
    lab.run_all()
    change_together(lab, {"data": "/a", "words": "/w"})
    both = only(lab, "both")
    assert both.waits_for == ("first",)
    assert verbs(both) == {"/ /w": "run"}
    assert [[change.path for change in step.changes] for step in both.steps] == [["/w"]]


def change_together(lab: Lab, files: dict[str, str]) -> None:
    """Write "2" into a file of each repo, as one change."""
    content = lab.runner.database.files.take(b"2")
    lab.runner.change(lambda txn: [modify(txn, parse_commit(f"{repo}@master"), [Put(path, content)]) for repo, path in files.items()])


def test_outer_joins_and_groups_promise_nothing_while_files_are_to_come(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("first")
    lab.pipeline("grouped", {"group": [{"pfs": {"repo": "first", "glob": "/(*)", "group_by": "$1"}}]})
    lab.run_all()
    lab.put("data@master", {"/b": "2"})
    assert set(verbs(only(lab, "grouped")).values()) == {"unknown"}


def test_below_a_job_that_can_never_run_there_is_none_that_can(lab: Lab) -> None:
    lab.put("data@master", {"/a": "fail"})
    lab.pipeline("first", do=fail_on("fail"), datum_tries=1)
    lab.run_all()
    lab.pipeline("second", "first:/*")
    found = only(lab, "second")
    assert "upstream pipelines failed: first" in found.problem


def test_an_input_that_somebody_is_still_writing_is_waited_for(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.run_all()
    lab.runner.start_commit(parse_branch("data@master"))
    found = only(lab, "copy")
    assert found.waits_for == ("data",)
    assert verbs(found) == {"/a": "unknown"}


def test_a_second_job_of_a_pipeline_stands_on_what_the_first_will_have_done(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.put("data@master", {"/b": "1"})
    assert [verbs(one) for one in job_forecasts(lab)] == [{"/a": "run"}, {"/a": "reuse", "/b": "run"}]


def test_files_that_are_yet_to_be_committed_are_compared_as_they_are_here_and_triggers_fire(lab: Lab) -> None:
    lab.put("data@master", {"/a": "old\n"})
    lab.runner.create_branch(parse_branch("data@ready"), parse_commit("data@master"), trigger=Trigger("master", commits=1))
    lab.pipeline("copy", {"pfs": {"repo": "data", "branch": "ready", "glob": "/*"}})
    lab.run_all()
    put = Put("/a", lab.runner.database.files.take(b"new\n")._replace(inline=None))
    looked = lab.runner.plan(Changes(files=(FilesChanged(InputRepo("data", {}), (put,), {"/a": b"new\n"}),)))
    (copied,) = looked.job_forecasts
    (step,) = copied.steps
    assert lab.runner.text_diff(looked, step.changes[0])[3:] == ["-old", "+new"]
    assert lab.files("data@ready") == {"/a": "old\n"}


def test_pipelines_that_are_not_needed_are_left_out(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("one")
    lab.pipeline("two")
    needed = Changes(needed=frozenset([PipelineRef("default", "two")]))
    assert [one.pipeline.name for one in lab.runner.plan(needed).job_forecasts] == ["two"]


@pytest.fixture
def lab_at(home: Path) -> Callable[[], AbstractContextManager[Lab]]:
    """Makes a lab in a home of its own."""
    numbers = itertools.count()
    return lambda: closing(Lab(home / str(next(numbers))))


CONTENTS = st.dictionaries(st.sampled_from(["/a", "/b", "/c/d"]), st.sampled_from(["1", "2", None]), min_size=1, max_size=3)


@settings(max_examples=8)
@given(st.lists(CONTENTS, min_size=1, max_size=3))
def test_what_is_certain_comes_true(lab_at: Callable[[], AbstractContextManager[Lab]], histories: list[dict[str, str | None]]) -> None:
    with lab_at() as lab:
        lab.put("data@master", {"/a": "1", "/b": "1"})
        lab.pipeline("first")
        lab.pipeline("second", "first:/*")
        lab.pipeline("third", {"cross": [{"pfs": {"repo": "second", "glob": "/*"}}, {"pfs": {"repo": "data", "glob": "/"}}]})
        lab.run_all()
        for files in histories:
            lab.put("data@master", files)
            foretold = job_forecasts(lab)
            lab.run_all()
            for one in foretold:
                really = lab.datums(one.pipeline.name)
                for step in one.steps:
                    assert step.datum is not None
                    name = label(step.datum)
                    expected = {Action.RUN: "success", Action.REUSE: "skipped", Action.REMOVE: None}
                    if step.verb in expected:
                        assert really.get(name) == expected[step.verb], (one.pipeline.name, step)
                if not one.waits_for:
                    wanted = {label(step.datum) for step in one.steps if step.datum and step.verb is not Action.REMOVE}
                    assert wanted == set(really)
