import pytest

from local_runner.errors import BranchNotFound, CommitNotFound, Invalid, LocalRunnerError, Refused, RepoNotFound
from local_runner.model.refs import CommitRef, parse_branch, parse_commit, parse_repo
from local_runner.model.repos import CommitInfo
from local_runner.repos.commits import commit_info
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from tests.repos.words import branch, commit, head_branch, history
from tests.support.lab import Lab


def three(lab: Lab) -> list[CommitRef]:
    return [lab.put("data@master", {f"/{n}": str(n)}) for n in (1, 2, 3)]


# -- finding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "number"), [("", 3), ("^", 2), ("^^", 1), ("~2", 1), ("^2", 1), (".1", 1), (".2", 2), (".3^2", 1), (".4", 3), ("~", 2)]
)
def test_an_ancestry_counts_from_the_head_or_from_the_root(lab: Lab, suffix: str, number: int) -> None:
    made = three(lab)
    assert lab.head(f"data@master{suffix}") == made[number - 1]
    if not suffix.startswith("."):
        assert lab.head(f"data@{made[2].id}{suffix}") == made[number - 1]


@pytest.mark.parametrize(
    ("name", "error"),
    [("nowhere@master", RepoNotFound), ("data@nowhere", BranchNotFound), (f"data@{'0' * 12}4{'0' * 19}", CommitNotFound)],
)
def test_what_is_not_there_is_named(lab: Lab, name: str, error: type[Exception]) -> None:
    three(lab)
    with pytest.raises(error, match=name.split("@")[0] if error is RepoNotFound else name.split("@")[1]):
        lab.head(name)


def test_going_back_beyond_the_root_says_how_far_it_goes(lab: Lab) -> None:
    three(lab)
    with pytest.raises(LocalRunnerError, match="offset requested: 5, offset traversable: 2"):
        lab.head("data@master^5")


def test_counting_from_the_root_goes_one_beyond_the_head_and_no_further(lab: Lab) -> None:
    three(lab)
    head = lab.head("data@master")
    assert lab.head("data@master.3") == lab.head("data@master.4") == head
    with pytest.raises(LocalRunnerError, match=f"head commit: {head}, offset: 4, maximum depth: 3"):
        lab.head("data@master.5")


def test_nothing_is_counted_from_an_id_or_from_zero(lab: Lab) -> None:
    made = three(lab)
    with pytest.raises(Invalid, match="names a commit, not a branch"):
        lab.head(f"data@{made[2].id}.1")
    with pytest.raises(LocalRunnerError, match=f"invalid offset from branch root for head commit: default/data@{made[2].id}"):
        lab.head("data@master.0")


def test_an_id_of_a_set_without_own_commit_names_what_the_set_stands_on(lab: Lab) -> None:
    base = lab.put("other@master", {"/x": "1"})
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("join", input={"cross": [{"pfs": {"repo": r, "glob": "/"}} for r in ("data", "other")]})
    change = lab.put("data@master", {"/b": "1"})
    assert lab.head(f"other@{change.id}") == base


# -- life --------------------------------------------------------------------------------------------------------------


def test_a_commit_is_open_until_it_is_finished(lab: Lab) -> None:
    lab.repo("data")
    ref = lab.runner.start_commit(parse_branch("data@master"), description="first")
    assert commit(lab, "data@master").finishing is None
    lab.put("data@master", {"/a": "1"})
    assert lab.head("data@master") == ref
    assert lab.files("data@master") == {"/a": "1"}
    lab.runner.finish_commit(parse_commit("data@master"))
    info = commit(lab, "data@master")
    assert info.finished is not None
    assert (info.size, info.description, info.origin) == (1, "first", "USER")
    with pytest.raises(LocalRunnerError, match="already finished"):
        lab.runner.finish_commit(parse_commit("data@master"))


def test_only_one_commit_of_a_branch_is_open_at_a_time(lab: Lab) -> None:
    lab.repo("data")
    lab.runner.start_commit(parse_branch("data@master"))
    with pytest.raises(Refused, match=r"parent commit .* has not been finished"):
        lab.runner.start_commit(parse_branch("data@master"))


