"""Commands about the whole home, and about specs in general."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from local_runner.specs.fields import rows


def test_fsck_is_content_with_a_sound_home_and_says_what_is_wrong_with_another(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    for flags in ("", "--quick"):
        assert pachctl.ok(f"fsck {flags}").out == "No errors found.\n"
    with sqlite3.connect(Path("home/records.sqlite")) as connection:
        connection.execute("UPDATE object SET content = CAST('3' AS BLOB) WHERE content = CAST('1' AS BLOB)")
    connection.close()
    assert pachctl.ok("fsck --quick").out == "No errors found.\n"
    ended = pachctl("fsck")
    assert ended.status == 1
    assert ended.out.startswith("default/data@")
    assert "not what its name says" in ended.out


def test_all_fields_of_a_spec_are_explained(pachctl):
    shown = pachctl.ok("explain spec --raw").documents
    assert [document["field"] for document in shown] == [path for path, _ in rows()]
    assert {document["here"] for document in shown} == {"honoured", "emulated", "ignored", "refused"}


@pytest.mark.parametrize("name", ["datum_set_spec", "datumSetSpec"])
def test_one_field_is_explained_with_those_inside_it_in_either_spelling(pachctl, name):
    lines = pachctl.ok(f"explain spec {name}").lines
    assert lines[0] == "FIELD TYPE HERE SINCE WHY"
    assert [line.split()[0] for line in lines[1:]] == [
        "datum_set_spec",
        *(f"datum_set_spec.{inner}" for inner in ("number", "size_bytes", "per_worker")),
    ]


def test_a_field_that_no_spec_has_is_bad_usage_with_a_guess(pachctl):
    ended = pachctl("explain spec transform.comand")
    assert ended.status == 2
    assert ended.err.splitlines() == ['a spec has no field "transform.comand"', "hint: did you mean transform.cmd?"]
