"""`logs`: what user code printed, attempt by attempt, and its end in what is said about a failed job."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from local_runner.model.datums import Datum
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.pipelines.logs import LogReader, last_lines
from local_runner.storage.job_log import JobLog, log_path
from tests.cli.conftest import copying

JOB = JobRef(PipelineRef("default", "p"), "5f93d03b65fa421996185e53f7f8b1e4")
SPEC = copying(datum_tries=2)


@pytest.fixture
def lab(pachctl):
    """A job over a good file, `a`, then one over a bad one, `b`, that was tried twice."""
    Path("p.json").write_text(json.dumps(SPEC))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="good\n")
    pachctl.ok("create pipeline -f p.json")
    pachctl.ok("put file data@master:/b", stdin="fail\n")
    return pachctl


def job_of(lab):
    return f"p@{lab.ok('inspect commit p@master --raw').document['commit']['id']}"


def test_every_attempt_of_a_datum_is_kept_and_can_be_asked_for(lab):
    assert lab.ok("logs -p p").lines == ["read a", "read b", "read b"]
    records = lab.ok(f"logs -j {job_of(lab)} --raw").documents
    assert [record["attempt"] for record in records if record.get("user")] == [1, 2]
    assert lab.ok("logs -p p --attempt 2").lines == ["read b"]
    (datum,) = {record["datumId"] for record in records}
    assert lab.ok(f"logs -p p --datum {datum[:8]}").lines == ["read b", "read b"]
    assert lab.ok(f"logs -p p --datum {datum[::-1]}").lines == []


def test_lines_are_found_by_pattern_and_the_last_ones_can_be_had_alone(lab):
    assert lab.ok("logs -p p --grep 'd [a]$'").lines == ["read a"]
    assert lab.ok("logs -p p --tail 2").lines == ["read b", "read b"]
    assert lab.ok("logs -p p -t 0").lines == []
    assert lab.ok("logs -p p --worker --grep 'attempt 2 of 2' --tail 5").lines == ["attempt 2 of 2 failed: exit status 1"]
    assert lab("logs -p p --grep '('").status == 2
    assert lab("logs -p p --tail -1").status == 2


def test_there_are_no_logs_of_what_does_not_exist(lab):
    assert lab("logs -p nope").status == 4
    assert lab(f"logs -j p@{'0' * 12}4{'0' * 3}8{'0' * 15}").status == 4


def test_raw_logs_are_a_line_of_json_for_each_record(lab):
    for line in lab.ok("logs -p p --raw --tail 2").out.splitlines():
        assert json.loads(line)["pipelineName"] == "p"


def test_since_counts_from_now(lab):
    printed("old", clock=lambda: time.time() - 7200)
    assert lab.ok("logs -p p").lines == ["read a", "read b", "read b", "old"]
    assert lab.ok("logs -p p --since 1h").lines == ["read a", "read b", "read b"]


def printed(line, most=None, clock=time.time):
    """Somebody prints a line in a job of the pipeline."""
    log = JobLog(Path("home/logs"), JOB, most, clock=clock)
    log.begin("worker", Datum("", ()))("stdout", line.encode())
    log.close()


def test_following_prints_what_comes_later_once(lab, monkeypatch):
    shown = []

    def wait(self, seconds):
        if shown:
            raise KeyboardInterrupt
        shown.append(seconds)
        printed("late")

    monkeypatch.setattr("local_runner.storage.wakeup.Wakeup.wait", wait)
    ended = lab("logs -p p --follow --tail 1")
    assert (ended.status, ended.lines) == (130, ["read b", "late"])


def test_a_failed_job_shows_what_its_failing_datum_printed_last(lab):
    shown = lab.ok(f"inspect job {job_of(lab)}").lines
    at = next(at for at, line in enumerate(shown) if line.startswith("datum ") and "(data:/b)" in line)
    assert shown[at + 1] == "read b"
    assert shown[at + 2].startswith("try it again: python -m local_runner datum run p@")
    assert shown[at + 3].startswith("all of it: python -m local_runner logs -j p@")
    waited = lab.ok(f"wait job {job_of(lab)}")
    assert "it printed last:" in waited.err
    assert "it printed last:" not in waited.out


def test_a_good_job_has_no_last_words(pachctl):
    Path("p.json").write_text(json.dumps(SPEC))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="good\n")
    pachctl.ok("create pipeline -f p.json")
    assert "printed last" not in pachctl.ok(f"inspect job {job_of(pachctl)}").out


def test_logs_of_an_older_program_are_read_with_the_new_ones(lab):
    old = log_path(Path("home/logs"), JOB).with_suffix(".jsonl")
    document = {
        "datumId": "1",
        "ts": "2020-01-01T00:00:00Z",
        "data": [],
        "message": "of old",
        "user": True,
        "stream": "stdout",
        "attempt": 1,
    }
    old.write_text(json.dumps(document) + "\n")
    os.utime(old, (0, 0))
    assert lab.ok("logs -p p").lines == ["of old", "read a", "read b", "read b"]
    assert lab.ok("logs -p p --raw").documents[0] == document


def test_damaged_lines_are_passed_over_and_spoken_of(lab):
    old = log_path(Path("home/logs"), JOB).with_suffix(".jsonl")
    whole = json.dumps({"datumId": "1", "ts": "1", "data": [], "message": "whole", "user": True}).encode()
    old.write_bytes(b"\xff\n" + b"[" * 100_000 + b"\n{}\n" + whole + b"\n" + whole[:20])
    os.utime(old, (0, 0))
    (log,) = [path for path in Path("home/logs").rglob("*.log") if b"read b" in path.read_bytes()]
    log.write_bytes(log.read_bytes().replace(b"read b", b"read c", 1))
    ended = lab("logs -p p")
    assert (ended.status, ended.lines) == (0, ["whole", "read a", "read b"])
    assert f"100006 bytes of {old.absolute()}" in ended.err
    assert f"bytes of {log.absolute()}" in ended.err


# -- the files of the logs -----------------------------------------------------------------------------------------------


def test_a_reader_goes_on_where_it_was_and_leaves_half_a_line_for_later(tmp_path):
    log, datum = JobLog(tmp_path, JOB), Datum("", ())
    reader = LogReader(tmp_path, None, [], lambda record: True)
    assert [*reader.new()] == []
    log.begin("worker", datum)("stdout", b"one")
    assert [record["message"] for record in reader.new()] == ["one"]
    whole = log_path(tmp_path, JOB).read_bytes()
    with log_path(tmp_path, JOB).open("ab") as file:
        file.write(whole[:10])
    assert [*reader.new()] == []
    with log_path(tmp_path, JOB).open("ab") as file:
        file.write(whole[10:])
    assert [record["message"] for record in reader.new()] == ["one"]
    log.close()


def test_the_last_lines_of_a_datum_are_those_of_its_last_attempt(tmp_path):
    log, datum = JobLog(tmp_path, JOB), Datum("one", ())
    for attempt in ("first", "second"):
        log.begin("worker", datum)("stderr", attempt.encode())
    assert last_lines(tmp_path, JOB, "one") == ["second"]
    log.close()


def test_attempts_are_counted_for_each_worker_and_begin_anew_with_the_next_datum(tmp_path):
    log, one, two = JobLog(tmp_path, JOB), Datum("one", ()), Datum("two", ())
    begun = [("w1", one), ("w1", one), ("w2", two), ("w1", two), ("w1", one)]
    assert [log.begin(worker, datum).attempt for worker, datum in begun] == [1, 2, 1, 1, 1]


def test_where_there_is_nothing_to_show_it_says_why(lab):
    assert lab.ok("logs -p p --grep zebra").err == "nothing to show: no line is as asked for\n"
    lab.ok("create pipeline", stdin=json.dumps(copying(pipeline={"name": "q"}, input={"pfs": {"repo": "data", "glob": "/*/*"}})))
    assert "had no datums" in lab.ok("logs -p q").err
    lab.ok("update pipeline -f p.json")
    assert lab.ok("logs -p p").err == ""
    lab.ok("create repo later")
    lab.ok("create pipeline", stdin=json.dumps(copying(pipeline={"name": "r"}, input={"cron": {"name": "t", "spec": "@never"}})))
    assert lab.ok("logs -p r").err.startswith("nothing to show")
    assert lab.ok("logs -p q --raw").err == ""
