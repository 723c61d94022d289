"""Which datums an input expression makes, under which ids and in which order (reference pps 1.4, cases 23-48)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.model.datums import Datum, InputFile
from local_runner.model.globs import compile_glob
from local_runner.model.inputs import Cron, Cross, Group, Input, Join, Pfs, Union
from local_runner.planning.enumerate import enumerate_datums, processing_order
from tests.support.slow_datums import slow_datums

FOO = [f"/foo{i}" for i in range(50)]
BITS = [f"/file.{i:>4b}" for i in range(16)]

Trees = Mapping[str, Sequence[str]]


def pfs(glob: str, repo: str = "data", name: str = "", **fields) -> Pfs:
    return Pfs(repo, name or repo, glob, **fields)


def select(trees: Trees, source: Pfs | Cron) -> list[InputFile]:
    """What the source's glob selects among files and the folders above them."""
    assert isinstance(source, Pfs)
    files = trees[source.repo]
    folders = {file[: i + 1] for file in files for i, char in enumerate(file) if char == "/"}
    glob = compile_glob(source.glob)
    return [
        InputFile(source, "c", path, b"", 0, glob.replace(path, source.join_on), glob.replace(path, source.group_by))
        for path in sorted({*files, *folders})
        if glob.matches(path)
    ]


def datums(expression: Input, **trees: Sequence[str]) -> list[Datum]:
    return enumerate_datums(expression, partial(select, trees or {"data": FOO}))


def paths(found: Sequence[Datum]) -> list[list[str]]:
    """The paths of each datum, datums sorted by them."""
    return sorted([file.path for file in datum.inputs] for datum in found)


def sizes(found: Sequence[Datum]) -> list[int]:
    return sorted(len(datum.inputs) for datum in found)


def test_no_input_makes_no_datum() -> None:
    assert enumerate_datums(None, lambda source: pytest.fail("asked for files")) == []


def test_each_match_of_a_pfs_input_is_a_datum_in_order_of_id_with_its_place_as_index() -> None:
    found = datums(pfs("/*.jpg", "images"), images=["/kitten.jpg", "/liberty.jpg", "/robot.jpg"])
    assert [(datum.id[:8], datum.index, datum.inputs[0].path) for datum in found] == [
        ("3c726887", 0, "/kitten.jpg"),
        ("cef4a52b", 1, "/liberty.jpg"),
        ("e33c4bba", 2, "/robot.jpg"),
    ]


def test_datums_of_one_input_are_processed_in_path_order() -> None:
    found = datums(pfs("/*"))
    assert [datum.id for datum in found] == sorted(datum.id for datum in found)
    assert [datum.inputs[0].path for datum in processing_order(found)] == sorted(FOO)


def test_a_cron_input_makes_one_datum_of_each_tick() -> None:
    cron = Cron("tick", "p_tick", "@daily")
    files = [InputFile(cron, "c", f"/2024-01-0{i}T00:00:00Z", b"", 0) for i in (1, 2)]
    assert [datum.index for datum in processing_order(enumerate_datums(cron, lambda source: files))] == [0, 1]


def test_a_union_is_the_set_of_its_childrens_datums() -> None:  # case 23
    found = datums(Union((pfs("/foo?1"), pfs("/foo*2"))))
    assert len(found) == 9
    assert Counter(datum.index for datum in found) == {0: 2, 1: 2, 2: 2, 3: 2, 4: 1}


def test_equal_datums_of_a_union_collapse_to_the_first() -> None:  # case 24
    found = datums(Union((pfs("/foo1?"), pfs("/foo11"))))
    assert paths(found) == [[f"/foo1{i}"] for i in range(10)]
    assert [datum.index for datum in found if datum.inputs[0].path == "/foo11"] == [1]
    assert len(datums(Union((pfs("/foo11", name="x"), pfs("/foo11", name="y"))))) == 2


def test_a_cross_makes_every_combination_in_child_order() -> None:  # case 25
    found = datums(Cross((pfs("/foo?1", name="x"), pfs("/foo*2", name="y"))))
    assert paths(found) == sorted([x, y] for x in FOO if len(x) == 6 and x[-1] == "1" for y in FOO if y[-1] == "2")
    assert len(found) == 20


