"""Cases 23 to 49 of reference pps 6.2: what unions, crosses, joins and groups make of several inputs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from local_runner.errors import Invalid, LocalRunnerError
from local_runner.model.jobs import JobState
from tests.reference.datums import BITS, FOO, Input, datums, fill, ids, pfs
from tests.support.lab import Lab

ONES = [f"/foo{i}1" for i in range(1, 5)]
TWOS = ["/foo12", "/foo2", "/foo22", "/foo32", "/foo42"]
NOTHING = pfs("!(**)", name="z")
BY_DIGIT = "/file.(?)(?)(?)(?)"


@pytest.fixture
def foo(lab: Lab) -> Lab:
    """With files foo0 to foo49 in `data`."""
    fill(lab, data=FOO)
    return lab


@pytest.fixture
def bits(lab: Lab) -> Lab:
    """With the numbers up to 1111 in `data`, and again in `more`."""
    fill(lab, data=BITS, more=BITS)
    return lab


def sizes(lab: Lab, input: Input) -> list[int]:
    return sorted(len(paths) for paths in datums(lab, input))


# -- unions and crosses ------------------------------------------------------------------------------------------------


def test_case_23_a_union_has_the_datums_of_both(foo: Lab) -> None:
    assert datums(foo, {"union": [pfs("/foo?1"), pfs("/foo*2")]}) == sorted([path] for path in ONES + TWOS)


def test_case_24_a_datum_is_in_a_union_once(foo: Lab) -> None:
    assert datums(foo, {"union": [pfs("/foo1?"), pfs("/foo11")]}) == [[f"/foo1{i}"] for i in range(10)]


def test_case_25_a_cross_has_all_pairs_in_the_order_of_its_children(foo: Lab) -> None:
    cross = {"cross": [pfs("/foo?1", name="x"), pfs("/foo*2", name="y")]}
    assert datums(foo, cross) == sorted([x, y] for x in ONES for y in TWOS)


def test_case_26_a_cross_with_nothing_is_nothing(foo: Lab) -> None:
    assert datums(foo, {"cross": [pfs("/*", name="x"), NOTHING]}) == []
    assert datums(foo, {"cross": [pfs("/*", name="a"), {"cross": [pfs("/*", name="x"), NOTHING]}]}) == []
    assert datums(foo, {"cross": [pfs("/*", name="a"), {"union": [NOTHING]}]}) == []


def test_case_43_unions_and_crosses_of_four_repos_in_each_other(lab: Lab) -> None:
    fill(lab, **{repo: ["/f0", "/f1"] for repo in "abcd"})
    a, b, c, d = (pfs("/*", repo) for repo in "abcd")
    assert sizes(lab, {"union": [a, b, c, d]}) == [1] * 8
    assert sizes(lab, {"union": [{"cross": [a, b]}, {"cross": [c, d]}]}) == [2] * 8
    assert sizes(lab, {"cross": [{"union": [a, b]}, {"union": [c, d]}]}) == [2] * 16
    lab.pipeline("p", {"union": [pfs("/*", repo, name="in") for repo in "abcd"]}, lambda datum: 0)
    lab.run_all()
    assert lab.counts("p") == {"total": 8, "processed": 8}


def test_case_44_two_inputs_of_one_branch_run_again_when_either_changes(lab: Lab) -> None:
    fill(lab, data=["/dirA/file", "/dirB/file"])
    cross = {"cross": [pfs("/dirA", name="dirA"), pfs("/dirB", name="dirB")]}
    lab.pipeline("p", cross)
    lab.run_all()
    for path in ("/dirA/file", "/dirB/file"):
        lab.put("data@master", {path: "changed"})
        lab.run_all()
        assert lab.ran == ["p:/dirA /dirB"]
        assert lab.counts("p") == {"total": 1, "processed": 1}


def test_case_45_two_inputs_of_a_cross_need_two_names(lab: Lab) -> None:
    fill(lab, foo=["/a"])
    with pytest.raises(Invalid, match='name "foo" was used more than once'):
        lab.pipeline("p", {"cross": [pfs("/*", "foo"), pfs("/", "foo")]})


def test_case_46_a_name_of_a_union_counts_against_what_it_is_crossed_with(lab: Lab) -> None:
    fill(lab, **{repo: ["/a"] for repo in "abc"})
    union = {"union": [pfs("/*", "a", "x"), pfs("/*", "b", "x")]}
    with pytest.raises(Invalid, match='name "x" was used more than once'):
        lab.pipeline("p", {"cross": [union, pfs("/*", "c", "x")]})
    lab.pipeline("p", {"cross": [union, pfs("/*", "c", "y")]})


def test_case_47_inputs_without_names_keep_the_order_of_the_spec(lab: Lab) -> None:
    fill(lab, images=["/i"], edges=["/e"])
    cross = {"cross": [pfs("/", "images"), pfs("/", "edges")]}
    lab.pipeline("p", cross, lambda datum: 0)
    lab.run_all()
    (datum,) = lab.runner.list_datum(lab.job("p").job)
    assert datum.datum.id == "2f83ae6f5460c07c2f6210385d16edcd47ab2ece3ba1d4c8e763708d1efaffd5"
    assert [file.source.name for file in datum.datum.inputs] == ["images", "edges"]


def test_case_48_inputs_with_names_are_sorted_by_them(lab: Lab) -> None:
    fill(lab, images=["/i"], edges=["/e"])
    lab.pipeline("p", {"cross": [pfs("/", "images", "b"), pfs("/", "edges", "a")]}, lambda datum: 0)
    lab.run_all()
    (datum,) = lab.runner.list_datum(lab.job("p").job)
    assert [(file.source.name, file.source.repo) for file in datum.datum.inputs] == [("a", "edges"), ("b", "images")]


def test_case_49_one_pipeline_reads_one_branch_of_a_repo(lab: Lab) -> None:
    fill(lab, data=["/a"])
    lab.put("data@dev", {"/a": "1"})
    with pytest.raises(LocalRunnerError, match="multiple branches from the same repo"):
        lab.pipeline("p", {"cross": [pfs("/", name="a"), pfs("/", name="b", branch="dev")]})


# -- joins -------------------------------------------------------------------------------------------------------------


def test_case_27_a_join_pairs_files_whose_keys_agree(foo: Lab) -> None:
    join = {"join": [pfs("/foo(?)(?)", name="x", join_on="$1$2"), pfs("/foo(?)(?)", name="y", join_on="$2$1")]}
    assert datums(foo, join) == sorted([f"/foo{i}{j}", f"/foo{j}{i}"] for i in range(1, 5) for j in range(1, 5))


def test_case_28_outer_files_without_a_partner_stand_alone(foo: Lab) -> None:
    x = pfs("/foo1(?)", name="x", join_on="$1", outer_join=True)
    y = pfs("/foo(?)1", name="y", join_on="$1", outer_join=True)
    alone = [["/foo10"], *([f"/foo1{k}"] for k in range(5, 10))]
    assert datums(foo, {"join": [x, y]}) == sorted([*alone, *([f"/foo1{k}", f"/foo{k}1"] for k in range(1, 5))])


@pytest.mark.parametrize(
    ("two", "three", "keys"),
    [
        pytest.param(True, True, {0, 2, 3, 4, 6, 8, 9, 10}, id="case_29-both"),
        pytest.param(True, False, {0, 2, 4, 6, 8, 10}, id="case_29-two"),
        pytest.param(False, True, {0, 3, 6, 9}, id="case_29-three"),
        pytest.param(False, False, {0, 6}, id="case_29-none"),
    ],
)
def test_which_keys_an_outer_join_keeps(lab: Lab, two: bool, three: bool, keys: set[int]) -> None:
    fill(lab, two=[f"/{i}" for i in range(0, 11, 2)], three=[f"/{i}" for i in range(0, 11, 3)])
    join = {"join": [pfs("/(*)", "two", join_on="$1", outer_join=two), pfs("/(*)", "three", join_on="$1", outer_join=three)]}
    found = datums(lab, join)
    assert sorted(int(paths[0][1:]) for paths in found) == sorted(keys)
    assert {int(paths[0][1:]) for paths in found if len(paths) == 2} == {0, 6}


def test_case_30_a_join_on_a_part_of_the_name(lab: Lab) -> None:
    fill(lab, data=[f"/file-{k}.{i:>4b}" for k in (0, 1) for i in range(16)])
    join = {"join": [pfs("/file-0.(11*)", name="x", join_on="$1"), pfs("/file-1.(*0)", name="y", join_on="$1")]}
    assert datums(lab, join) == [[f"/file-0.{key}", f"/file-1.{key}"] for key in ("1100", "1110")]


def test_case_31_folders_are_joined_like_files(lab: Lab) -> None:
    fill(lab, x=["/dir-01/foo"], y=["/dir-10/bar"])
    join = {"join": [pfs("/dir-(?)(?)", "x", join_on="$2"), pfs("/dir-(?)(?)", "y", join_on="$1")]}
    assert datums(lab, join) == [["/dir-01/", "/dir-10/"]]


def test_case_32_a_slash_at_the_end_of_the_glob_does_no_harm(lab: Lab) -> None:
    files = [f"/foo-{i}" for i in range(10)]
    fill(lab, x=files, y=files)
    assert datums(lab, {"join": [pfs("/(*)/", "x", join_on="$1"), pfs("/(*)/", "y", join_on="$1")]}) == [[file, file] for file in files]


def test_case_33_a_join_without_keys_is_a_cross(lab: Lab) -> None:
    fill(lab, x=["/a", "/b"], y=["/c", "/d"])
    assert datums(lab, {"join": [pfs("/*", "x"), pfs("/*", "y")]}) == [["/a", "/c"], ["/a", "/d"], ["/b", "/c"], ["/b", "/d"]]


def test_case_34_inner_files_are_left_out_where_a_partner_is_missing(lab: Lab) -> None:
    fill(lab, a=["/k"], b=["/k"], c=["/other"])
    lab.put("c@master", {"/other": None})
    join = {"join": [pfs("/(*)", "a", join_on="$1", outer_join=True), pfs("/(*)", "b", join_on="$1"), pfs("/(*)", "c", join_on="$1")]}
    assert datums(lab, join) == [["/k"]]


# -- groups ------------------------------------------------------------------------------------------------------------


def test_case_35_a_group_is_one_datum_of_all_files_of_a_key(foo: Lab) -> None:
    found = datums(foo, {"group": [pfs("/foo(?)(?)", group_by="$1")]})
    assert sorted(map(sorted, found)) == [[f"/foo{i}{j}" for j in range(10)] for i in range(1, 5)]


def test_case_36_a_file_may_be_in_a_group_once_for_each_child(foo: Lab) -> None:
    found = datums(foo, {"group": [pfs("/foo(?)(?)", name="x", group_by="$1"), pfs("/foo(?)(?)", name="y", group_by="$2")]})
    assert len(found) == 10
    assert sorted([f"/foo1{j}" for j in range(10)] + ["/foo11", "/foo21", "/foo31", "/foo41"]) in map(sorted, found)


def test_case_37_a_group_takes_the_pairs_of_a_join_apart(foo: Lab) -> None:
    x = pfs("/foo(?)(?)", name="x", join_on="$1$2", group_by="$1")
    y = pfs("/foo(?)(?)", name="y", join_on="$2$1", group_by="$2")
    assert sizes(foo, {"group": [{"join": [x, y]}]}) == [8, 8, 8, 8]


def test_case_38_groups_by_the_third_digit(bits: Lab) -> None:
    assert sizes(bits, {"group": [pfs(BY_DIGIT, group_by="$3")]}) == [2, 6, 8]


def test_case_39_groups_of_two_repos_by_different_digits(bits: Lab) -> None:
    assert sizes(bits, {"group": [pfs(BY_DIGIT, group_by="$3"), pfs(BY_DIGIT, "more", group_by="$2")]}) == [6, 10, 16]


def test_case_40_groups_of_a_join_of_mirrored_numbers(bits: Lab) -> None:
    x = pfs(BY_DIGIT, join_on="$1$2$3$4", group_by="$3")
    y = pfs(BY_DIGIT, "more", join_on="$4$3$2$1", group_by="$2")
    assert sizes(bits, {"group": [{"join": [x, y]}]}) == [4, 4]


def test_case_41_groups_by_what_stands_in_the_middle_of_the_name(lab: Lab) -> None:
    patients = [("T1", 1, "C1"), ("T1", 2, "C1"), ("T2", 1, "C2"), ("T2", 3, "C4"), ("T3", 3, "C3"), ("T4", 4, "C1")]
    fill(lab, data=[f"/{test}-PATID{patient}-{clinic}.txt" for test, patient, clinic in patients])
    found = datums(lab, {"group": [pfs("/*-PATID(*)-*.txt", group_by="$1")]})
    assert sorted([path.split("-")[1] for path in paths] for paths in found) == [
        ["PATID1", "PATID1"],
        ["PATID2"],
        ["PATID3", "PATID3"],
        ["PATID4"],
    ]


def test_case_42_a_union_may_have_single_files_and_groups(foo: Lab) -> None:
    union = {"union": [pfs("/foo(?)(?)"), {"group": [pfs("/foo(?)(?)", group_by="$2")]}]}
    assert Counter(sizes(foo, union)) == {1: 40, 4: 10}
    assert all(before < after for before, after in pairwise(ids(foo, union)))


def test_the_pairs_of_a_join_run_as_one_datum_each(lab: Lab) -> None:
    fill(lab, x=["/1", "/2"], y=["/2", "/3"])
    lab.pipeline("p", {"join": [pfs("/(*)", "x", join_on="$1"), pfs("/(*)", "y", join_on="$1")]})
    lab.run_all()
    assert lab.ran == ["p:/2 /2"]
    assert lab.state("p") is JobState.SUCCESS
