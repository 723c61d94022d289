from typing import Any

import pytest

from local_runner.errors import BranchNotFound, Invalid, LocalRunnerError, Refused
from local_runner.model.refs import parse_branch, parse_commit, parse_repo
from local_runner.model.repos import Trigger
from tests.repos.words import branch, commit, head_branch
from tests.support.lab import Lab


def test_a_new_branch_without_head_gets_an_empty_closed_commit(lab: Lab) -> None:
    branch(lab, "data@master")
    assert commit(lab, "data@master").finished is not None
    assert commit(lab, "data@master").origin == "AUTO"
    assert lab.files("data@master") == {}


def test_a_branch_that_stands_on_others_gets_an_open_commit_and_makes_missing_sources(lab: Lab) -> None:
    branch(lab, "out@master", "data@master")
    assert commit(lab, "data@master").finished is not None
    assert commit(lab, "out@master").finishing is None
    assert [source.repo.name for source in commit(lab, "out@master").direct_provenance] == ["data"]


def test_provenance_and_subvenance_go_over_any_number_of_steps(lab: Lab) -> None:
    branch(lab, "b@master", "a@master")
    branch(lab, "c@master", "b@master")
    assert {ref.repo.name for ref in head_branch(lab, "c@master").provenance} == {"a", "b"}
    assert [ref.repo.name for ref in head_branch(lab, "c@master").direct_provenance] == ["b"]
    assert {ref.repo.name for ref in head_branch(lab, "a@master").subvenance} == {"b", "c"}


def test_branches_never_stand_on_each_other_in_a_circle(lab: Lab) -> None:
    branch(lab, "b@master", "a@master")
    branch(lab, "c@master", "b@master")
    with pytest.raises(LocalRunnerError, match="cycle detected"):
        branch(lab, "a@master", "c@master")
    with pytest.raises(LocalRunnerError, match="cannot be in the provenance of its own branch"):
        branch(lab, "a@dev", "a@master")


def test_two_branches_of_one_repo_do_not_meet_in_a_graph(lab: Lab) -> None:
    branch(lab, "b@master", "a@master")
    branch(lab, "c@master", "a@dev")
    with pytest.raises(LocalRunnerError, match="multiple branches from the same repo"):
        branch(lab, "d@master", "b@master", "c@master")


def test_a_change_that_is_refused_leaves_nothing(lab: Lab) -> None:
    branch(lab, "b@master", "a@master")
    before = lab.runner.list_branch(parse_repo("a"))
    with pytest.raises(LocalRunnerError, match="cycle"):
        branch(lab, "a@master", "b@master")
    assert lab.runner.list_branch(parse_repo("a")) == before


def test_a_branch_moves_to_any_commit_of_its_repo_alone(lab: Lab) -> None:
    first = lab.put("data@master", {"/a": "1"})
    lab.put("data@master", {"/a": "2"})
    branch(lab, "data@stable", head="data@master^")
    assert lab.head("data@stable") == first
    other = lab.put("other@master", {"/x": "1"})
    with pytest.raises(LocalRunnerError, match="must belong to the same repo"):
        lab.runner.create_branch(parse_branch("data@stable"), parse_commit(f"other@{other.id}"))


def test_moving_a_branch_wakes_what_stands_on_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.put("data@master", {"/a": "2"})
    lab.pipeline("copy")
    lab.run_all()
    branch(lab, "data@master", head="data@master^")
    lab.run_all()
    assert lab.files("copy@master") == {"/a": "1"}


def test_a_branch_others_stand_on_is_deleted_by_force_only(lab: Lab) -> None:
    branch(lab, "out@master", "data@master")
    with pytest.raises(Refused, match=r"in the direct provenance of \[default/out@master\]"):
        lab.runner.delete_branch(parse_branch("data@master"))
    lab.runner.delete_branch(parse_branch("data@master"), force=True)
    with pytest.raises(BranchNotFound):
        lab.runner.inspect_branch(parse_branch("data@master"))
    assert head_branch(lab, "out@master").direct_provenance == ()


def test_commits_stay_when_their_branch_goes(lab: Lab) -> None:
    ref = lab.put("data@dev", {"/a": "1"})
    lab.runner.delete_branch(parse_branch("data@dev"))
    assert lab.files(f"data@{ref.id}") == {"/a": "1"}