def test_nobody_starts_a_commit_on_a_branch_that_stands_on_others(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    branch(lab, "out@master", "data@master")
    lab.runner.finish_commit(parse_commit("out@master"), force=True)
    with pytest.raises(Refused, match="output branch: default/out@master"):
        lab.runner.start_commit(parse_branch("out@master"))


def test_files_are_put_to_a_finished_commit_only_by_making_a_new_one(lab: Lab) -> None:
    first = lab.put("data@master", {"/a": "1"})
    with pytest.raises(Refused, match="already finished"):
        lab.put(f"data@{first.id}", {"/b": "1"})
    assert lab.put("data@master", {"/b": "1"}) != first
    assert lab.files(f"data@{first.id}") == {"/a": "1"}


def test_clearing_an_open_commit_takes_back_what_was_written_to_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.runner.start_commit(parse_branch("data@master"))
    lab.put("data@master", {"/a": "2", "/b": "2"})
    lab.runner.clear_commit(parse_commit("data@master"))
    assert lab.files("data@master") == {"/a": "1"}
    lab.runner.finish_commit(parse_commit("data@master"))
    with pytest.raises(Refused, match="cannot clear finished commit"):
        lab.runner.clear_commit(parse_commit("data@master"))


def test_children_of_a_commit_with_an_error_build_on_the_nearest_one_without(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.runner.start_commit(parse_branch("data@master"))
    lab.put("data@master", {"/b": "1"})
    lab.runner.finish_commit(parse_commit("data@master"), error="went wrong")
    assert lab.files("data@master") == {"/a": "1", "/b": "1"}
    lab.put("data@master", {"/c": "1"})
    assert lab.files("data@master") == {"/a": "1", "/c": "1"}


def test_a_commit_of_a_child_waits_for_its_base(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.runner.start_commit(parse_branch("data@master"))
    branch(lab, "data@copy", head="data@master")
    with pytest.raises(Refused, match="has not been finished"):
        lab.runner.start_commit(parse_branch("data@new"), parse_commit("data@copy"))


def test_a_commit_is_only_finishing_until_the_one_it_builds_on_is_finished(lab: Lab) -> None:
    lab.repo("data")
    lab.runner.start_commit(parse_branch("data@master"))
    branch(lab, "out@master", "data@master")
    lab.put("data@master", {"/a": "1"})
    lab.runner.finish_commit(parse_commit("data@master"))
    lab.put("data@master", {"/a": "2"})
    lab.runner.finish_commit(parse_commit("out@master"))
    assert (commit(lab, "out@master").finishing is not None, commit(lab, "out@master").finished) == (True, None)
    lab.runner.finish_commit(parse_commit("out@master^"))
    assert commit(lab, "out@master").finished is not None


def test_a_commit_that_was_given_up_has_files_but_no_size(lab: Lab) -> None:
    lab.repo("data")
    lab.runner.start_commit(parse_branch("data@master"))
    lab.put("data@master", {"/a": "123"})
    lab.runner.finish_commit(parse_commit("data@master"), error="went wrong")
    assert commit(lab, "data@master").size == lab.runner.inspect_repo(parse_repo("data")).size == 0
    assert lab.files("data@master") == {"/a": "123"}


def test_the_commits_around_one_are_known_by_their_branches_while_those_are_there(lab: Lab) -> None:
    first, second, _ = three(lab)
    branch(lab, "out@copy", "data@master")
    (made,) = commit(lab, "data@master").direct_subvenance
    assert commit(lab, "data@master").branches == {made: "copy"}
    assert commit(lab, f"data@{first.id}").branches == {second: "master"}
    lab.runner.delete_branch(parse_branch("out@copy"))
    branch(lab, "out@copy")
    assert commit(lab, "data@master").branches == {}


# -- listing -----------------------------------------------------------------------------------------------------------


def test_commits_are_listed_newest_first_down_to_but_without_the_last(lab: Lab) -> None:
    first, second, third = three(lab)
    repo = parse_repo("data")
    assert [c.commit for c in lab.runner.list_commit(repo)] == [third, second, first]
    assert [c.commit for c in lab.runner.list_commit(repo, reverse=True)] == [first, second, third]
    assert [c.commit for c in lab.runner.list_commit(repo, number=2)] == [third, second]
    to, from_ = parse_commit("data@master"), parse_commit(f"data@{first.id}")
    assert [c.commit for c in lab.runner.list_commit(repo, to, from_)] == [third, second]
    with pytest.raises(Invalid, match="without `to`"):
        list(lab.runner.list_commit(repo, from_=from_))
    with pytest.raises(Invalid, match="Reverse"):
        list(lab.runner.list_commit(repo, to, reverse=True))


def test_a_change_reaches_everything_downstream_under_one_id(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("one", input="data:/*")
    lab.pipeline("two", input="one:/*")
    change = lab.put("data@master", {"/b": "1"})
    found = [str(c.commit.repo) for c in lab.runner.inspect_commit_set(change.id).commits if c.commit.id == change.id]
    assert found.index("default/data") < found.index("default/one") < found.index("default/two")
    assert {"default/one.meta", "default/two.meta"} <= set(found)


# -- squash and drop ---------------------------------------------------------------------------------------------------


def test_a_squashed_commit_leaves_its_changes_to_its_children(lab: Lab) -> None:
    first, second, third = three(lab)
    lab.runner.squash_commit_set(second.id)
    assert history(lab, "data@master") == [third, first]
    assert lab.files("data@master") == {"/1": "1", "/2": "2", "/3": "3"}
    assert lab.files(f"data@{first.id}") == {"/1": "1"}


def test_a_commit_without_children_is_not_squashed(lab: Lab) -> None:
    *_, third = three(lab)
    with pytest.raises(Refused, match="no children as that would cause data loss"):
        lab.runner.squash_commit_set(third.id)


def test_a_dropped_head_gives_the_branch_back_to_its_parent(lab: Lab) -> None:
    _, second, third = three(lab)
    with pytest.raises(Refused, match="cannot drop a commit that has children"):
        lab.runner.drop_commit_set(second.id)
    lab.runner.drop_commit_set(third.id)
    assert lab.head("data@master") == second
    assert lab.files("data@master") == {"/1": "1", "/2": "2"}


def test_a_branch_that_lost_its_only_commit_gets_an_empty_one(lab: Lab) -> None:
    only = lab.put("data@master", {"/a": "1"})
    lab.runner.drop_commit_set(only.id)
    assert lab.head("data@master") != only
    assert lab.files("data@master") == {}
    assert commit(lab, "data@master").finished is not None


def test_a_set_others_stand_on_is_not_removed(lab: Lab) -> None:
    first = lab.put("data@master", {"/a": "1"})
    lab.put("data@master", {"/b": "1"})
    lab.runner.create_branch(branch(lab, "data@old", head=f"data@{first.id}"))
    branch(lab, "out@master", "data@old")
    with pytest.raises(Refused, match="subvenant commit sets"):
        lab.runner.squash_commit_set(first.id)


def test_a_single_commit_with_dependants_goes_only_with_them(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("one", input="data:/*")
    lab.run_all()
    lab.put("data@master", {"/b": "1"})
    lab.run_all()
    change = head_branch(lab, "data@master").head
    assert change
    query = parse_commit(f"data@{change.id}")
    with pytest.raises(Refused, match="recursive"):
        lab.runner.drop_commit(query)
    lab.runner.drop_commit(query, recursive=True)
    assert lab.files("one@master") == lab.files("data@master") == {"/a": "1"}


def test_the_commit_of_a_pipeline_version_is_never_squashed(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("one")
    lab.pipeline("one", update=True)
    version = lab.runner.inspect_pipeline(lab.job("one").job.pipeline, back=1).spec_commit
    with pytest.raises(Refused, match="updated a pipeline"):
        lab.runner.squash_commit(parse_commit(f"one.spec@{version}"), recursive=True)


# -- sets --------------------------------------------------------------------------------------------------------------


def test_a_list_of_sets_has_each_as_it_is_inspected_and_reads_each_commit_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.repo("data")
    for name, source in (("p0", "data"), ("p1", "p0"), ("p2", "p1"), ("both", "p0")):
        lab.pipeline(name, f"{source}:/*")
    three(lab)
    lab.run_all()
    inspected = [lab.runner.inspect_commit_set(found.id) for found in lab.runner.list_commit_set()]
    read: list[CommitRef] = []

    def counted(session: Session, row: CommitRow) -> CommitInfo:
        read.append(row.ref)
        return commit_info(session, row)

    monkeypatch.setattr("local_runner.repos.commit_sets.commit_info", counted)
    assert list(lab.runner.list_commit_set("default")) == inspected
    assert len(read) == len(set(read)) < sum(len(found.commits) for found in inspected)


def test_a_set_has_sources_before_what_stands_on_them(lab: Lab) -> None:
    lab.repo("data")
    lab.pipeline("p0", "data:/*")
    lab.pipeline("p1", "p0:/*")
    three(lab)
    lab.run_all()
    for found in lab.runner.list_commit_set():
        place = {info.commit: number for number, info in enumerate(found.commits)}
        assert all(place[source] < place[info.commit] for info in found.commits for source in info.direct_provenance)
