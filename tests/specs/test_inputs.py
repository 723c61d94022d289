"""Defaults, checks and echo of inputs (reference pps 1.1-1.3; cases 45-48 of 6.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import SpecError
from local_runner.model.inputs import Cron, Cross, Group, Join, Pfs, Union, leaves
from local_runner.model.repos import Trigger
from local_runner.specs.inputs import input_document, input_errors, parse_input


def pfs(repo="data", glob="/*", **fields):
    return {"pfs": {"repo": repo, "glob": glob, **fields}}


def check(document):
    """As a pipeline takes it: the first error counts."""
    for error in input_errors(document, "p", "default"):
        raise error
    return parse_input(document, "p", "default")


def names(node):
    return [leaf.name for leaf in leaves(node)]


def test_a_pfs_input_reads_master_of_the_pipelines_project_under_the_repos_name():
    assert parse_input({"pfs": {"repo": "data", "glob": "*/"}}, "p", "lab") == Pfs("data", "data", "/*", project="lab")


@pytest.mark.parametrize(("glob", "cleaned"), [("*", "/*"), ("/*/", "/*"), ("/a//b", "/a/b"), ("/a/../b", "/b"), ("**", "/**"), (".", "/")])
def test_globs_are_cleaned_like_paths(glob, cleaned):
    assert check(pfs(glob=glob)).glob == cleaned


def test_every_field_of_a_pfs_input_is_kept():
    fields = {
        "project": "lab",
        "name": "in",
        "branch": "dev",
        "joinOn": "$1",
        "outer_join": True,
        "group_by": "$2",
        "lazy": True,
        "empty_files": True,
        "reference": True,
    }
    node = check(pfs(**fields, propagation_spec={"never": True}, trigger={"branch": "b", "size": "1K", "all": True}))
    assert node == Pfs(
        "data",
        "in",
        "/*",
        project="lab",
        branch="dev",
        join_on="$1",
        outer_join=True,
        group_by="$2",
        lazy=True,
        empty_files=True,
        reference=True,
        trigger=Trigger("b", all=True, size="1K"),
        never_propagates=True,
    )


def test_an_input_with_a_trigger_gets_a_branch_of_its_own_counted_for_each_repo():
    triggered = {"trigger": {"commits": "2"}}
    node = check({"cross": [pfs(name="a", **triggered), pfs("other", name="b", **triggered), pfs(name="c", **triggered)]})
    assert [leaf.branch for leaf in leaves(node)] == ["p-trigger-1", "p-trigger-1", "p-trigger-2"]
    assert {leaf.trigger for leaf in leaves(node)} == {Trigger("master", commits=2)}


def test_a_trigger_on_a_named_branch_must_name_what_it_watches_itself():
    assert check(pfs(branch="mine", trigger={"commits": 1})).trigger == Trigger("", commits=1)


def test_a_cron_input_gets_a_repo_and_a_start():
    node = parse_input({"cron": {"name": "tick", "spec": "@daily"}}, "p", "lab", start="2024-01-31T12:00:00Z")
    assert node == Cron("tick", "p_tick", "@daily", project="lab", start="2024-01-31T12:00:00Z")


def test_the_start_of_a_cron_input_is_kept_in_utc():
    node = parse_input({"cron": {"name": "t", "spec": "@daily", "start": "2024-01-31T12:00:00+01:00"}}, "p", "lab", start="x")
    assert node.start == "2024-01-31T11:00:00Z"


@pytest.mark.parametrize(
    ("children", "order"),
    [
        ([pfs("images"), pfs("edges")], ["images", "edges"]),
        ([pfs("images", name="b"), pfs("edges", name="a")], ["a", "b"]),
        ([pfs("images", name="a"), pfs("edges")], ["edges", "a"]),
        ([pfs("images", name="a"), {"cron": {"name": "Z", "spec": "@daily"}}], ["Z", "a"]),
        ([{"union": [pfs("x", name="d"), pfs("y", name="b")]}, pfs("z", name="c")], ["b", "d", "c"]),
    ],
)
def test_children_are_sorted_by_explicit_name_before_names_are_defaulted(children, order):
    assert names(check({"cross": children})) == order


@pytest.mark.parametrize(("kind", "type_"), [("cross", Cross), ("union", Union), ("join", Join), ("group", Group)])
def test_combined_inputs_nest(kind, type_):
    assert check({kind: [pfs("a"), {kind: [pfs("b")]}]}) == type_((Pfs("a", "a", "/*"), type_((Pfs("b", "b", "/*"),))))


def test_children_of_a_union_may_share_a_name():
    node = {"union": [pfs("a", name="in"), {"cross": [pfs("b", name="in"), pfs("c")]}]}
    assert sorted(names(check(node))) == ["c", "in", "in"]


NO_S3 = "as 's3' requires input data to be accessed via Pachyderm's S3 gateway rather than the file system"
ONLY_ROOT = (
    "inputs that set 's3' to 'true' must also set 'glob', to \"/\", as the S3 gateway is only able to expose data at the commit level"
)
REFUSED = [
    ({}, "no input set", "input"),
    ({"cross": []}, "no input set", "input"),
    ({"cross": [pfs(), {}]}, "no input set", "input.cross[1]"),
    ({"pfs": {}}, "input must specify a name", "input"),
    ({"pfs": {"glob": "/*"}}, "input must specify a name", "input"),
    ({"cron": {"spec": "@daily"}}, "input must specify a name", "input"),
    ({"pfs": {"name": "x", "glob": "/*"}}, "input must specify a repo", "input.pfs.repo"),
    (
        {"pfs": {"repo": "x", "glob": "/*", "branch": "x@master"}},
        "name (x@master) invalid: only alphanumeric characters, underscores, and dashes are allowed",
        "input.pfs.branch",
    ),
    ({"pfs": {"repo": "data"}}, "input must specify a glob", "input.pfs.glob"),
    (pfs("out"), "input cannot be named out", "input"),
    (pfs(name="out"), "input cannot be named out", "input"),
    (pfs(name=".env"), "input cannot be named .env", "input"),
    (pfs(commit="x"), "input cannot come from a commit; use a branch with head pointing to the commit", "input.pfs.commit"),
    ({**pfs(), "cron": {"name": "c", "spec": "@daily"}}, "multiple input types set", "input"),
    ({**pfs(), "cross": [pfs("foo")]}, "multiple input types set", "input"),
    ({"cross": [pfs("a")], "join": [pfs("b")]}, "multiple input types set", "input"),
    ({"cross": [pfs("a")], "union": [pfs("b")]}, "input must specify a name", "input"),
    ({"join": [{}], "union": [{"pfs": {}}]}, "input must specify a name", "input"),
    ({"cross": [pfs("foo"), pfs("foo")]}, 'name "foo" was used more than once', "input.cross[1]"),
    ({"join": [pfs("foo"), pfs("bar", name="foo")]}, 'name "foo" was used more than once', "input.join[1]"),
    ({"group": [pfs("foo"), {"cross": [pfs("foo")]}]}, 'name "foo" was used more than once', "input.group[1].cross[0]"),
    (
        {"cross": [{"union": [pfs("a", name="x"), pfs("b", name="x")]}, pfs("c", name="x")]},
        'name "x" was used more than once',
        "input.cross[1]",
    ),
    (pfs(s3=True), ONLY_ROOT, "input.pfs.glob"),
    (pfs(glob="/", s3=True, lazy=True), f"input cannot specify both 's3' and 'lazy', {NO_S3}", "input.pfs.lazy"),
    (pfs(glob="/", s3=True, empty_files=True), f"input cannot specify both 's3' and 'empty_files', {NO_S3}", "input.pfs.empty_files"),
    ({"union": [pfs(glob="/", s3=True), pfs("b")]}, "S3 inputs in union expressions are not supported", "input"),
    ({"join": [{"cross": [pfs(glob="/", s3=True)]}]}, "S3 inputs in join expressions are not supported", "input"),
    ({"group": [pfs(glob="/", s3=True)]}, "S3 inputs in group expressions are not supported", "input"),
    ({"cron": {"name": "c"}}, "error parsing cron-spec: Empty spec string", "input.cron.spec"),
    (
        {"cross": [pfs(name="z"), {"cron": {"name": "c", "spec": "every day"}}]},
        "error parsing cron-spec: Expected exactly 5 fields, found 2: every day",
        "input.cross[1].cron.spec",
    ),
]


@pytest.mark.parametrize(("document", "message", "field"), REFUSED)
def test_an_input_is_refused_in_the_clusters_words_where_it_stands_in_the_spec(document, message, field):
    with pytest.raises(SpecError) as refused:
        check(document)
    assert (refused.value.message, refused.value.field) == (message, field)


def test_names_are_checked_before_nodes():
    with pytest.raises(SpecError, match="used more than once"):
        check({"cross": [{"pfs": {"repo": "a"}}, {"pfs": {"repo": "a"}}]})


def test_listing_datums_takes_an_input_that_a_pipeline_may_not_have():
    node = parse_input({"group": [{"pfs": {"repo": "a"}}, {"pfs": {"repo": "a"}}]}, "", "default")
    assert node == Group((Pfs("a", "a", "/"), Pfs("a", "a", "/")))
    with pytest.raises(SpecError, match="no input set"):
        parse_input({"cross": [{}]}, "", "default")


def test_an_input_is_shown_with_its_defaults_and_without_what_is_unset():
    assert input_document(check({"cross": [pfs(), pfs("b", name="a", joinOn="$1", trigger={"commits": 2})]})) == {
        "cross": [
            {"pfs": {"project": "default", "name": "data", "repo": "data", "repo_type": "user", "branch": "master", "glob": "/*"}},
            {
                "pfs": {
                    "project": "default",
                    "name": "a",
                    "repo": "b",
                    "repo_type": "user",
                    "branch": "p-trigger-1",
                    "glob": "/*",
                    "join_on": "$1",
                    "trigger": {"branch": "master", "commits": "2"},
                }
            },
        ]
    }


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
LEAVES = st.fixed_dictionaries(
    {"repo": NAMES, "glob": st.sampled_from(["/", "/*", "a/"])},
    optional={
        "name": NAMES,
        "branch": NAMES,
        "lazy": st.booleans(),
        "reference": st.booleans(),
        "trigger": st.fixed_dictionaries({}, optional={"branch": NAMES, "commits": st.integers(1, 3)}),
        "propagation_spec": st.fixed_dictionaries({"never": st.booleans()}),
    },
).map(lambda fields: {"pfs": fields}) | st.fixed_dictionaries({"name": NAMES, "spec": st.just("@daily")}).map(
    lambda fields: {"cron": fields}
)
INPUTS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from(["cross", "union", "join", "group"]), st.lists(inner, min_size=1, max_size=3)).map(
        lambda pair: {pair[0]: pair[1]}
    ),
    max_leaves=6,
)


@given(INPUTS)
def test_a_shown_input_reads_as_itself_once_its_names_are_explicit(document):
    once = parse_input(input_document(parse_input(document, "p", "lab")), "p", "lab")
    assert parse_input(input_document(once), "p", "lab") == once


@given(INPUTS)
def test_sorting_keeps_every_leaf(document):
    def count(node):
        value = next(iter(node.values()))
        return sum(map(count, value)) if isinstance(value, list) else 1

    assert len(list(leaves(parse_input(document, "p", "lab")))) == count(document)


def test_all_that_is_wrong_is_found_and_the_cluster_says_the_first():
    wrong = {"cross": [pfs(name="out"), pfs(repo=""), {"cron": {"name": "out", "spec": "nope"}}, {}]}
    assert [(error.field, error.message.split(":")[0]) for error in input_errors(wrong, "p", "default")] == [
        ("input.cross[1]", "input must specify a name"),
        ("input.cross[2]", "input cannot be named out"),
        ("input.cross[0]", "input cannot be named out"),
        ("input.cross[1].pfs.repo", "input must specify a repo"),
        ("input.cross[2].cron.spec", "error parsing cron-spec"),
        ("input.cross[3]", "no input set"),
    ]
