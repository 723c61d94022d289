"""What runs again and what does not, over the real engine (reference pps 2.2-2.5)."""

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_branch, parse_commit
from tests.support.lab import Lab, copy


def shout(datum: ScriptedDatum) -> None:
    for file in datum.input("data").iterdir():
        (datum.out / file.name).write_text(file.read_text() + "!")


def fails_on(name: str):  # type: ignore[no-untyped-def]
    def do(datum: ScriptedDatum) -> int:
        copy(datum)
        return int((datum.input("data") / name).exists())

    return do


def test_changing_one_file_reruns_only_its_datum(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("copy")
    assert lab.plan("copy") == {"/a": "run", "/b": "run"}
    lab.run_all()
    lab.put("data@master", {"/b": "2"})
    assert lab.plan("copy") == {"/a": "reuse", "/b": "run"}
    lab.run_all()
    assert lab.ran == ["copy:/b"]
    assert lab.counts("copy") == {"total": 2, "processed": 1, "skipped": 1}
    assert lab.datums("copy") == {"/a": "skipped", "/b": "success"}
    assert lab.files("copy@master") == {"/a": "1", "/b": "2"}


def test_a_file_put_again_with_the_same_content_changes_nothing(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.run_all()
    lab.put("data@master", {"/a": "1"})
    lab.run_all()
    assert lab.ran == []
    assert lab.counts("copy") == {"total": 1, "skipped": 1}


def test_the_output_of_a_deleted_file_goes(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("copy")
    lab.run_all()
    lab.put("data@master", {"/a": None})
    assert lab.plan("copy") == {"/a": "remove", "/b": "reuse"}
    lab.run_all()
    assert lab.files("copy@master") == {"/b": "1"}
    assert lab.datums("copy") == {"/b": "skipped"}


def test_a_file_that_comes_back_is_new_again(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("copy")
    for content in (None, "1"):
        lab.run_all()
        lab.put("data@master", {"/a": content})
    lab.run_all()
    assert lab.ran == ["copy:/a"]


def test_a_datum_that_no_longer_writes_a_file_takes_it_away(lab: Lab) -> None:
    def number_of_files(datum: ScriptedDatum) -> None:
        for n in range(int((datum.input("data") / "n").read_text())):
            (datum.out / str(n)).write_text("x")

    lab.put("data@master", {"/n": "3"})
    lab.pipeline("count", input="data:/", do=number_of_files)
    lab.run_all()
    lab.put("data@master", {"/n": "1"})
    lab.run_all()
    assert lab.files("count@master") == {"/0": "x"}


def test_a_path_may_move_from_one_datum_to_another(lab: Lab) -> None:
    def named_by_content(datum: ScriptedDatum) -> None:
        for file in datum.input("data").iterdir():
            (datum.out / file.read_text()).write_text(file.name)

    lab.put("data@master", {"/a": "x"})
    lab.pipeline("name", do=named_by_content)
    lab.run_all()
    lab.put("data@master", {"/a": None, "/b": "x"})
    lab.run_all()
    assert lab.files("name@master") == {"/x": "b"}


def test_two_datums_that_write_one_path_fail_the_job_and_not_the_next(lab: Lab) -> None:
    def same_path(datum: ScriptedDatum) -> None:
        (datum.out / "x").write_text("x")

    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("clash", do=same_path)
    lab.run_all()
    assert lab.state("clash") is JobState.FAILURE
    assert "duplicate path output by different datums (/x from" in lab.job("clash").reason
    lab.put("data@master", {"/b": None})
    lab.run_all()
    assert lab.state("clash") is JobState.SUCCESS
    assert lab.files("clash@master") == {"/x": "x"}
    assert lab.ran == ["clash:/a"]


def test_an_update_runs_nothing_again_unless_asked(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.run_all()
    lab.pipeline("copy", do=shout, update=True)
    lab.run_all()
    assert lab.ran == []
    assert lab.files("copy@master") == {"/a": "1"}
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert lab.files("copy@master") == {"/a": "1", "/b": "1!"}
    lab.pipeline("copy", update=True, reprocess=True)
    assert set(lab.plan("copy").values()) == {"run"}
    lab.run_all()
    assert lab.files("copy@master") == {"/a": "1!", "/b": "1!"}


def test_a_changed_glob_keeps_datums_whose_paths_it_still_matches(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("copy", input="data:/*")
    lab.run_all()
    lab.pipeline("copy", input="data:/a", update=True)
    lab.run_all()
    assert lab.ran == []
    assert lab.files("copy@master") == {"/a": "1"}


def test_a_job_after_a_failed_one_keeps_what_succeeded_in_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy", do=fails_on("bad"), datum_tries=1)
    lab.run_all()
    lab.put("data@master", {"/b": "1", "/bad": "1"})
    lab.run_all()
    assert lab.state("copy") is JobState.FAILURE
    lab.put("data@master", {"/bad": None})
    assert lab.plan("copy") == {"/a": "reuse", "/b": "keep"}
    lab.run_all()
    assert lab.ran == []
    assert lab.files("copy@master") == {"/a": "1", "/b": "1"}
    assert lab.counts("copy") == {"total": 2, "processed": 1, "skipped": 1}


def test_a_failure_among_new_datums_deletes_nothing_and_skips_nothing(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("copy", do=fails_on("bad"), datum_tries=1)
    lab.run_all()
    lab.put("data@master", {"/a": None, "/b": "2", "/bad": "1"})
    lab.run_all()
    assert lab.counts("copy") == {"total": 2, "failed": 1}
    assert lab.ran == ["copy:/bad"]


def test_every_job_reprocesses_whenever_a_job_runs(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy", reprocess_spec="every_job")
    lab.run_all()
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert lab.ran == ["copy:/a", "copy:/b"]


def test_work_flows_down_a_chain_only_where_something_changed(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "1"})
    lab.pipeline("one")
    lab.pipeline("two", input="one:/*")
    lab.run_all()
    assert lab.ran == ["one:/a", "one:/b", "two:/a", "two:/b"]
    lab.put("data@master", {"/b": "2"})
    lab.run_all()
    assert lab.ran == ["one:/b", "two:/b"]
    assert lab.files("two@master") == {"/a": "1", "/b": "2"}


def test_a_reprocessed_upstream_with_the_same_result_runs_nothing_downstream(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("one")
    lab.pipeline("two", input="one:/*")
    lab.run_all()
    lab.pipeline("one", update=True, reprocess=True)
    lab.run_all()
    assert lab.ran == ["one:/a"]


def test_a_job_whose_input_failed_is_unrunnable_and_runs_when_it_is_mended(lab: Lab) -> None:
    lab.put("data@master", {"/bad": "1"})
    lab.pipeline("one", do=fails_on("bad"), datum_tries=1)
    lab.pipeline("two", input="one:/*")
    lab.run_all()
    assert lab.state("two") is JobState.UNRUNNABLE
    assert "unrunnable because the following upstream pipelines failed: one" in lab.job("two").reason
    lab.put("data@master", {"/bad": None, "/good": "1"})
    lab.run_all()
    assert lab.files("two@master") == {"/good": "1"}


def test_a_job_waits_for_all_its_inputs_before_it_names_those_that_failed(lab: Lab) -> None:
    lab.put("data@master", {"/good": "1"})
    lab.put("other@master", {"/b": "1"})
    lab.pipeline("one", do=fails_on("bad"), datum_tries=1)
    lab.pipeline("two", input={"cross": [{"pfs": {"repo": repo, "glob": "/*"}} for repo in ("one", "other")]})
    lab.run_all()
    lab.put("data@master", {"/bad": "1"})
    lab.runner.start_commit(parse_branch("other@master"))
    lab.run_all()
    assert (lab.state("one"), lab.state("two")) == (JobState.FAILURE, JobState.STARTING)
    lab.runner.finish_commit(parse_commit("other@master"))
    lab.run_all()
    assert lab.state("two") is JobState.UNRUNNABLE
    assert lab.job("two").reason == "unrunnable because the following upstream pipelines failed: one"


def test_several_waiting_jobs_run_in_their_order(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    for n in range(4):
        lab.put("data@master", {"/a": str(n)})
    lab.run_all()
    assert [job.state for job in lab.jobs("copy")] == [JobState.SUCCESS] * 5
    started = [job.started or 0 for job in reversed(lab.jobs("copy"))]
    assert started == sorted(started)
    assert lab.files("copy@master") == {"/a": "3"}
    assert lab.files("copy@master^") == {"/a": "2"}


def test_moving_a_branch_back_brings_the_old_output(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.put("data@master", {"/b": "1"})
    lab.pipeline("copy")
    lab.run_all()
    lab.runner.create_branch(parse_branch("data@master"), parse_commit("data@master^"))
    lab.run_all()
    assert lab.files("copy@master") == {"/a": "1"}


def test_an_input_without_any_match_makes_an_empty_success(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy", input="data:/nothing*")
    lab.run_all()
    assert lab.state("copy") is JobState.SUCCESS
    assert lab.files("copy@master") == {}
    assert lab.counts("copy") == {}


def test_a_pipeline_that_is_stopped_does_nothing_until_it_is_started(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("copy")
    lab.run_all()
    pipeline = lab.job("copy").job.pipeline
    lab.runner.stop_pipeline(pipeline)
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert lab.files("copy@master") == {"/a": "1"}
    lab.runner.start_pipeline(pipeline)
    lab.run_all()
    assert lab.files("copy@master") == {"/a": "1", "/b": "1"}
