"""Datums entered again: found as they were, laid out as they were, and nothing of it kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.engine.config import EngineConfig
from local_runner.engine.datum_lookup import Candidates, FoundDatum, of_file, of_heads, of_job, of_spec
from local_runner.engine.datum_session import DatumSession, open_datum_session
from local_runner.engine.worker_request import WorkerRequests
from local_runner.errors import Invalid, NotFound, Refused, Unavailable
from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from local_runner.model.refs import JobRef, PipelineRef, parse_file
from tests.reference.machine import Machine, best_executor

P = PipelineRef("default", "p")
COPY = ('grep -q bad "$in" && exit 3', 'cp "$in" /pfs/out/', "echo $PACH_JOB_ID > /pfs/out/job")
CANNOT_SANDBOX = SandboxExecutor().why_not()
EXECUTORS = [
    pytest.param(ProcessExecutor(), id="process"),
    pytest.param(SandboxExecutor(), id="sandbox", marks=pytest.mark.skipif(bool(CANNOT_SANDBOX), reason=CANNOT_SANDBOX)),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with closing(Machine(tmp_path / "home", best_executor())) as machine:
        yield machine


def chosen(machine: Machine, wanted: str, job: JobRef | None = None) -> FoundDatum:
    with machine.runner.database.read() as session:
        candidates = of_job(session, job) if job else of_heads(session, P)
        return candidates.entry(session, wanted)


@contextmanager
def visited(machine: Machine, entry: FoundDatum, executor: Executor | None = None) -> Iterator[DatumSession]:
    executor = executor or machine.real
    request = WorkerRequests(machine.runner.database, EngineConfig(executor)).of(entry.spec, entry.spec_commit)
    with open_datum_session(machine.runner.database, executor, request, entry) as found:
        yield found


def said(session: DatumSession, script: str, **more: Any) -> list[str]:
    lines: list[str] = []
    session.run(["sh", "-c", script], lambda stream, block: lines.extend(block.decode().split("\n")), **more)
    return lines


def rerun(session: DatumSession) -> int | None:
    transform = session.entry.spec.transform
    return session.run(transform.cmd, lambda *_: None, stdin=("\n".join(transform.stdin) + "\n").encode()).exit_code


def everything(machine: Machine) -> list[object]:
    """All that a commit or a job could have changed."""
    runner = machine.runner
    heads = [(info.repo, runner.list_branch(info.repo)) for info in runner.list_repo(type="")]
    objects = sorted(path.name for path in (runner.home / "objects").rglob("*"))
    return [heads, list(runner.list_job(history=-1)), list(runner.list_commit_set()), objects]


# Found


def test_a_datum_of_a_job_is_as_it_was_then(machine: Machine) -> None:
    machine.put("data@master", {"/a": "bad", "/b": "1"})
    machine.script("p", *COPY, datum_tries=1)
    machine.run_all()
    then = machine.job("p")
    assert then.state is JobState.FAILURE
    machine.put("data@master", {"/a": "mended"})
    machine.script("p", "true", update=True)
    entry = chosen(machine, "/a", then.job)
    assert entry.spec.transform.stdin == COPY
    assert entry.env["PACH_JOB_ID"] == then.job.id
    assert entry.before is None
    with visited(machine, entry) as session:
        assert said(session, 'cat "$in"') == ["bad"]
        assert rerun(session) == 3


def test_the_present_heads_make_a_datum_with_a_job_of_its_own(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", *COPY)
    machine.run_all()
    machine.put("data@master", {"/a": "2"})
    entry = chosen(machine, "/a")
    assert entry.env["PACH_JOB_ID"] not in {info.job.id for info in machine.jobs("p")}
    assert entry.before
    assert not entry.before.same_inputs
    with visited(machine, entry) as session:
        assert said(session, 'cat "$in"') == ["2"]


def test_a_datum_is_named_by_its_id_or_how_it_begins_or_by_its_files(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1", "/b": "1", "/d/x": "1"})
    machine.put("more@master", {"/y": "1", "/z": "1"})
    cross = {"cross": [{"pfs": {"repo": "data", "glob": "/*"}}, {"pfs": {"repo": "more", "glob": "/*"}}]}
    machine.script("p", "true", input=cross)
    one = chosen(machine, "/a,/z").datum
    assert [file.path for file in one.inputs] == ["/a", "/z"]
    assert [file.path for file in chosen(machine, "/d,more:/y").datum.inputs] == ["/d/", "/y"]
    assert chosen(machine, one.id).datum == chosen(machine, one.id[:8]).datum == one
    with pytest.raises(Invalid, match="/a means 2 datums") as several:
        chosen(machine, "/a")
    assert "data:/a,more:/y" in several.value.hint
    with pytest.raises(Invalid, match="has 6 datums"):
        chosen(machine, "")
    for wanted in ("/none", "more:/a", "/a,/none", "ffffffff"):
        with pytest.raises(NotFound, match=f"pipeline default/p has no datum {wanted}"):
            chosen(machine, wanted)


def test_the_only_datum_needs_no_name(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", "true", input="/")
    assert chosen(machine, "").datum == chosen(machine, "/").datum


def test_a_spec_that_is_no_pipeline_has_datums_too(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1", "/b": "1"})
    document = {"pipeline": {"name": "idea"}, "transform": {"cmd": ["ls", "/pfs/data"]}, "input": {"pfs": {"repo": "data", "glob": "/*"}}}
    with machine.runner.database.read() as session:
        entry = of_spec(session, document, "default").entry(session, "/b")
    with visited(machine, entry) as session:
        assert said(session, "ls /pfs/data/") == ["b"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pipeline_may_be_tried_on_another_input(machine: Machine, wrapped: bool) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.put("other@master", {"/x/y": "other"})
    machine.script("p", *COPY)
    source = {"pfs": {"repo": "other", "name": "in", "glob": "/x/*"}}
    with machine.runner.database.read() as session:
        entry = of_spec(session, {"input": source} if wrapped else source, "default", P).entry(session, "")
    with visited(machine, entry) as session:
        assert rerun(session) == 0
        assert [file.path for file in session.written()] == ["/job", "/y"]


def test_a_file_leads_to_the_datum_that_wrote_it_in_the_job_that_ran_it(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1", "/d/b": "1"})
    machine.script("p", 'cp -r "$in" /pfs/out/')
    machine.run_all()
    ran = machine.job("p").job.id
    machine.put("data@master", {"/c": "1"})
    machine.run_all()
    with machine.runner.database.read() as session:
        entry = of_file(session, parse_file("p@master:/a"))
        assert (entry.datum.inputs[0].path, entry.job_id) == ("/a", ran)
        with pytest.raises(Refused, match="was put by people"):
            of_file(session, parse_file("data@master:/a"))
        with pytest.raises(Refused, match="is a folder"):
            of_file(session, parse_file("p@master:/d"))
        with pytest.raises(NotFound, match="file /z not found"):
            of_file(session, parse_file("p@master:/z"))


def test_what_a_datum_wrote_before_is_known_with_it(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1", "/bad": "bad"})
    machine.script("p", *COPY, datum_tries=1, transform={"cmd": ["bash"], "stdin": COPY, "err_cmd": ["true"]})
    machine.run_all()
    job = machine.job("p").job
    before = chosen(machine, "/a", job).before
    assert before
    assert (before.job, sorted(before.files), before.same_inputs) == (job, ["/a", "/job"], True)
    assert chosen(machine, "/bad", job).before is None  # only its error command succeeded


# Visited


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_visit_changes_nothing(machine: Machine, executor: Executor) -> None:
    machine.put("data@master", {"/a": "1", "/large": "x" * 200_000})
    machine.script("p", *COPY)
    machine.run_all()
    before = everything(machine)
    with visited(machine, chosen(machine, "/a"), executor) as session:
        said(session, 'echo more >> "$in"; head -c 300000 /dev/urandom > /pfs/out/new; rm -f /pfs/out/a')
        assert [file.path for file in session.written()] == ["/new"]
        assert session.written()[0].content.size == 300_000
    with visited(machine, chosen(machine, "/a"), executor) as session:
        assert said(session, 'cat "$in"') == ["1"]
    assert everything(machine) == before
    assert not machine.runner.has_work()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_commands_of_a_visit_see_what_those_before_them_left(machine: Machine, executor: Executor) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", *COPY)
    with visited(machine, chosen(machine, "/a"), executor) as session:
        said(session, "echo half > /pfs/out/half")
        assert said(session, "cat /pfs/out/half; echo $MORE", more={"MORE": "more"}) == ["half", "more"]


def test_what_cannot_be_committed_is_told(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", *COPY)
    with visited(machine, chosen(machine, "/a")) as session:
        said(session, "ln -s /nowhere /pfs/out/link")
        with pytest.raises(Exception, match="leads nowhere"):
            session.written()


def test_out_may_be_removed(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", *COPY)
    with visited(machine, chosen(machine, "/a")) as session:
        said(session, "rm -r $(readlink /pfs/out)")
        assert session.written() == []


def test_lazy_files_can_be_read(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", "true", input={"pfs": {"repo": "data", "name": "in", "glob": "/*", "lazy": True}})
    with visited(machine, chosen(machine, "/a")) as session:
        assert said(session, "test -p /pfs/in/a && cat /pfs/in/a") == ["1"]


def test_what_a_visit_that_was_killed_left_is_removed_by_the_next(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", *COPY)
    disk = machine.runner.database.home.workers[-1].parents[1]
    left = Path(tempfile.mkdtemp(prefix="local_runner-datum-", dir=disk))
    (left / "lock").touch()
    with visited(machine, chosen(machine, "/a")) as first, visited(machine, chosen(machine, "/a")):
        assert not left.exists()
        assert said(first, 'cat "$in"') == ["1"]


def test_an_engine_that_begins_and_ends_leaves_a_visit_alone(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    machine.script("p", *COPY)
    with visited(machine, chosen(machine, "/a")) as session:
        machine.run_all()
        assert rerun(session) == 0
        assert [file.path for file in session.written()] == ["/a", "/job"]
    assert machine.files("p@master")["/a"] == "1"


BATCH = ("while pachctl next datum; do", ". /pfs/.env", 'cp "$in" /pfs/out/', "done")


def batching(machine: Machine, *lines: str) -> FoundDatum:
    machine.put("data@master", {"/a": "1", "/large": "x" * 1_500_000})
    machine.script("p", *lines, transform={"cmd": ["bash"], "stdin": lines, "datum_batching": True})
    return chosen(machine, "/large")


@pytest.mark.skipif(bool(CANNOT_SANDBOX), reason=CANNOT_SANDBOX)
def test_a_command_that_batches_gets_its_one_datum(machine: Machine) -> None:
    entry = batching(machine, *BATCH)
    with visited(machine, entry) as session:
        assert rerun(session) == 0
        assert [(file.path, file.content.size) for file in session.written()] == [("/large", 1_500_000)]


@pytest.mark.skipif(bool(CANNOT_SANDBOX), reason=CANNOT_SANDBOX)
def test_at_a_shell_a_command_that_batches_may_be_started_again_and_again(machine: Machine) -> None:
    script = 'pachctl next datum; . /pfs/.env; cp "$in" /pfs/out/; pachctl next datum || echo refused'
    with visited(machine, batching(machine, *BATCH)) as session:
        lines = said(session, f"{script}; ls /pfs/out/; {script}; ls /pfs/out/", once=False)
        assert [line for line in lines if "error" not in line and "hint" not in line] == ["refused", "large", "refused", "large"]


@pytest.mark.skipif(bool(CANNOT_SANDBOX), reason=CANNOT_SANDBOX)
@pytest.mark.parametrize(
    ("lines", "why"),
    [(["pachctl next datum"], "user code exited prematurely"), (["pachctl next datum", "pachctl next datum --error mine"], "mine")],
)
def test_a_command_that_batches_and_ends_too_soon_or_reports_an_error_failed(machine: Machine, lines: list[str], why: str) -> None:
    with visited(machine, batching(machine, *lines)) as session:
        result = session.run(["bash"], lambda *_: None, stdin="\n".join(lines).encode())
    assert not result.accepted()
    assert result.reason == why


# Whatever happened: a datum that succeeded writes the same again


PATHS, CONTENTS = ["/a", "/b", "/d/x"], st.sampled_from(["1", "2", "bad"])


@settings(max_examples=5, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(PATHS), CONTENTS, min_size=1), min_size=1, max_size=3), st.sampled_from(["/", "/*"]))
def test_any_datum_that_succeeded_writes_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, commits: list[Mapping[str, str]], glob: str
) -> None:
    with closing(Machine(tmp_path_factory.mktemp("home") / "home", best_executor())) as machine:
        machine.put("data@master", {"/z": "1"})
        machine.script("p", 'grep -rq bad "$in" && exit 3', 'cp -r "$in/." /pfs/out/ || cp -r "$in" /pfs/out/', input=glob, datum_tries=1)
        for files in commits:
            machine.put("data@master", files)
            machine.run_all()
        for info in machine.jobs("p"):
            for state in machine.runner.list_datum(info.job):
                entry = chosen(machine, state.datum.id, info.job)
                with visited(machine, entry) as session:
                    assert (rerun(session) == 0) == ("bad" not in "".join(said(session, 'cat $(find -L "$in" -type f)')))
                    assert bool(entry.before) == (state.state in ("success", "skipped"))
                    if entry.before and entry.before.same_inputs:  # else the job failed before it came to this datum
                        written = {file.path: file.content.name for file in session.written()}
                        assert written == {path: content.name for path, content in entry.before.files.items()}


def test_candidates_are_those_that_a_job_would_have_even_if_they_never_ran(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1", "/b": "1"})
    machine.script("p", *COPY)
    machine.runner.stop_job(machine.job("p").job)
    with machine.runner.database.read() as session:
        found: Candidates = of_job(session, machine.job("p").job)
    assert sorted(file.path for datum in found.datums for file in datum.inputs) == ["/a", "/b"]


@pytest.mark.skipif(bool(CANNOT_SANDBOX), reason=CANNOT_SANDBOX)
def test_a_datum_that_cannot_be_given_to_a_command_that_batches_ends_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Unavailable("the disk is full")

    with visited(machine, batching(machine, *BATCH)) as session:
        monkeypatch.setattr(session, "_stage", fail)
        with pytest.raises(Unavailable, match="the disk is full"):
            rerun(session)
