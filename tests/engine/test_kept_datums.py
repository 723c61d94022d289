"""What succeeded is not repeated: the next job takes it over from one that failed."""

from __future__ import annotations

import time

import pytest

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import JobRef
from local_runner.planning.kept_datums import KEEP_VARIABLE
from tests.support.lab import Lab, copy

ALL = {f"/{name}": f"content of {name}" for name in "abcdef"}
BROKEN: set[str] = set()


def picky(datum: ScriptedDatum) -> int | None:
    """Copies all but the files that cannot be worked on yet."""
    (path,) = (p for p in datum.input("data").rglob("*") if p.is_file())
    return 1 if path.name in BROKEN else copy(datum)


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """Six datums of which three fail, each for good."""
    BROKEN.clear()
    BROKEN.update("bdf")
    lab.put("data@master", ALL)
    lab.pipeline("p", do=picky, datum_tries=1)
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    return lab


def again(lab: Lab) -> list[str]:
    """Once more, after something was mended; returns which datums ran."""
    lab.runner.rerun_pipeline(lab.job("p").job.pipeline)
    lab.run_all()
    return [name.removeprefix("p:") for name in lab.ran]


def test_in_a_chain_of_jobs_that_fail_each_datum_succeeds_once(lab: Lab) -> None:
    for mended, left in (("b", "bdf"), ("d", "df"), ("f", "f")):
        BROKEN.discard(mended)
        assert again(lab) == [f"/{name}" for name in left]
    assert lab.state("p") is JobState.SUCCESS
    assert lab.files("p@master") == ALL
    assert again(lab) == []
    assert not list(lab.runner.fsck())


def test_what_is_kept_counts_and_is_shown_as_if_it_had_run_here(lab: Lab) -> None:
    BROKEN.clear()
    again(lab)
    assert lab.counts("p") == {"total": 6, "processed": 6}
    assert set(lab.datums("p").values()) == {"success"}
    assert {info.job for info in lab.runner.list_datum(lab.job("p").job)} == {lab.job("p").job.id}
    assert lab.job("p").stats.download_bytes == sum(map(len, ALL.values()))


def test_the_next_good_job_skips_what_was_kept(lab: Lab) -> None:
    BROKEN.clear()
    again(lab)
    lab.put("data@master", {"/new": "1"})
    lab.run_all()
    assert lab.ran == ["p:/new"]
    assert lab.counts("p") == {"total": 7, "processed": 1, "skipped": 6}


def test_a_datum_whose_content_changed_since_it_succeeded_runs_again(lab: Lab) -> None:
    BROKEN.clear()
    lab.put("data@master", {"/a": "other"})
    lab.run_all()
    assert lab.ran == ["p:/a", "p:/b", "p:/d", "p:/f"]
    assert lab.files("p@master") == {**ALL, "/a": "other"}


def test_a_datum_that_changed_and_changed_back_has_the_output_of_its_present_content(lab: Lab) -> None:
    lab.put("data@master", {"/a": "other"})
    lab.run_all()
    BROKEN.clear()
    lab.put("data@master", {"/a": ALL["/a"]})
    lab.run_all()
    assert lab.ran == ["p:/b", "p:/d", "p:/f"]
    assert lab.files("p@master") == ALL


def test_what_ran_anew_over_an_old_success_is_kept_too_and_its_old_output_is_gone(lab: Lab) -> None:
    BROKEN.clear()
    again(lab)
    BROKEN.add("b")
    lab.put("data@master", dict.fromkeys(ALL, "2"))
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    BROKEN.clear()
    assert again(lab) == ["/b"]
    assert lab.files("p@master") == dict.fromkeys(ALL, "2")
    assert not list(lab.runner.fsck())


def test_a_stopped_job_leaves_what_it_had_done_to_the_next(lab: Lab) -> None:
    BROKEN.clear()
    lab.put("data@master", {f"/more{number}": "1" for number in range(4)})

    def stop_there(datum: ScriptedDatum) -> None:
        if (datum.input("data") / "more3").exists():
            while lab.counts("p").get("processed", 0) < 3:
                time.sleep(0.01)
            lab.runner.stop_job(lab.job("p").job)
            datum.cancelled.wait(30)
        copy(datum)

    lab.does("p", stop_there)
    lab.run_all()
    assert lab.state("p") is JobState.KILLED
    done = {path for path, state in lab.datums("p").items() if state == "success"}
    assert {"/a", "/c", "/e"} <= done < {*ALL, *(f"/more{number}" for number in range(4))}
    lab.does("p", picky)
    assert set(again(lab)) == {*ALL, *(f"/more{number}" for number in range(4))} - done
    assert lab.state("p") is JobState.SUCCESS


def test_reprocessing_runs_everything_again(lab: Lab) -> None:
    BROKEN.clear()
    lab.pipeline("p", do=picky, datum_tries=1, update=True, reprocess=True)
    lab.run_all()
    assert len(lab.ran) == len(ALL)


def test_keeping_can_be_switched_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP_VARIABLE, "0")
    BROKEN.clear()
    assert len(again(lab)) == len(ALL)


def test_of_a_job_that_was_deleted_nothing_is_kept(lab: Lab) -> None:
    BROKEN.clear()
    failed = lab.job("p").job
    lab.runner.rerun_pipeline(failed.pipeline)
    lab.runner.delete_job(JobRef(failed.pipeline, failed.id))
    lab.run_all()
    assert len(lab.ran) == len(ALL)


def test_what_is_kept_is_taken_over_in_turns_by_an_engine_that_is_stopped_in_between(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.engine.loop._TURN", 0.0)
    beats = iter(range(100))
    BROKEN.clear()
    lab.runner.rerun_pipeline(lab.job("p").job.pipeline)
    lab.run_all(until=lambda: next(beats) > 2)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert lab.files("p@master") == ALL


def test_a_record_of_it_that_is_gone_makes_a_datum_run_again(lab: Lab) -> None:
    BROKEN.clear()
    with lab.runner.database.write() as session:
        found = session.connection.execute('SELECT name, content FROM object WHERE CAST(content AS TEXT) LIKE \'%"path":"/a"%\'').fetchall()
        assert found
        session.connection.execute("DELETE FROM object WHERE name = ?", (found[0][0],))
    assert again(lab) == ["/a", "/b", "/d", "/f"]
    assert lab.files("p@master") == ALL
