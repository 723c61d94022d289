"""The table of fields holds together."""

from __future__ import annotations

import pytest

from local_runner.specs.check import normal, to_camel, to_snake
from local_runner.specs.fields import (
    BY_KEY,
    EMULATED,
    ENUMS,
    HONOURED,
    IGNORED,
    MAP,
    MESSAGES,
    NEWEST,
    OLDEST,
    ONE_OF,
    REFUSED,
    REQUEST,
    rows,
)

SCALARS = {"string", "bool", "int32", "int64", "uint64", "float", "duration", "timestamp", MAP}


def test_every_type_is_known():
    assert {field.element for fields in MESSAGES.values() for field in fields} <= SCALARS | MESSAGES.keys() | ENUMS.keys()


def test_no_two_fields_of_a_message_share_a_spelling():
    for message, fields in MESSAGES.items():
        spellings = [key for field in fields for key in {field.name, field.json_name}]
        assert len(spellings) == len(set(spellings)), message


def test_every_field_says_what_becomes_of_it():
    assert {field.treatment for _, field in rows()} <= {HONOURED, EMULATED, IGNORED, REFUSED}
    assert all(field.why for _, field in rows() if field.treatment == REFUSED)


def test_alternatives_exist():
    assert all(name in BY_KEY[message] for message, names in ONE_OF.items() for name in names)


def test_the_rows_name_nested_fields_once():
    paths = [path for path, _ in rows()]
    assert len(paths) == len(set(paths))
    assert {"transform.cmd", "input.cross", "input.pfs.trigger.size", "resource_requests.gpu.number", "egress.URL"} <= set(paths)
    assert "input.cross.pfs" not in paths


@pytest.mark.parametrize(
    ("snake", "camel"),
    [("datum_tries", "datumTries"), ("s3_out", "s3Out"), ("pipeline", "pipeline"), ("maximum_expected_uptime", "maximumExpectedUptime")],
)
def test_both_spellings_name_one_field(snake, camel):
    assert BY_KEY[REQUEST][snake] is BY_KEY[REQUEST][camel]
    assert to_camel({snake: None}) == to_camel({camel: None}) == {camel: None}
    assert to_snake({snake: None}) == to_snake({camel: None}) == {snake: None}


def test_spelling_reaches_into_lists_of_messages_but_not_into_maps():
    snake = {"input": {"cross": [{"pfs": {"join_on": "$1"}}]}, "transform": {"env": {"a_b": "c"}}}
    camel = {"input": {"cross": [{"pfs": {"joinOn": "$1"}}]}, "transform": {"env": {"a_b": "c"}}}
    assert (to_camel(snake), to_snake(camel)) == (camel, snake)


def test_the_normal_form_has_the_order_of_the_table():
    assert list(normal({"salt": "x", "pipeline": {}, "datum_tries": 1})) == ["pipeline", "salt", "datumTries"]


def release(version):
    return [int(part) for part in version.split(".")]


def test_every_field_says_since_when_pachyderm_has_it():
    assert {field.since for _, field in rows()} == {"1.13", "2.0", "2.2", "2.4", "2.5", "2.6", "2.6.6", "2.7", "2.9", "2.12"}
    assert all(release(OLDEST) <= release(field.since) <= release(NEWEST) for fields in MESSAGES.values() for field in fields)