def test_a_cross_counts_its_combinations_with_the_first_child_outermost_and_each_child_by_id() -> None:
    x, y = pfs("/foo1?", name="x"), pfs("/foo2?", name="y")
    expected = [[a.inputs[0].path, b.inputs[0].path] for a in datums(x) for b in datums(y)]
    found = processing_order(datums(Cross((x, y))))
    assert [[file.path for file in datum.inputs] for datum in found] == expected
    assert [datum.index for datum in found] == list(range(100))


def test_a_cross_with_an_empty_child_is_empty() -> None:  # case 26
    nothing = pfs("/!(**)", name="y")
    assert datums(Cross((pfs("/*", name="x"), nothing))) == []
    assert datums(Cross((pfs("/*", name="z"), Cross((pfs("/*", name="x"), nothing))))) == []


def test_a_join_pairs_files_whose_keys_agree() -> None:  # case 27
    found = datums(Join((pfs("/foo(?)(?)", name="x", join_on="$1$2"), pfs("/foo(?)(?)", name="y", join_on="$2$1"))))
    assert paths(found) == sorted([f"/foo{i}{j}", f"/foo{j}{i}"] for i in range(1, 5) for j in range(1, 5))
    assert {datum.index for datum in found} == {0}


def test_an_outer_join_keeps_files_that_have_no_partner() -> None:  # case 28
    both = Join((pfs("/foo1(?)", name="x", join_on="$1", outer_join=True), pfs("/foo(?)1", name="y", join_on="$1", outer_join=True)))
    assert paths(datums(both)) == sorted(
        [["/foo10"], *([f"/foo1{k}", f"/foo{k}1"] for k in range(1, 5)), *([f"/foo1{k}"] for k in range(5, 10))]
    )


@pytest.mark.parametrize(
    ("two", "three", "keys"),
    [
        (True, True, {0, 2, 3, 4, 6, 8, 9, 10}),
        (True, False, {0, 2, 4, 6, 8, 10}),
        (False, True, {0, 3, 6, 9}),
        (False, False, {0, 6}),
    ],
)
def test_which_keys_an_outer_join_keeps(two, three, keys) -> None:  # case 29
    found = datums(
        Join((pfs("/(*)", "two", join_on="$1", outer_join=two), pfs("/(*)", "three", join_on="$1", outer_join=three))),
        two=[f"/{i}" for i in range(0, 11, 2)],
        three=[f"/{i}" for i in range(0, 11, 3)],
    )
    assert sorted(int(datum.inputs[0].path[1:]) for datum in found) == sorted(keys)


def test_a_join_by_a_part_of_the_name() -> None:  # case 30
    files = [f"/file-{k}.{i:>4b}" for k in (0, 1) for i in range(16)]
    found = datums(Join((pfs("/file-?.(11*)", "x", join_on="$1"), pfs("/file-?.(*0)", "y", join_on="$1"))), x=files[:16], y=files[16:])
    assert paths(found) == [["/file-0.1100", "/file-1.1100"], ["/file-0.1110", "/file-1.1110"]]


def test_a_join_of_folders() -> None:  # case 31
    found = datums(
        Join((pfs("/dir-(?)(?)", "x", join_on="$2"), pfs("/dir-(?)(?)", "y", join_on="$1"))), x=["/dir-01/foo"], y=["/dir-10/bar"]
    )
    assert paths(found) == [["/dir-01/", "/dir-10/"]]


def test_a_trailing_slash_in_the_glob_does_a_join_no_harm() -> None:  # case 32
    files = [f"/foo-{i}" for i in range(10)]
    found = datums(Join((pfs("/(*)/", "x", join_on="$1"), pfs("/(*)/", "y", join_on="$1"))), x=files, y=files)
    assert paths(found) == [[file, file] for file in files]


def test_a_join_without_keys_is_a_cross() -> None:  # case 33
    assert len(datums(Join((pfs("/*", "x"), pfs("/*", "y"))), x=["/a", "/b"], y=["/c", "/d"])) == 4


