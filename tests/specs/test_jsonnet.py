"""Specs from jsonnet templates (case 149 of reference pps 6.6)."""

from __future__ import annotations

import json
import sys

import pytest

from local_runner.errors import Invalid, SpecError, Unavailable
from local_runner.specs.jsonnet import parse_args, render_jsonnet

FUNCTION = 'function(name, src="data") {pipeline: {name: name}, input: {pfs: {repo: src}}}'


LIBRARY = "https://example.org/lib.libsonnet"


def fetch(url: str) -> str:
    if url != LIBRARY:
        raise Unavailable(f"error retrieving content from {url}: HTTP Error 404")
    return "{name(number):: 'p' + number}"


def render(text: str, **args: str):
    pytest.importorskip("_jsonnet")
    return json.loads(render_jsonnet(text, "one.jsonnet", args, fetch))


def test_a_function_is_called_with_its_arguments():
    assert render(FUNCTION, name="p", src="x") == {"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "x"}}}
    assert render(FUNCTION, name="p")["input"] == {"pfs": {"repo": "data"}}
    assert render('function(n="p") {name: n}') == {"name": "p"}


def test_arguments_are_strings():
    assert render("function(n) [std.parseInt(n), n]", n="3") == [3, "3"]


def test_a_plain_value_needs_no_arguments():
    assert render('{pipeline: {name: "p" + 1}}') == {"pipeline": {"name": "p1"}}


@pytest.mark.parametrize(
    ("text", "args", "said"),
    [
        (FUNCTION, {}, "name not bound"),
        (FUNCTION, {"name": "x", "other": "y"}, "no parameter other"),
        ("{a:", {}, "one.jsonnet:1"),
        ('import "http://example.org/x"', {}, "error retrieving content from http://example.org/x: HTTP Error 404"),
        ('importstr "x.libsonnet"', {}, "clusters take imports from"),
    ],
)
def test_a_template_that_does_not_work_is_refused(text, args, said):
    with pytest.raises(SpecError, match=said) as refused:
        render(text, **args)
    assert refused.value.message.startswith("one.jsonnet: template err: ")


def test_a_template_may_import_from_a_url():
    assert render(f"(import '{LIBRARY}').name(1)") == "p1"


def test_a_missing_argument_is_asked_for():
    with pytest.raises(SpecError) as refused:
        render(FUNCTION)
    assert "--arg" in refused.value.hint


def test_without_the_library_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "_jsonnet", None)
    with pytest.raises(Unavailable) as refused:
        render_jsonnet("{}", "x", {}, fetch)
    assert "pip install" in refused.value.hint


def test_arguments_are_given_as_key_and_value():
    assert parse_args(["a=1", "b=x=y", "a=2", "c="]) == {"a": "2", "b": "x=y", "c": ""}
    with pytest.raises(Invalid, match='invalid template argument "name": must have form "key=value"'):
        parse_args(["name"])


def test_a_template_that_does_not_end_is_refused(monkeypatch):
    pytest.importorskip("_jsonnet")
    monkeypatch.setattr("local_runner.specs.jsonnet._LIMITS", (1, 1 << 30))
    for text in ("[x for x in std.range(0, 1e9)]", "local f(n) = f(n + 1) tailstrict; f(0)"):
        with pytest.raises(SpecError, match="template err") as refused:
            render(text)
        assert refused.value.message.startswith("one.jsonnet: ")
