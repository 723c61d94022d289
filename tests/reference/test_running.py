"""Cases 72 to 108 of reference pps 6.4: what user code meets, and what becomes of what it leaves. Real commands, real processes."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import PipelineRef
from tests.contracts.bench import is_alive, soon, unique_sleep
from tests.reference.datums import fill, pfs
from tests.reference.machine import Machine, best_executor

FAILURE, SUCCESS, KILLED = JobState.FAILURE, JobState.SUCCESS, JobState.KILLED

DATA = {"/file": "content", "/d/x": "1", "/d/y": "2"}

# True the first time only: where there is no private /tmp, a name that nobody else has.
ONCE = f"mkdir /tmp/{uuid.uuid4()}-$PPS_PIPELINE_NAME 2> /dev/null"

FOUR_LINKS = (
    "T=/tmp/$PACH_JOB_ID-$PPS_PIPELINE_NAME; mkdir $T; echo t > $T/t",
    "ln -s /pfs/in/d/x /pfs/out/x; ln -s /pfs/in/d /pfs/out/d; ln -s $T/t /pfs/out/t; ln -s $T /pfs/out/T",
)
LINKED = {"/x": "1", "/d/x": "1", "/d/y": "2", "/t": "t\n", "/T/t": "t\n"}

# The loop of `pachctl next datum` in one process: starting the command takes 0.3 s a datum.
BATCHING = """
import glob, os, shutil
from local_runner.engine.batching.client import next_datum
while next_datum(int(os.environ["PPS_WORKER_GRPC_PORT"])):
    for path in glob.glob("/pfs/in/*"):
        shutil.copy(path, "/pfs/out/")