def test_inner_files_are_left_out_of_an_incomplete_join() -> None:  # case 34
    join = Join((pfs("/(?)*", "a", join_on="$1", outer_join=True), pfs("/(?)*", "b", join_on="$1"), pfs("/*", "c")))
    assert paths(datums(join, a=["/k"], b=["/k", "/kk"], c=[])) == [["/k"]]
    assert datums(Join((pfs("/*", "b"), pfs("/*", "c"))), b=["/k"], c=[]) == []


def test_an_incomplete_join_does_not_try_all_combinations_of_inner_files() -> None:
    many = [f"/{i}" for i in range(3000)]
    join = Join((pfs("/*", "a", outer_join=True), pfs("/*", "b"), pfs("/*", "c"), pfs("/*", "none")))
    assert paths(datums(join, a=["/k"], b=many, c=many, none=[])) == [["/k"]]


def test_a_group_makes_one_datum_of_all_files_with_one_key() -> None:  # case 35
    assert sizes(datums(Group((pfs("/foo(?)(?)", group_by="$1"),)))) == [10, 10, 10, 10]


def test_a_file_may_be_in_a_group_twice_once_for_each_child() -> None:  # case 36
    found = datums(Group((pfs("/foo(?)(?)", name="x", group_by="$1"), pfs("/foo(?)(?)", name="y", group_by="$2"))))
    assert len(found) == 10
    ones = next(datum for datum in found if "/foo10" in {file.path for file in datum.inputs if file.source.name == "x"})
    assert ones.id == "64b7a2e2316dd156ce7dd3877ab52835b546a47288595164642d9629f601254c"
    assert " ".join(file.path[-2:] for file in ones.inputs) == "12 14 13 10 15 17 11 16 19 18 11 31 41 21"


def test_a_group_of_a_join_takes_the_pairs_apart() -> None:  # case 37
    join = Join(
        (
            pfs("/foo(?)(?)", name="x", join_on="$1$2", group_by="$1"),
            pfs("/foo(?)(?)", name="y", join_on="$2$1", group_by="$2"),
        )
    )
    found = datums(Group((join,)))
    assert sizes(found) == [8, 8, 8, 8]
    assert " ".join(file.path[-2:] for file in found[0].inputs) == "21 12 22 22 23 32 24 42"


def test_groups_by_one_character_of_the_name() -> None:  # cases 38, 39, 40
    glob = "/file.(?)(?)(?)(?)"
    assert sizes(datums(Group((pfs(glob, group_by="$3"),)), data=BITS)) == [2, 6, 8]
    two = Group((pfs(glob, name="x", group_by="$3"), pfs(glob, name="y", group_by="$2")))
    assert sizes(datums(two, data=BITS)) == [6, 10, 16]
    x = pfs(glob, name="x", join_on="$1$2$3$4", group_by="$3")
    y = pfs(glob, name="y", join_on="$4$3$2$1", group_by="$2")
    assert sizes(datums(Group((Join((x, y)),)), data=BITS)) == [4, 4]


def test_a_group_by_a_capture_in_the_middle_of_the_name() -> None:  # case 41
    files = ["/T1-PATID1-C1.txt", "/T1-PATID2-C1.txt", "/T2-PATID1-C2.txt", "/T2-PATID3-C4.txt", "/T3-PATID3-C3.txt", "/T4-PATID4-C1.txt"]
    assert sizes(datums(Group((pfs("/*-PATID(*)-*.txt", group_by="$1"),)), data=files)) == [1, 1, 2, 2]


def test_a_group_without_keys_is_one_datum() -> None:
    assert sizes(datums(Group((pfs("/*"),)))) == [50]


def test_a_union_with_a_group_keeps_both_kinds_of_datums() -> None:  # case 42
    found = datums(Union((pfs("/foo(?)(?)"), Group((pfs("/foo(?)(?)", group_by="$2"),)))))
    assert Counter(sizes(found)) == {1: 40, 4: 10}


