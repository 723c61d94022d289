"""What to change in a text that is no YAML: the hint of the error, followed, lets the rest be read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import SpecError
from local_runner.specs.mending import TEMPLATE_HINT, Place, mending_hint
from local_runner.specs.nodes import documents
from local_runner.specs.read import read_documents


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        list(read_documents(text, "spec"))
    return caught.value


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('{"pipeline": {"name": "a"}}\n{"pipeline": {"name": "b"}}\n', "put a line --- between two specs"),
        ('{"pipeline": {"name": "a"}} {"pipeline": {"name": "b"}}', "put a line --- between two specs"),
        ("pipeline: {name: a}\ninput:\n  cron:\n    name: t\n    spec: @every 5m\n", 'put it in quotes: spec: "@every 5m"'),
        ("pipeline: {name: a}\ndescription: counts: all\n", 'put it in quotes: description: "counts: all"'),
        ("pipeline: {name: a}\ntransform:\n  cmd:\n  - `date`\n", 'put it in quotes: - "`date`"'),
        ("pipeline: {name: a}\ninput:\n\tpfs: {repo: r}\n", "indent with blanks, not with tabs"),
        ('{"pipeline": {"name": "a"} "salt": "x"}', "put a comma before it"),
        ('{"pipeline": {"name": "a"}', "put } at the end"),
        ('{\n  "pipeline": {"name": "a"}\n  "salt": "x"\n}', "put a comma before it"),
        ("pipeline:\n  name: a\ntransform:\n  cmd: [ sh -c ]\n  stdin: [ 'a' 'b' ]\n", "put a comma before it"),
        ('{\n  "pipeline": {"name": "a"}, // why\n  "salt": "x"\n}', "take out // why: comments begin with #"),
        ('{"pipeline": {"name": "a"}}}', "take out this }"),
        ('{"pipeline": {"name": "a"}},\n{"pipeline": {"name": "b"}}', "put a line --- between two specs, in place of the comma"),
        ("pipeline:\n  name: a\n transform: {}\n", "begin it below one of the lines above"),
        ("pipeline:\n  name: a\ntransform:\n  cmd: [sh]\n   stdin: [x]\n", "begin it below one of the lines above"),
        ("pipeline: {name: a}\ninput:\n  pfs:\n    glob: *\n", 'put it in quotes: glob: "*"'),
        ('pipeline: {name: a}\ninput:\n  pfs:\n    glob: "/\\d*"\n', "put it in quotes: glob: '/\\d*'"),
        ("pipeline: {name: a}\ndescription: 'it's'\n", 'put it in quotes: description: "it\'s"'),
        ('pipeline: {name: a}\ntransform:\n  cmd: ["sh"\n', "put ] at the end"),
        ("pipeline: {name: a}\ntransform:\n  image: {{ .Values.image }}\n", TEMPLATE_HINT),
        ("pipeline: {name: a}\n{% if x %}\nsalt: x\n{% endif %}\n", TEMPLATE_HINT),
        ("pipeline: {name: ${NAME}}\n", "put the value in place of ${NAME}"),
        ("pipeline:\n<<<<<<< HEAD\n  name: a\n=======\n  name: b\n>>>>>>> x\n", "take out what a merge left"),
        ("function(x)\n{pipeline: {name: x}}\n", "this is a jsonnet template: give it with --jsonnet FILE"),
        ("local n = 'a';\n{pipeline: {name: n}}\n", "this is a jsonnet template: give it with --jsonnet FILE"),
        ('pipeline: {name: a}\ntransform:\n  cmd: [sh, -c, "echo \\d"]\n', 'write \\\\d in place of \\d between "'),
        ("pipeline: {name: a}\ninput:\n  pfs:\n    glob: *.csv\n", 'put it in quotes, as in "*.csv"'),
    ],
)
def test_a_text_that_breaks_is_mended_as_the_hint_says(text: str, hint: str) -> None:
    error = refusal(text)
    assert error.hint.startswith(hint), error
    assert not any(internal in error.message for internal in ("('", "SpecNode", "Token", "<"))


@pytest.mark.parametrize("text", ["\r0", "0\r", "a: b\r\nc: d: e\r\n", "a: 1\rb: c: d\r", "\u20280: {"])
def test_lines_are_counted_as_the_parser_does(text: str) -> None:
    assert "index" not in refusal(text).message


def test_what_a_merge_left_on_top_is_told_too() -> None:
    assert refusal("<<<<<<< HEAD\npipeline: {name: a}\n=======\n").hint.startswith("take out what a merge left")


TEXTS = st.text(alphabet=st.sampled_from("ab: {}[]-,\n\t\"'&*!|>%@#?0"), max_size=40)


@given(TEXTS)
def test_any_text_gets_a_hint_or_none_and_no_words_of_the_parser(text: str) -> None:
    said = ""
    try:
        list(documents(text, "spec"))
    except SpecError as error:
        said = error.message
    assert "('" not in said


def test_a_comma_is_not_said_where_a_quote_within_a_text_would_be_cut() -> None:
    assert refusal('{"pipeline": {"name": "a"}, "transform": {"stdin": ["echo "hi""]}}').hint == ""


def test_what_would_not_help_is_not_said() -> None:
    assert mending_hint("a: @b", Place(0, 3), lambda text: Place(0, 0)) == ""


@pytest.mark.parametrize("opening", ["- ", "[", "{a: ", "? "])
def test_a_text_that_breaks_before_it_is_nested_deeply_is_answered_soon(opening: str) -> None:
    began = time.process_time()
    assert refusal(f"a: b: c\nx:\n  {opening * 4000}").hint in ("", 'put it in quotes: a: "b: c"')
    assert time.process_time() - began < 10
