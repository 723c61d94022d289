"""What a hint says to write in place of a value that does not fit is taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.specs.check import Fault, faults
from local_runner.specs.fields import MESSAGES, Field
from local_runner.specs.meant import name_hint

FIELDS = [(message, field) for message, fields in MESSAGES.items() for field in fields]
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["a b", "a | b", "yes", "off", "1,000", "500m", "10MB", "1Gi", "10m", "2024-01-31", "A=1", "exists", "'", "", "\ud800", "1e400"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
KEYS = st.sampled_from(["name", "value", "key", "constant", "number"]) | st.text(max_size=3)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


def put(value: object, path: tuple[str | int, ...], new: object) -> object:
    """The value with another at the end of a path."""
    if not path:
        return new
    head, *rest = path
    assert isinstance(value, (dict, list))
    inner = value[head]  # type: ignore[index, call-overload]
    changed = put(inner, tuple(rest), new)
    if isinstance(value, dict):
        return {**value, head: changed}
    return [changed if at == head else item for at, item in enumerate(value)]


@given(st.sampled_from(FIELDS), VALUES)
def test_what_is_said_to_write_instead_of_a_value_is_taken(place: tuple[str, Field], value: object) -> None:
    message, field = place
    document: object = {field.name: value}
    found = list(faults(document, message))
    for fault in found:
        if fault.has_example:
            assert fault.hint.endswith(f" {json.dumps(fault.example, ensure_ascii=False)}")
            mended = put(document, fault.path, fault.example)
            assert not [other for other in faults(mended, message) if other.path[: len(fault.path)] == fault.path]


@given(st.sampled_from(sorted(MESSAGES)), st.text(max_size=12), st.sets(st.sampled_from(["name", "repo", "URL"])))
def test_a_name_that_is_said_to_be_meant_is_one_of_the_message_and_not_there_yet(message: str, key: str, present: set[str]) -> None:
    hint = name_hint(message, key, present)
    if hint.startswith("did you mean"):
        name = hint.split('"')[1]
        assert name in {field.name for field in MESSAGES[message]} - present


def fault(spec: object) -> Fault:
    (only,) = faults(spec)
    return only


@pytest.mark.parametrize(
    ("spec", "example"),
    [
        ({"transform": {"cmd": "python3 /x.py --n 3"}}, ["python3", "/x.py", "--n", "3"]),
        ({"transform": {"cmd": "cat /pfs/in/* > /pfs/out/a"}}, ["sh", "-c", "cat /pfs/in/* > /pfs/out/a"]),
        ({"transform": {"cmd": "it's"}}, None),
        ({"transform": {"stdin": "cd /x"}}, ["cd /x"]),
        ({"transform": {"env": [{"name": "A", "value": 1}, {"name": "B", "value": "b"}]}}, {"A": "1", "B": "b"}),
        ({"transform": {"env": ["A=1"]}}, {"A": "1"}),
        ({"transform": {"env": {"A": 1}}}, "1"),
        ({"input": {"pfs": {"repo": {"name": "in"}}}}, "in"),
        ({"pipeline": "edges"}, {"name": "edges"}),
        ({"parallelism_spec": "4"}, {"constant": "4"}),
        ({"resource_limits": {"cpu": "500m"}}, 0.5),
        ({"resource_limits": {"gpu": 1}}, {"type": "nvidia.com/gpu", "number": 1}),
        ({"resource_limits": {"memory": 1000000}}, "1000000"),
        ({"datum_set_spec": {"size_bytes": "10MB"}}, 10_000_000),
        ({"datum_timeout": "1h"}, "3600s"),
        ({"datum_timeout": "soon"}, "90s"),
        ({"datum_timeout": "2 days"}, "172800s"),
        ({"job_timeout": "1.5 hours"}, "5400s"),
        ({"transform": {"stdin": [{"echo total": "3"}]}}, "echo total: 3"),
        ({"autoscaling": "yes"}, True),
        ({"egress": "s3://bucket"}, {"URL": "s3://bucket"}),
        ({"pod_patch": [{"op": "add"}]}, '[{"op": "add"}]'),
        ({"tolerations": [{"operator": "exists"}]}, "EXISTS"),
    ],
)
def test_the_likeliest_value_is_said(spec: object, example: object) -> None:
    found = fault(spec)
    if example is None:
        assert found.example == ["sh", "-c", "it's"]
    else:
        assert found.example == example
        assert found.hint in (f"write {json.dumps(example)}", f"put it in quotes: {json.dumps(example)}")