def test_a_change_along_an_edge_that_never_propagates_starts_nothing(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.put("model@master", {"/m": "1"})
    inputs = [{"pfs": {"repo": "data", "glob": "/*"}}, {"pfs": {"repo": "model", "glob": "/", "propagation_spec": {"never": True}}}]
    lab.pipeline("apply", input={"cross": inputs})
    lab.run_all()
    jobs = len(lab.jobs("apply"))
    lab.put("model@master", {"/m": "2"})
    lab.run_all()
    assert len(lab.jobs("apply")) == jobs
    lab.put("data@master", {"/a": "2"})
    lab.run_all()
    assert lab.files("apply@master") == {"/a": "2", "/m": "2"}


# -- triggers ----------------------------------------------------------------------------------------------------------


def watch(lab: Lab, name: str = "data@stable", **fields: object) -> None:
    ref = parse_branch(name)
    lab.runner.create_branch(ref, trigger=Trigger(**{"branch": "master", **fields}))  # type: ignore[arg-type]


def heads(lab: Lab, puts: int, size: int = 1) -> list[int]:
    """After each commit on master: which of them stands at the head of the branch that watches; 0 for none."""
    made: list[str] = []
    found = []
    for n in range(puts):
        made.append(lab.put("data@master", {f"/{n}": "x" * size}).id)
        head = lab.head("data@stable").id
        found.append(made.index(head) + 1 if head in made else 0)
    return found


def test_a_trigger_counts_commits(lab: Lab) -> None:
    branch(lab, "data@master")
    watch(lab, commits=2)
    assert heads(lab, 5) == [0, 2, 2, 4, 4]


def test_a_trigger_measures_how_much_came(lab: Lab) -> None:
    branch(lab, "data@master")
    watch(lab, size="1K")
    assert heads(lab, 5, size=400) == [0, 0, 3, 3, 3]


def test_a_trigger_wants_all_or_any_of_its_conditions(lab: Lab) -> None:
    branch(lab, "data@master")
    watch(lab, commits=2, size="1K", all=True)
    assert heads(lab, 4, size=400) == [0, 0, 3, 3]
    watch(lab, commits=1, size="1G")
    assert lab.head("data@stable") != lab.head("data@master")
    last = lab.put("data@master", {"/last": "1"})
    assert lab.head("data@stable") == last


def test_triggers_follow_each_other(lab: Lab) -> None:
    branch(lab, "data@master")
    watch(lab, commits=1)
    lab.runner.create_branch(parse_branch("data@late"), trigger=Trigger(branch="stable", commits=2))
    lab.put("data@master", {"/1": "1"})
    second = lab.put("data@master", {"/2": "1"})
    assert lab.head("data@stable") == lab.head("data@late") == second


def test_a_fired_trigger_starts_the_pipelines_behind_it(lab: Lab) -> None:
    branch(lab, "data@master")
    spec = {"pfs": {"repo": "data", "glob": "/*", "branch": "stable", "trigger": {"branch": "master", "commits": 2}}}
    lab.pipeline("copy", input=spec)
    lab.put("data@master", {"/1": "1"})
    lab.run_all()
    assert lab.files("copy@master") == {}
    lab.put("data@master", {"/2": "1"})
    lab.run_all()
    assert lab.files("copy@master") == {"/1": "1", "/2": "1"}


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"branch": "", "commits": 1}, Invalid, "must specify a branch"),
        ({"branch": "stable", "commits": 1}, Invalid, "form a loop"),
        ({"branch": "nowhere", "commits": 1}, BranchNotFound, "nowhere"),
        ({"commits": -1}, Invalid, "negative"),
        ({"size": "much"}, Invalid, "much"),
        ({"rate_limit_spec": "often"}, Invalid, "often"),
    ],
)
def test_a_trigger_that_cannot_work_is_refused(lab: Lab, fields: dict[str, Any], error: type[Exception], says: str) -> None:
    branch(lab, "data@master")
    with pytest.raises(error, match=says):
        watch(lab, **fields)


def test_branches_tied_by_a_trigger_are_deleted_by_force_only(lab: Lab) -> None:
    branch(lab, "data@master")
    lab.runner.create_branch(parse_branch("data@stable"), trigger=Trigger("master", commits=2))
    for name in ("data@stable", "data@master"):
        with pytest.raises(Refused, match="trigger"):
            lab.runner.delete_branch(parse_branch(name))
    with pytest.raises(Refused, match="trigger"):
        lab.runner.delete_repo(parse_repo("data"))
    lab.runner.delete_branch(parse_branch("data@master"), force=True)
    assert head_branch(lab, "data@stable").trigger is None
    lab.runner.delete_branch(parse_branch("data@stable"))
    assert lab.runner.delete_repo(parse_repo("data"))