"""


class Script(NamedTuple):
    """A script over one datum of `DATA`, how its job ends, and what is in its output."""

    case: str
    lines: tuple[str, ...]
    files: Mapping[str, str]
    ends: JobState = SUCCESS
    glob: str = "/file"
    flags: tuple[str, ...] = ()
    transform: Mapping[str, Any] = {}
    tries: int = 3

    @property
    def pipeline(self) -> str:
        return f"case_{self.case}"


def batching(case: str, *lines: str, files: Mapping[str, str], ends: JobState = SUCCESS, tries: int = 3) -> Script:
    """A script over two datums that asks for one after the other."""
    return Script(case, lines, files, ends, "/d/*", transform={"datum_batching": True}, tries=tries)


LOOP = "while pachctl next datum; do cp /pfs/in/d/* /pfs/out/; done"
BOTH = {"/x": "1", "/y": "2"}

SCRIPTS = [
    Script("72", (), {}, FAILURE, transform={"cmd": ["exit 1"]}),
    Script("74", ("cp $in /pfs/out/", "exit 1"), {"/file": "content"}, transform={"accept_return_code": [1]}),
    Script("75", ("false", "cp $in /pfs/out/", "true"), {"/file": "content"}),
    Script("76", ("x" * 200_000,), {}, transform={"cmd": ["true"]}),
    Script("79", (f"{ONCE} && touch /pfs/out/first && exit 1", "touch /pfs/out/second"), {"/second": ""}),
    Script("88", FOUR_LINKS, LINKED, glob="/d"),
    Script("88-lazy", FOUR_LINKS, LINKED, glob="/d", flags=("lazy",)),
    Script("88-empty", FOUR_LINKS, LINKED, glob="/d", flags=("empty_files",)),
    Script(
        "89",
        ("stat -c %s $in > /pfs/out/size", "ln -s /pfs/in/file /pfs/out/file"),
        {"/size": "0\n", "/file": "content"},
        flags=("empty_files",),
    ),
    Script("90", ("cp /pfs/in/d/x /pfs/out/",), {"/x": "1"}, glob="/d", flags=("lazy",)),
    Script("91", ("mkdir /pfs/out/empty",), {}),
    Script("92", ("mkfifo /pfs/out/p",), {}),
    Script("93", ("touch '/pfs/out/x(1)'",), {}, FAILURE),
    Script("94", ("ln -s /pfs/in/nothing /pfs/out/link",), {}, FAILURE),
    Script("95", ("echo changed > $in", "cp $in /pfs/out/"), {"/file": "changed\n"}),
    Script("96", ("cp -r /pfs/in /pfs/out",), {"/in/file": "content"}),
    Script("96-slash", ("cp -rp /pfs/in/ /pfs/out",), {"/in/file": "content"}),
    batching("102", "pachctl next datum", f"{ONCE} && pachctl next datum --error oops", "cp /pfs/in/d/* /pfs/out/", LOOP, files=BOTH),
    batching("103", "pachctl next datum", f"{ONCE} && exit 1", "cp /pfs/in/d/* /pfs/out/", LOOP, files=BOTH),
    batching("104-zero", "pachctl next datum; cp /pfs/in/d/* /pfs/out/; exit 0", files={}, ends=FAILURE, tries=1),
    batching("104-one", "pachctl next datum; cp /pfs/in/d/* /pfs/out/; exit 1", files={}, ends=FAILURE, tries=1),
    batching("105", "while pachctl next datum; do source /pfs/.env; cp /pfs/in/d/* /pfs/out/$PACH_DATUM_ID; done", files={}),
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """All scripts, run by one engine in one home."""
    with contextlib.closing(Machine(tmp_path_factory.mktemp("scripts") / "home", best_executor())) as machine:
        machine.put("data@master", DATA)
        for script in SCRIPTS:
            flags: dict[str, Any] = dict.fromkeys(script.flags, True)
            source = pfs(script.glob, name="in", **flags)
            machine.script(script.pipeline, *script.lines, input=source, transform=script.transform, datum_tries=script.tries)
        machine.run_all()
        yield machine


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.case != "105"], ids=lambda script: script.pipeline)
def test_a_script_ends_so_and_leaves_this(ran: Machine, script: Script) -> None:
    assert ran.state(script.pipeline) is script.ends, ran.reasons(script.pipeline)
    assert ran.files(f"{script.pipeline}@master") == script.files


def test_case_105_each_datum_of_a_batch_finds_its_id_in_the_file_of_the_environment(ran: Machine) -> None:
    listed = {info.datum.id: info.datum.inputs[0].path for info in ran.runner.list_datum(ran.job("case_105").job)}
    assert len(listed) == 2
    assert ran.files("case_105@master") == {f"/{datum}": DATA[path] for datum, path in listed.items()}


def test_case_72_the_job_names_the_datum_that_failed(ran: Machine) -> None:
    (datum,) = ran.runner.list_datum(ran.job("case_72").job)
    assert ran.job("case_72").reason == f"datum {datum.datum.id} failed"


def test_case_93_a_name_that_no_repo_accepts_is_said_to_be_one(ran: Machine) -> None:
    (reason,) = ran.reasons("case_93").values()
    assert "name cannot be represented in PFS" in reason
    assert "x(1)" in reason


def test_case_95_what_user_code_does_to_its_inputs_stays_with_it(ran: Machine) -> None:
    assert ran.files("data@master") == DATA


def test_case_102_what_the_program_said_is_the_reason(ran: Machine) -> None:
    said = [line["message"] for line in ran.runner.logs(job=ran.job("case_102").job)]
    assert any("oops" in message for message in said)


# -- commands and failures ---------------------------------------------------------------------------------------------


@pytest.fixture
def data(machine: Machine) -> Machine:
    """With one file in `data`."""
    machine.put("data@master", {"/file": "content"})
    return machine


def test_case_73_a_pipeline_without_a_command_fails_as_a_whole(data: Machine) -> None:
    data.script("p", transform={"cmd": []})
    data.run_all()
    found = data.runner.inspect_pipeline(PipelineRef("default", "p"))
    assert (found.state, found.reason) == (PipelineState.FAILURE, "nothing to run: no transform.cmd")


def test_case_77_a_child_in_the_background_goes_with_its_command(data: Machine) -> None:
    seconds = unique_sleep()
    data.script("p", f"sleep {seconds} &")
    data.run_all()
    assert data.state("p") is SUCCESS
    assert soon(lambda: not is_alive(seconds))


def test_case_78_a_command_that_cannot_start_is_tried_as_often_as_the_spec_says(data: Machine) -> None:
    data.script("p", transform={"cmd": ["no-such-program"]}, datum_tries=5)
    data.run_all()
    assert data.state("p") is FAILURE
    assert sum("no-such-program" in line["message"] for line in data.runner.logs(job=data.job("p").job)) == 5


def test_case_80_a_datum_that_takes_too_long_fails_after_its_time(data: Machine) -> None:
    data.script("p", "while true; do :; done", datum_timeout="1s", datum_tries=1)
    data.run_all()
    assert data.state("p") is FAILURE
    (datum,) = data.runner.list_datum(data.job("p").job)
    assert datum.stats is not None
    assert 1 <= datum.stats.process_time < 5


def test_case_81_a_job_that_takes_too_long_is_killed(data: Machine) -> None:
    data.script("p", "sleep 60", job_timeout="0.5s")
    began = time.monotonic()
    data.run_all()
    assert time.monotonic() - began < 20
    assert (data.state("p"), data.job("p").reason) == (KILLED, " jobtimed out")


def test_case_82_only_what_the_error_command_mends_is_recovered(machine: Machine) -> None:
    fill(machine, data=["/file1", "/file2", "/file3"])
    mend = {"err_cmd": ["bash"], "err_stdin": ["grep -q file3 $in"]}
    machine.script("p", "grep -q file1 $in", transform=mend)
    machine.run_all()
    assert machine.state("p") is FAILURE
    assert machine.counts("p") == {"total": 3, "processed": 1, "recovered": 1, "failed": 1}


def test_case_83_a_recovered_datum_gives_the_next_stage_nothing(machine: Machine) -> None:
    fill(machine, data=["/file1", "/file2"])
    machine.script("p", "cp $in /pfs/out/", "grep -q file1 $in", transform={"err_cmd": ["true"]})
    machine.script("next", "cp $in /pfs/out/", input=pfs("/*", "p", "in"))
    machine.run_all()
    assert machine.state("p") is SUCCESS
    assert machine.counts("p") == {"total": 2, "processed": 1, "recovered": 1}
    assert machine.datums("next") == {"/file1": "success"}
    assert machine.files("next@master") == {"/file1": "/file1"}


# -- environment -------------------------------------------------------------------------------------------------------


def environment(machine: Machine, pipeline: str) -> Iterator[dict[str, str]]:
    """What each datum saw that ran `env > /pfs/out/$PACH_DATUM_ID`."""
    for text in machine.files(f"{pipeline}@master").values():
        yield dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_case_84_variables_name_the_file_its_commit_the_job_and_the_datum(data: Machine) -> None:
    data.script("p", "env > /pfs/out/$PACH_DATUM_ID")
    data.run_all()
    (seen,) = environment(data, "p")
    job = data.job("p").job.id
    (datum,) = data.runner.list_datum(data.job("p").job)
    assert seen["in"].endswith("/in/file")
    assert data.real.capabilities.absolute_pfs <= (seen["in"] == "/pfs/in/file")
    assert seen["in_COMMIT"] == data.head("data@master").id
    assert (seen["PACH_JOB_ID"], seen["PACH_OUTPUT_COMMIT_ID"], seen["PACH_DATUM_ID"]) == (job, job, datum.datum.id)


def test_case_85_a_join_tells_its_key(machine: Machine) -> None:
    fill(machine, repo1=["/a"], repo2=["/a", "/b"])
    join = {"join": [pfs("/(*)", "repo1", join_on="$1"), pfs("/(*)", "repo2", join_on="$1")]}
    machine.script("p", "env > /pfs/out/$PACH_DATUM_ID", input=join)
    machine.run_all()
    (seen,) = environment(machine, "p")
    assert (seen["PACH_DATUM_repo1_JOIN_ON"], seen["PACH_DATUM_repo2_JOIN_ON"]) == ("a", "a")


def test_case_86_a_group_tells_its_key(machine: Machine) -> None:
    fill(machine, repo=["/a-1", "/a-2", "/b-1"])
    machine.script("p", "env > /pfs/out/$PACH_DATUM_ID", input={"group": [pfs("/(*)-*", "repo", group_by="$1")]})
    machine.run_all()
    assert sorted(seen["PACH_DATUM_repo_GROUP_BY"] for seen in environment(machine, "p")) == ["a", "b"]


def test_case_87_an_input_that_did_not_change_tells_the_commit_where_it_last_did(machine: Machine) -> None:
    fill(machine, old=["/o"], new=["/n"])
    machine.script("p", "env > /pfs/out/$PACH_DATUM_ID", input={"cross": [pfs("/", "old"), pfs("/", "new")]})
    machine.run_all()
    newest = machine.put("new@master", {"/n": "changed"}).id
    machine.run_all()
    (seen,) = environment(machine, "p")
    assert (seen["new_COMMIT"], seen["PACH_JOB_ID"]) == (newest, newest)
    assert seen["old_COMMIT"] == machine.head("old@master").id != newest


# -- outputs of several datums -----------------------------------------------------------------------------------------


def test_case_97_two_datums_must_not_write_one_path_and_an_update_can_mend_it(machine: Machine) -> None:
    fill(machine, data=["/bar", "/foo"])
    machine.script("p", "echo x > /pfs/out/overlap")
    machine.run_all()
    one, other = sorted(info.datum.id for info in machine.runner.list_datum(machine.job("p").job))
    said = machine.job("p").reason
    assert machine.state("p") is FAILURE
    assert f"duplicate path output by different datums (/overlap from {one} and /overlap from {other})" in said
    machine.script("p", "cp $in /pfs/out/", update=True)
    machine.run_all()
    assert machine.state("p") is SUCCESS
    assert machine.files("p@master") == {"/bar": "/bar", "/foo": "/foo"}


def test_case_98_a_file_and_a_folder_of_one_name_collide(machine: Machine) -> None:
    fill(machine, data=["/bar", "/foo"])
    machine.script("p", "case $in in */foo) echo x > /pfs/out/foo;; *) mkdir /pfs/out/foo; echo x > /pfs/out/foo/bar;; esac")
    machine.run_all()
    assert machine.state("p") is FAILURE
    assert "file / directory path collision (/foo/bar)" in machine.job("p").reason


def test_case_99_a_new_datum_may_write_what_a_deleted_one_wrote(machine: Machine) -> None:
    fill(machine, data=["/a"])
    machine.script("p", "cp $in /pfs/out/same")
    machine.run_all()
    machine.put("data@master", {"/a": None, "/b": "new"})
    machine.run_all()
    assert (machine.state("p"), machine.files("p@master")) == (SUCCESS, {"/same": "new"})


def test_case_100_one_datum_may_write_twenty_thousand_files(data: Machine) -> None:
    data.script("p", "cd /pfs/out && seq 20000 | split -l 1 -a 4")
    data.run_all()
    assert len(data.tags("p@master")) == 20_000


# -- sets --------------------------------------------------------------------------------------------------------------


def test_case_101_a_program_that_stays_up_gets_one_datum_after_the_other(machine: Machine) -> None:
    fill(machine, data=[f"/{n}" for n in range(15)])
    program = {"cmd": [sys.executable, "-c", BATCHING], "datum_batching": True}
    machine.script("p", transform=program, datum_set_spec={"number": 5})
    machine.run_all()
    assert machine.state("p") is SUCCESS, machine.job("p").reason
    assert machine.files("p@master") == machine.files("data@master")
    assert machine.counts("p") == {"total": 15, "processed": 15}


def test_case_106_sets_of_one_datum_each(machine: Machine) -> None:
    machine.put("data@master", {f"/{n}": "12345" for n in range(101)})
    machine.script("p", "cp $in /pfs/out/", datum_set_spec={"number": 1, "size_bytes": 5}, parallelism_spec={"constant": 2})
    machine.run_all()
    assert machine.state("p") is SUCCESS
    assert machine.files("p@master") == machine.files("data@master")


def test_case_107_datums_are_listed_while_their_job_still_runs(machine: Machine) -> None:
    fill(machine, data=[f"/{n}" for n in range(10)])
    machine.script("p", "sleep 0.2", datum_set_spec={"number": 2})
    seen = {0}
    with ThreadPoolExecutor() as pool:
        working = pool.submit(machine.run_all)
        while not working.done():
            seen.add(len(machine.datums("p")))
            time.sleep(0.02)
        working.result()
    assert len(machine.datums("p")) == 10
    assert len(seen - {0, 10}) >= 2


def test_case_108_a_restarted_datum_starts_anew_and_its_job_succeeds(data: Machine) -> None:
    data.script("p", f"{ONCE} && touch /pfs/out/first && echo asleep && sleep 60", "cp $in /pfs/out/")
    with ThreadPoolExecutor() as pool:
        working = pool.submit(data.run_all)
        assert soon(lambda: bool(data.job("p").running) and data.printed("p") == ["asleep"], 20)
        data.runner.restart_datum(data.job("p").job, ["/file"])
        working.result(20)
    assert (data.state("p"), data.files("p@master")) == (SUCCESS, {"/file": "content"})


def test_the_tree_of_a_datum_has_the_links_modes_and_variables_of_a_worker(machine: Machine) -> None:
    fill(machine, data=["/d/x", "/d/y"])
    machine.script(
        "p",
        "cd /pfs && for name in in out .env; do test -L $name || exit 1; done",
        "stat -L -c '%a %n' in in/d in/d/x out",
        'grep -qx "in=$in" .env && grep -qx "PACH_DATUM_ID=$PACH_DATUM_ID" .env && echo told',
        "ls /pfs; find /pfs/in -type f; find /pfs/in/ -type f",
        input="/d/x",
    )
    machine.run_all()
    if best_executor().name == "process":  # where /pfs is rewritten in the script, and is no folder of its own
        pytest.skip("there are no namespaces here")
    printed = [*("700 in", "755 in/d", "644 in/d/x", "755 out", "told"), *("in", "out"), "/pfs/in/d/x"]
    assert (machine.state("p"), machine.printed("p")) == (SUCCESS, printed)
