"""Cases 109 to 138 of reference pps 6.5: which change makes which job, and what pipelines go through."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local_runner.errors import AlreadyExists, LocalRunnerError, RepoNotFound
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import CommitQuery, PipelineRef, RepoRef, parse_branch, parse_commit, parse_repo
from local_runner.model.repos import Trigger
from local_runner.model.units import rfc3339
from tests.contracts.bench import soon
from tests.reference.datums import Input, pfs
from tests.support.lab import Do, Lab, copy

STARTING, RUNNING = JobState.STARTING, JobState.RUNNING
SUCCESS, FAILURE, KILLED, UNRUNNABLE = JobState.SUCCESS, JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE


def the(name: str) -> PipelineRef:
    return PipelineRef("default", name)


def states(lab: Lab, pipeline: str) -> list[JobState]:
    """Of all jobs, newest first."""
    return [info.state for info in lab.jobs(pipeline)]


def commits(lab: Lab, repo: str) -> int:
    return sum(1 for _ in lab.runner.list_commit(parse_repo(repo)))


def set_of(lab: Lab, id: str) -> dict[str, JobState]:
    """The jobs of a set, by pipeline."""
    return {info.job.pipeline.name: info.state for info in lab.runner.inspect_job_set(id, wait=True).jobs}


def fails_on(name: str) -> Do:
    """A copy that fails where there is a file of this name."""

    def do(datum: ScriptedDatum) -> int:
        copy(datum)
        return int(any(path.name == name for path in datum.out.iterdir()))

    return do


def until_cancelled(datum: ScriptedDatum) -> int:
    """A copy; of files that say "slow", it takes until it is killed."""
    copy(datum)
    if any(path.read_text() == "slow" for path in datum.out.iterdir()):
        datum.cancelled.wait(30)
    return 0


@pytest.fixture
def p(lab: Lab) -> Lab:
    """A repo `data` with a file, and a pipeline `p` that copied it."""
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p")
    lab.run_all()
    return lab


# -- what makes a job --------------------------------------------------------------------------------------------------


def test_case_109_a_pipeline_on_an_empty_repo_has_a_job_of_nothing(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("p")
    lab.run_all()
    assert (states(lab, "p"), lab.counts("p"), commits(lab, "p")) == ([SUCCESS], {}, 1)


def test_case_110_a_pipeline_on_ten_commits_makes_one(lab: Lab) -> None:
    for n in range(10):
        lab.put("data@master", {f"/{n}": "x"})
    lab.pipeline("p")
    lab.run_all()
    assert (commits(lab, "p"), lab.counts("p")) == (1, {"total": 10, "processed": 10})


def test_case_111_a_chain_has_one_set_of_jobs_for_one_change(lab: Lab) -> None:
    lab.repo("data")
    for name, source in (("one", "data"), ("two", "one"), ("three", "two"), ("four", "three")):
        lab.pipeline(name, f"{source}:/*")
    change = lab.put("data@master", {"/a": "1"})
    lab.run_all()
    assert set_of(lab, change.id) == dict.fromkeys(("one", "two", "three", "four"), SUCCESS)
    # Output, meta and spec of each pipeline, and the input.
    assert len(lab.runner.inspect_commit_set(change.id, wait=True).commits) == 13
    assert lab.files("four@master") == {"/a": "1"}


def test_case_112_two_ways_to_a_pipeline_are_one_job(lab: Lab) -> None:
    lab.repo("a")
    lab.pipeline("b", "a:/*")
    lab.pipeline("c", {"cross": [pfs("/", "a"), pfs("/", "b")]})
    for n in range(2):
        change = lab.put("a@master", {f"/{n}": "x"})
    lab.run_all()
    assert (commits(lab, "b"), commits(lab, "c")) == (3, 3)
    assert len(lab.runner.inspect_commit_set(change.id, wait=True).commits) == 7


@pytest.fixture
def chain(lab: Lab) -> Lab:
    """Pipelines zero, one, two and three on each other; one fails on file1."""
    lab.repo("data")
    for name, source in (("zero", "data"), ("one", "zero"), ("two", "one"), ("three", "two")):
        lab.pipeline(name, f"{source}:/*", fails_on("file1") if name == "one" else None)
    return lab


def test_case_113_what_is_below_a_failure_cannot_run(chain: Lab) -> None:
    sets = [chain.put("data@master", {f"/file{n}": "x"}).id for n in range(2)]
    chain.run_all()
    assert set_of(chain, sets[0]) == dict.fromkeys(("zero", "one", "two", "three"), SUCCESS)
    assert set_of(chain, sets[1]) == {"zero": SUCCESS, "one": FAILURE, "two": UNRUNNABLE, "three": UNRUNNABLE}


def test_case_113a_an_unrunnable_job_names_the_input_that_failed(chain: Lab) -> None:
    chain.put("data@master", {"/file1": "x"})
    chain.run_all()
    said = [chain.job(name).reason for name in ("two", "three")]
    assert said == [f"unrunnable because the following upstream pipelines failed: {name}" for name in ("one", "two")]


def test_case_114_a_job_waits_in_starting_for_its_open_input(p: Lab) -> None:
    opened = p.runner.start_commit(parse_branch("data@master"))
    p.run_all()
    assert (p.job("p").job.id, p.state("p")) == (opened.id, STARTING)
    p.runner.finish_commit(parse_commit("data@master"))
    p.run_all()
    assert p.state("p") is SUCCESS


def test_case_115_a_stopped_job_leaves_the_others_alone(p: Lab) -> None:
    for name in "bcd":
        p.put("data@master", {f"/{name}": "1"})
    p.runner.stop_job(p.jobs("p")[1].job)
    p.run_all()
    assert states(p, "p") == [SUCCESS, KILLED, SUCCESS, SUCCESS]
    assert p.files("p@master") == dict.fromkeys(["/a", "/b", "/c", "/d"], "1")


def test_case_116_an_update_kills_the_jobs_under_way(p: Lab) -> None:
    p.does("p", until_cancelled)
    for name in "bc":
        p.put("data@master", {f"/{name}": "slow"})
    with ThreadPoolExecutor() as pool:
        working = pool.submit(p.run_all)
        assert soon(lambda: RUNNING in states(p, "p"), 20)
        p.pipeline("p", do=copy, update=True)
        working.result(20)
    assert states(p, "p") == [SUCCESS, KILLED, KILLED, SUCCESS]
    assert p.files("p@master") == {"/a": "1", "/b": "slow", "/c": "slow"}


# -- stop, update, delete ----------------------------------------------------------------------------------------------


def test_case_117_a_stopped_pipeline_makes_up_for_all_it_missed_in_one_job(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("p")
    lab.run_all()
    lab.runner.stop_pipeline(the("p"))
    for name in "ab":
        lab.put("data@master", {f"/{name}": "1"})
    lab.run_all()
    assert commits(lab, "p") == 1
    lab.runner.start_pipeline(the("p"))
    lab.run_all()
    assert (commits(lab, "p"), lab.files("p@master")) == (2, {"/a": "1", "/b": "1"})


def test_case_118_an_update_of_a_stopped_pipeline_leaves_it_stopped(p: Lab) -> None:
    p.runner.stop_pipeline(the("p"))
    p.pipeline("p", update=True)
    p.put("data@master", {"/b": "1"})
    p.run_all()
    assert commits(p, "p") == 1
    found = p.runner.inspect_pipeline(the("p"))
    assert (found.stopped, found.state, found.version) == (True, PipelineState.PAUSED, 2)
    p.runner.start_pipeline(the("p"))
    p.run_all()
    assert (states(p, "p"), p.counts("p")) == ([SUCCESS, SUCCESS], {"total": 2, "processed": 1, "skipped": 1})


def test_case_119_an_update_mends_a_pipeline_whose_job_failed(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", do=fails_on("a"))
    lab.run_all()
    lab.pipeline("p", do=copy, update=True)
    lab.run_all()
    assert states(lab, "p") == [SUCCESS, FAILURE]
    assert lab.files("p@master") == {"/a": "1"}


def test_case_120_a_pipeline_others_stand_on_is_deleted_by_force_only(p: Lab) -> None:
    p.pipeline("next", "p:/*")
    p.run_all()
    with pytest.raises(LocalRunnerError):
        p.runner.delete_pipeline(the("p"))
    assert p.jobs("p")
    p.runner.delete_pipeline(the("p"), force=True)
    assert [info.pipeline.name for info in p.runner.list_pipeline()] == ["next"]
    assert {info.job.pipeline.name for info in p.runner.list_job(history=-1)} == {"next"}


def test_case_121_a_pipeline_made_again_begins_from_nothing(p: Lab) -> None:
    p.runner.delete_pipeline(the("p"))
    p.pipeline("p")
    p.run_all()
    assert (states(p, "p"), p.counts("p")) == ([SUCCESS], {"total": 1, "processed": 1})


def test_case_122_a_kept_output_is_a_plain_repo_that_takes_the_name(p: Lab) -> None:
    p.runner.delete_pipeline(the("p"), keep_repo=True)
    assert p.files("p@master") == {"/a": "1"}
    assert [str(info.repo) for info in p.runner.list_repo(type="")] == ["default/data", "default/p"]
    with pytest.raises(LocalRunnerError, match='pipeline "p" cannot be created because a repo with the same name already exists'):
        p.pipeline("p")


def test_case_133_a_pipeline_cannot_read_itself(lab: Lab) -> None:
    with pytest.raises(RepoNotFound, match="repo default/p not found"):
        lab.pipeline("p", "p:/*")
    lab.repo("data")
    lab.pipeline("p")
    with pytest.raises(LocalRunnerError, match="cannot be in the provenance of its own branch"):
        lab.pipeline("p", "p:/*", update=True)


def test_case_134_a_pipeline_is_created_once(p: Lab) -> None:
    with pytest.raises(AlreadyExists, match='pipeline "default/p" already exists'):
        p.pipeline("p")


def test_case_132_a_pipeline_may_lose_its_input_and_get_it_back(p: Lab) -> None:
    document = {"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}}
    p.runner.create_pipeline(document, project="default", update=True)
    p.run_all()
    p.pipeline("p", update=True)
    p.run_all()
    assert len(p.jobs("p")) == 3
    assert (p.state("p"), p.files("p@master")) == (SUCCESS, {"/a": "1"})


def test_case_136_the_jobs_of_earlier_versions_are_history(p: Lab) -> None:
    p.runner.rerun_pipeline(the("p"))
    p.run_all()
    (job,) = p.runner.list_job(pipeline=the("p"))
    assert job.pipeline_version == 2
    assert p.counts("p") == {"total": 1, "skipped": 1}
    assert len(p.jobs("p")) == 2


def test_case_137_a_failed_pipeline_does_not_stand_in_the_way_of_its_input(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("broken", transform={"cmd": []})
    lab.pipeline("p")
    lab.run_all()
    assert lab.runner.inspect_pipeline(the("broken")).state is PipelineState.FAILURE
    change = lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert set_of(lab, change.id)["p"] is SUCCESS
    assert lab.files("p@master") == {"/a": "1", "/b": "1"}


def test_case_138_after_delete_all_nothing_is_left_and_all_can_be_made_again(p: Lab) -> None:
    spout = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["do"]}, "spout": {}}
    p.runner.create_pipeline(spout, project="default")
    p.pipeline("service", service={"internal_port": 8000})
    p.runner.delete_all()
    left = (p.runner.list_pipeline(), p.runner.list_repo(type=""), list(p.runner.list_job(history=-1)), p.runner.list_commit_set())
    assert left == ([], [], [], [])
    assert [info.name for info in p.runner.list_project()] == ["default"]
    p.put("data@master", {"/a": "2"})
    p.pipeline("p")
    p.run_all()
    assert p.files("p@master") == {"/a": "2"}


# -- branches and triggers ---------------------------------------------------------------------------------------------


def test_case_123_other_branches_of_the_output_repo_make_no_job(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", output_branch="output")
    lab.pipeline("next", pfs("/*", "p", branch="output"))
    lab.run_all()
    lab.put("p@test", {"/b": "1"})
    lab.run_all()
    assert (len(lab.jobs("p")), len(lab.jobs("next"))) == (1, 1)
    lab.put("data@master", {"/c": "1"})
    lab.run_all()
    assert (len(lab.jobs("p")), len(lab.jobs("next"))) == (2, 2)
    assert lab.files("p@output") == lab.files("next@master") == {"/a": "1", "/c": "1"}
    assert {info.output_branch for info in lab.jobs("p")} == {"output"}


def test_case_124_an_input_that_never_propagates_is_read_by_the_next_job(lab: Lab) -> None:
    def do(datum: ScriptedDatum) -> None:
        (datum.out / datum.env["data"].rpartition("/")[2]).write_text((datum.input("quiet") / "f").read_text())

    lab.put("data@master", {"/a": "1"})
    lab.put("quiet@master", {"/f": "old"})
    lab.pipeline("p", {"cross": [pfs("/*"), pfs("/", "quiet", propagation_spec={"never": True})]}, do)
    lab.run_all()
    lab.put("quiet@master", {"/f": "new"})
    lab.run_all()
    assert commits(lab, "p") == 1
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    assert commits(lab, "p") == 2
    assert lab.files("p@master") == {"/a": "new", "/b": "new"}


def test_case_125_a_trigger_by_size_fires_when_enough_came_together(lab: Lab) -> None:
    lab.repo("data")
    lab.runner.create_branch(parse_branch("data@master"))
    lab.pipeline("p", pfs("/*", trigger={"size": "1K"}))
    lab.run_all()
    jobs = []
    for n in range(1, 21):
        lab.put("data@master", {f"/{n}": "x" * 100})
        lab.run_all()
        jobs.append(len(lab.jobs("p")))
    assert jobs == [1] * 9 + [2] * 10 + [3]
    assert lab.counts("p") == {"total": 20, "processed": 10, "skipped": 10}


def test_case_126_a_trigger_by_commits_moves_its_branch(lab: Lab) -> None:
    lab.repo("data")
    lab.runner.create_branch(parse_branch("data@toMove"))
    lab.runner.create_branch(parse_branch("data@trigger"), trigger=Trigger("toMove", commits=1))
    lab.put("data@toMove", {"/file": "x"})
    assert lab.files("data@trigger") == {"/file": "x"}
    assert lab.head("data@trigger").id == lab.head("data@toMove").id


def test_case_127_work_is_deferred_until_a_branch_is_moved(lab: Lab) -> None:
    lab.repo("data")
    lab.runner.create_branch(parse_branch("data@master"))
    lab.pipeline("one", output_branch="staging")
    lab.pipeline("two", pfs("/*", "one"))
    lab.run_all()

    def members(repo_and_branch: str) -> int:
        lab.run_all()
        return len(lab.runner.inspect_commit_set(lab.head(repo_and_branch).id, wait=True).commits)

    def move(repo: str) -> None:
        lab.runner.create_branch(parse_branch(f"{repo}@master"), parse_commit(f"{repo}@staging"))

    lab.put("data@staging", {"/file": "x"})
    sizes = [members("data@staging")]
    move("data")
    sizes.append(members("one@staging"))
    assert lab.files("two@master") == {}
    move("one")
    sizes.append(members("two@master"))
    assert lab.files("two@master") == {"/file": "x"}
    assert sizes == [1, 4, 6]


# -- clocks ------------------------------------------------------------------------------------------------------------


def ticked(lab: Lab, hours: float, **fields: object) -> list[int]:
    """How many files each output commit of a pipeline on an hourly clock holds, oldest first, that began some hours ago."""
    start = rfc3339(int(time.time() - hours * 3600))
    lab.pipeline("p", {"cron": {"name": "tick", "spec": "@every 1h", "start": start, **fields}})
    lab.run_all()
    found = [info.commit for info in lab.runner.list_commit(RepoRef("default", "p"), reverse=True)]
    return [sum(not f.is_folder for f in lab.runner.glob_file(CommitQuery(commit.repo, id=commit.id), "/*")) for commit in found]


def test_case_128_ticks_add_up(lab: Lab) -> None:
    assert ticked(lab, 2.5) == [0, 1, 2]


def test_case_129_ticks_that_overwrite_are_one_file(lab: Lab) -> None:
    assert ticked(lab, 3.5, overwrite=True) == [0, 1, 1, 1]


def test_case_130_ten_missed_ticks_are_caught_up_at_once(lab: Lab) -> None:
    # A tenth tick is due exactly now: half a minute more makes sure of it.
    assert ticked(lab, 10 + 1 / 120, overwrite=True) == [0] + [1] * 10


def test_case_131_each_cron_input_that_runs_makes_a_job(lab: Lab) -> None:
    clocks: list[Input] = [{"cron": {"name": name, "spec": "@never", "overwrite": True}} for name in "ab"]
    lab.pipeline("p", {"cross": clocks}, lambda datum: 0)
    lab.run_all()
    for _ in range(3):
        lab.runner.run_cron(the("p"))
        lab.run_all()
    assert commits(lab, "p") == 7
    assert lab.counts("p")["total"] == 1
