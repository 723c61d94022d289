"""Names that a cluster takes and Kubernetes refuses are refused with the spec, by field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import SpecError
from local_runner.specs.check import normal
from local_runner.specs.kubernetes import is_variable, name_errors
from local_runner.specs.parse import parse_new_spec, parse_spec

EVIL = ("$(touch x)", "`touch x`", "a b", "a\nb", "a'b", 'a"b', "a;b", "a\0b", "é", "../x")


def fields(**transform: Any) -> list[str]:
    request = {"pipeline": {"name": "p"}, "transform": {"cmd": ["true"], **transform}}
    return [error.field for error in name_errors(normal(request, snake=True))]


@pytest.mark.parametrize("name", [*EVIL, "", "1a", "a/b", "=", ".", "..", "..a", "a=b", "-\n"])
def test_what_can_be_no_variable_is_refused(name) -> None:
    assert fields(env={name: "x"}) == ["transform.env"]
    assert fields(secrets=[{"name": "s", "key": "k", "env_var": name}]) == (["transform.secrets[0].env_var"] if name else [])


@pytest.mark.parametrize("name", ["A", "a.b", "_x", "-x", "x-1", "a" * 500, "...".strip(".") + ".a"])
def test_what_kubernetes_takes_as_a_variable_is_taken(name) -> None:
    assert fields(env={name: "any\nvalue $(x)"}) == []


@given(st.text(max_size=8))
def test_a_name_that_is_taken_has_nothing_a_shell_looks_at(name) -> None:
    if is_variable(name):
        assert not set(name) & set(" \t\n\r\0$`'\"\\;&|<>()*?[]{}=~#!/")


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        (
            "image",
            ["-v", "a b", "--privileged", "a$(x)", "x\n", " python"],
            ["python:3.12", "localhost:5000/a/b@sha256:" + "0" * 64, "Mine"],
        ),
        ("user", ["-u", "a b", "root\n", "a:b:c", "$x"], ["nobody", "1000", "1000:1000", "www-data", "machine$"]),
        ("working_dir", ["/a\0b", "/a\nb"], ["/app", "app", "/a b/é", "/pfs"]),
    ],
)
def test_what_starts_a_container_is_checked(field, wrong, right) -> None:
    for text in wrong:
        assert fields(**{field: text}) == [f"transform.{field}"], text
    for text in right:
        assert fields(**{field: text}) == [], text


@pytest.mark.parametrize("place", ["/", "//", ".", "/pfs", "/pfs/", "/pfs/in", "/../x", "a/../../x", "/a:b", "/a\nb", "//pfs", "/./pfs"])
def test_a_secret_is_mounted_nowhere_else_than_beside_what_is_there(place) -> None:
    assert fields(secrets=[{"name": "s", "mount_path": place}]) == ["transform.secrets[0].mount_path"]


@pytest.mark.parametrize("place", ["/secrets", "/a/b.c", "relative", "/pfsx", "/..a"])
def test_any_other_place_is_taken(place) -> None:
    assert fields(secrets=[{"name": "s.t-1", "mount_path": place}]) == []


@pytest.mark.parametrize("name", ["", "A", "-a", "a_b", "../x", "a/b", "a" * 300, "a..b"])
def test_a_secret_has_the_name_of_one(name) -> None:
    assert fields(secrets=[{"name": name, "mount_path": "/s"}]) == ["transform.secrets[0].name"]


def test_arguments_hold_no_null_character() -> None:
    assert fields(cmd=["a", "b\0"]) == ["transform.cmd[1]"]
    assert fields(err_cmd=["\0"], stdin=["\0"], env={"A": "\0"}) == ["transform.env", "transform.err_cmd[0]"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../etc", "a\nb", "a\0", "a=b", "x" * 300])
@pytest.mark.parametrize("kind", ["pfs", "cron"])
def test_an_input_is_called_what_a_folder_can_be(name, kind) -> None:
    leaf = {"pfs": {"repo": "data", "name": name, "glob": "/"}} if kind == "pfs" else {"cron": {"name": name, "spec": "@daily"}}
    spec = {"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}, "input": {"cross": [leaf, {"pfs": {"repo": "data", "glob": "/"}}]}}
    with pytest.raises(SpecError) as raised:
        parse_new_spec(spec)
    assert raised.value.field == f"input.cross[0].{kind}.name"
    assert raised.value.hint
    parse_spec(spec)  # of an older home
