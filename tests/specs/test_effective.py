"""Defaults, merging and what is said about a spec alone (reference pps 5.4; cases 148, 150, 151)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import SpecError
from local_runner.specs.effective import (
    BUILT_IN_CLUSTER_DEFAULTS,
    check_defaults,
    dry_run_document,
    effective_spec,
    image_warnings,
    merge_patch,
    spec_json,
    user_spec,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def without_nulls(value):
    """What is left of a value once it went through a merger: objects lose their nulls, lists keep theirs."""
    return {key: without_nulls(item) for key, item in value.items() if item is not None} if isinstance(value, dict) else value


@given(JSON, JSON)
def test_anything_but_an_object_replaces(target, patch):
    merged = merge_patch(target, patch)
    assert merged == (patch if not isinstance(patch, dict) else merged)
    assert isinstance(merged, dict) == isinstance(patch, dict)


@given(JSON)
def test_merging_nothing_changes_nothing(target):
    assert merge_patch(target, {}) == (target if isinstance(target, dict) else {})


@given(JSON, OBJECTS)
def test_merging_twice_is_merging_once(target, patch):
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(OBJECTS)
def test_a_patch_of_nothing_stays_without_its_nulls(patch):
    assert merge_patch({}, patch) == without_nulls(patch)


@given(OBJECTS, OBJECTS)
def test_merging_leaves_its_arguments_alone(target, patch):
    before = json.dumps([target, patch])
    merge_patch(target, patch)
    assert json.dumps([target, patch]) == before


SPEC = {"pipeline": {"name": "p", "project": {"name": "default"}}, "transform": {"cmd": ["true"]}}


def defaults(**fields):
    return {"create_pipeline_request": fields}


def test_a_bare_spec_gets_the_built_in_values_and_those_of_a_new_cluster():
    resources = {"cpu": 1, "disk": "1Gi", "memory": "256Mi"}
    assert effective_spec(SPEC, BUILT_IN_CLUSTER_DEFAULTS, {}) == {
        "pipeline": {"name": "p", "project": {"name": "default"}},
        "transform": {"cmd": ["true"], "image": "ubuntu:20.04"},
        "outputBranch": "master",
        "datumTries": "3",
        "reprocessSpec": "until_success",
        "resourceRequests": resources,
        "sidecarResourceRequests": resources,
    }


@pytest.mark.parametrize(
    ("cluster", "project", "user", "tries"),
    [
        ({}, {}, {}, "3"),
        (defaults(datum_tries=17), {}, {}, 17),
        (defaults(datum_tries=17), {}, {"datumTries": 4}, 4),
        (defaults(datumTries=17), defaults(datum_tries=5), {}, 5),
        (defaults(datum_tries=17), {}, {"datum_tries": None}, None),
        (defaults(datum_tries=None), {}, {}, None),
        (defaults(datum_tries=17), {}, {"datum_tries": 0}, 0),
    ],
)
def test_the_spec_wins_over_the_project_over_the_cluster_in_any_spelling(cluster, project, user, tries):
    assert effective_spec({**SPEC, **user}, cluster, project).get("datumTries") == tries


def test_lists_are_replaced_and_objects_are_merged():
    cluster = defaults(transform={"image": "alpine:3", "cmd": ["sh", "-c", "x"], "env": {"A": "1", "B": "1"}})
    merged = effective_spec({**SPEC, "transform": {"cmd": ["true"], "env": {"A": "2"}}}, cluster, {})
    assert merged["transform"] == {"image": "alpine:3", "cmd": ["true"], "env": {"A": "2", "B": "1"}}


def test_names_of_variables_and_labels_are_no_fields():
    spec = {**SPEC, "transform": {"env": {"my_name": "x"}}, "metadata": {"labels": {"a_b": "c"}}}
    merged = effective_spec(spec, {}, {})
    assert merged["transform"]["env"] == {"my_name": "x"}
    assert merged["metadata"] == {"labels": {"a_b": "c"}}


def test_numbers_of_enums_become_names():
    merged = effective_spec({**SPEC, "tolerations": [{"operator": 1, "effect": "NO_EXECUTE"}]}, {}, {})
    assert merged["tolerations"] == [{"operator": "EXISTS", "effect": "NO_EXECUTE"}]


def test_a_dry_run_shows_numbers_as_protobuf_does_and_no_zero_values():
    spec = {**SPEC, "datum_tries": 4, "autoscaling": False, "resource_requests": {"cpu": 0}, "datum_timeout": "1.5s", "salt": "0"}
    shown = dry_run_document(effective_spec(spec, {}, {}))
    assert shown["datumTries"] == "4"
    assert shown["datumTimeout"] == "1.500s"
    assert shown["resourceRequests"] == {}
    assert shown["salt"] == "0"
    assert "autoscaling" not in shown


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tolerations": None}, "tolerations"),
        ({"transform": {"cmd": ["true"], "env": None}}, "transform.env"),
        ({"input": {"cross": [{"pfs": {"repo": "a", "glob": "/"}, "union": None}]}}, "input.cross[0].union"),
    ],
)
def test_a_list_or_map_that_is_null_is_refused_when_defaults_are_merged(fields, field):
    with pytest.raises(SpecError) as caught:
        effective_spec({**SPEC, **fields}, {}, {})
    assert caught.value.field == field


def test_any_other_null_takes_a_default_away():
    assert effective_spec({**SPEC, "datum_tries": None, "egress": None}, {}, {}).keys() & {"datumTries", "egress"} == set()


@pytest.mark.parametrize("pipeline", [{"name": "p"}, {"name": "p", "project": None}, {"name": "p", "project": {"name": ""}}])
def test_a_spec_without_project_gets_the_current_one(pipeline):
    assert user_spec({"pipeline": pipeline}, "lab") == {"pipeline": {"name": "p", "project": {"name": "lab"}}}


def test_a_spec_with_a_project_keeps_it():
    assert user_spec(SPEC, "lab") == SPEC


def test_specs_are_stored_with_sorted_keys():
    assert spec_json({"b": {"d": 1, "c": "é"}, "a": None}) == '{"a":null,"b":{"c":"é","d":1}}'


@pytest.mark.parametrize(
    ("fields", "message", "field"),
    [
        ({"tf_job": {"tf_job": "x"}}, "embedding TFJobs in pipelines is not supported yet", "tf_job"),
        (
            {"reprocess_spec": "never"},
            'invalid pipeline spec: ReprocessSpec must be one of "until_success" or "every_job"',
            "reprocess_spec",
        ),
        (
            {"tolerations": [{"operator": "EQUAL"}, {"key": "x"}]},
            "toleration 2/2: the operator must be EQUAL or EXISTS",
            "tolerations[1].operator",
        ),
        ({"podSpec": "no json"}, "malformed PodSpec", "pod_spec"),
        ({"pod_patch": "[{]"}, "malformed PodPatch", "pod_patch"),
        ({"service": {"type": "Other"}}, "the following service type Other is not allowed", "service.type"),
    ],
)
def test_what_is_wrong_with_a_spec_alone_is_said_when_it_is_merged(fields, message, field):
    with pytest.raises(SpecError) as refused:
        effective_spec({**SPEC, **fields}, {}, {})
    assert refused.value.message == f"could not make effective spec: invalid effective spec: {message}"
    assert refused.value.field == field


def test_defaults_are_checked_like_specs():
    assert check_defaults(defaults(datum_tries=17)) == {"createPipelineRequest": {"datumTries": 17}}
    assert check_defaults({}) == {}
    with pytest.raises(SpecError, match=r'invalid defaults: create_pipeline_request\.nope: unknown field "nope"'):
        check_defaults(defaults(nope=5))
    with pytest.raises(SpecError, match="ReprocessSpec must be one of"):
        check_defaults(defaults(reprocess_spec="never"))


@pytest.mark.parametrize(
    ("image", "front"),
    [
        ("ubuntu", "WARNING: please specify a tag for the docker image"),
        ("ubuntu:latest", "WARNING: please do not specify the ':latest' tag"),
        ("ubuntu:22.04", None),
        ("", None),
    ],
)
def test_an_image_without_a_fixed_tag_gets_a_warning(image, front):
    warnings = image_warnings({**SPEC, "transform": {"image": image}})
    assert [warning.startswith(front) for warning in warnings] == ([True] if front else [])


def test_a_spec_without_transform_gets_no_warning():
    assert image_warnings({"pipeline": {"name": "p"}, "transform": None}) == []