def test_unions_and_crosses_in_each_other() -> None:  # case 43
    trees = {repo: ["/f0", "/f1"] for repo in "abcd"}
    a, b, c, d = (pfs("/*", repo) for repo in "abcd")
    assert len(datums(Union((a, b, c, d)), **trees)) == 8
    assert len(datums(Union((Cross((a, b)), Cross((c, d)))), **trees)) == 8
    assert len(datums(Cross((Union((a, b)), Union((c, d)))), **trees)) == 16
    assert len(datums(Union(tuple(replace(leaf, name="in") for leaf in (a, b, c, d))), **trees)) == 8


def test_one_branch_twice_under_two_names() -> None:  # case 44
    found = datums(Cross((pfs("/dirA", name="dirA"), pfs("/dirB", name="dirB"))), data=["/dirA/file", "/dirB/file"])
    assert paths(found) == [["/dirA/", "/dirB/"]]


def test_the_order_of_the_children_enters_the_id() -> None:  # cases 47, 48
    trees = {"images": ["/i"], "edges": ["/e"]}
    images, edges = pfs("/", "images"), pfs("/", "edges")
    assert datums(Cross((images, edges)), **trees)[0].id == "2f83ae6f5460c07c2f6210385d16edcd47ab2ece3ba1d4c8e763708d1efaffd5"
    assert datums(Cross((edges, images)), **trees)[0].id != datums(Cross((images, edges)), **trees)[0].id


def test_a_join_of_a_cross_pairs_each_of_its_files_alone() -> None:
    cross = Cross((pfs("/foo1(?)", name="a", join_on="$1"), pfs("/foo(?)1", name="b", join_on="$1")))
    found = datums(Join((cross, pfs("/foo(?)(?)", name="c", join_on="$2"))))
    assert len(found) == 56
    assert set(sizes(found)) == {2}


def test_a_group_of_a_cross_keeps_repetitions_in_the_order_of_its_datums() -> None:
    cross = Cross((pfs("/foo1(?)", name="a", group_by="$1"), pfs("/foo(?)1", name="b", group_by="$1")))
    found = datums(Group((cross,)))
    twos = next(datum for datum in found if datum.id.startswith("571a905e"))
    assert " ".join(file.path[-2:] for file in twos.inputs) == "21 21 21 12 21 12 12 21 21 21 21 21 21 12"


def test_ten_thousand_pairs_do_not_take_a_hundred_million_steps() -> None:
    files = {name: [InputFile(pfs("/*", name), "c", f"/{i}", b"", 0, str(i)) for i in range(10_000)] for name in "xy"}
    found = enumerate_datums(Join((pfs("/*", "x"), pfs("/*", "y"))), lambda source: files[source.name])
    assert len(found) == 10_000


LEAVES = st.builds(
    Pfs,
    repo=st.sampled_from("rs"),
    name=st.sampled_from("xy"),
    glob=st.sampled_from(["/*", "/(?)*", "/a?", "/nope", "/**"]),
    join_on=st.sampled_from(["", "$1", "k"]),
    group_by=st.sampled_from(["", "$1"]),
    outer_join=st.booleans(),
)
TREES = st.fixed_dictionaries({repo: st.sets(st.sampled_from(["/a", "/b", "/a1", "/b1", "/d/a"]), max_size=3) for repo in "rs"})


def composites(inputs: st.SearchStrategy[Input], most: int) -> st.SearchStrategy[Input]:
    children = st.lists(inputs, min_size=1, max_size=most).map(lambda found: tuple(found))
    return st.one_of(*(st.builds(kind, children) for kind in (Cross, Union, Join, Group)))


@settings(deadline=None)  # the machine may be busy
@given(LEAVES | composites(LEAVES | composites(LEAVES, 2), 3), TREES)
def test_nested_inputs_make_the_datums_of_the_definition(expression, trees) -> None:
    files_of = partial(select, {repo: sorted(files) for repo, files in trees.items()})
    found = enumerate_datums(expression, files_of)
    assert [(datum.id, datum.index, list(datum.inputs)) for datum in found] == slow_datums(expression, files_of)
