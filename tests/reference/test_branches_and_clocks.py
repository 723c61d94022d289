"""Cases 123 to 131 of reference pps 6.5: jobs that branches, triggers and clocks make, or put off."""

from __future__ import annotations

import time

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.refs import CommitQuery, RepoRef, parse_branch, parse_commit
from local_runner.model.repos import Trigger
from local_runner.model.units import rfc3339
from tests.reference.datums import Input, pfs
from tests.reference.graph import commits, the
from tests.support.lab import Lab


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
