"""How spec text is read (reference pps 5.3; cases 139-148 of 6.6)."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import LocalRunnerError, SpecError
from local_runner.specs.fields import BY_KEY
from local_runner.specs.read import read_defaults, read_documents

NAMED = '"pipeline": {"name": "p"}'


def read(text: str) -> list[dict]:
    return [document.values for document in read_documents(text, "spec")]


def refusal(text: str) -> SpecError:
    with pytest.raises(SpecError) as refused:
        read(text)
    return refused.value


def named(*lines: str) -> str:
    return "\n".join(["pipeline: {name: p}", *lines])


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n"])
def test_empty_text_holds_no_specs(text):
    assert read(text) == []


def test_json_and_yaml_documents_may_follow_each_other():
    text = '---\npipeline:\n  name: a\n...\n---\n{"pipeline": {"name": "b"}}\n'
    assert [spec["pipeline"]["name"] for spec in read(text)] == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["- {pipeline: {name: a}}\n- {pipeline: {name: b}}", '[{"pipeline": {"name": "a"}}, {"pipeline": {"name": "b"}}]']
)
def test_a_list_holds_a_spec_in_each_item(text):
    assert [spec["pipeline"]["name"] for spec in read(text)] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        '{"pipeline": {"name": "a"}}\n{"pipeline": {"name": "b"}}',
        '[{"pipeline": {"name": "a"}}, {"pipeline": {"nam": "b"}}]',
        "pipeline: {name: a}\n---\n---\npipeline: {name: b}",
        "pipeline: {name: a}\n---\n- &x\n  pipeline: {name: *x}",
    ],
)
def test_specs_before_an_error_are_given_first(text):
    found = []
    with pytest.raises(SpecError, match=r"^spec:"):
        found.extend(document.values["pipeline"]["name"] for document in read_documents(text, "spec"))
    assert found == ["a"]


def test_names_keep_their_spelling_and_schemas_vanish_at_any_depth():
    text = json.dumps({"$schema": "x", "pipeline": {"name": "p", "$schema": "y"}, "datum_tries": 4, "jobTimeout": "90s"})
    expected = {"pipeline": {"name": "p"}, "datum_tries": 4, "jobTimeout": "90s"}
    assert read(text) == read(f"---\n{text}") == [expected]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("datum_tries: 3", 3),
        ("datum_tries: 3.0", 3),
        ("datum_tries: 1e2", 100),
        ('datum_tries: "3"', "3"),
        ("datum_tries: null", None),
        ("datum_tries: ~", None),
        ("datum_tries:", None),
        ("autoscaling: True", True),
        ("description: yes", "yes"),
        ("description: 08:30", "08:30"),
        ("description: 2024-13-01", "2024-13-01"),
        ("description: !!str 5", "5"),
        ("description: |-\n  a\n  b", "a\nb"),
        ("salt: 0xyz", "0xyz"),
        ("parallelism_spec: {constant: 18446744073709551615}", {"constant": 2**64 - 1}),
        ("resource_requests: {cpu: .5}", {"cpu": 0.5}),
        ("datum_timeout: 1.5s", "1.5s"),
        ("egress: {URL: x}", {"URL": "x"}),
        ("tolerations: [{operator: EXISTS}, {operator: 2}]", [{"operator": "EXISTS"}, {"operator": 2}]),
        ("datum_set_spec: {sizeBytes: '100'}", {"sizeBytes": "100"}),
        ("input: {cron: {name: c, spec: '@never', start: '2024-01-31T12:00:00Z'}}", None),
    ],
)
def test_values_are_read_as_json_has_them(line, value):
    spec = read(named(line))[0]
    key = next(key for key in spec if key != "pipeline")
    assert value is None or spec[key] == value
    assert [spec] == read(json.dumps(spec))


@pytest.mark.parametrize(
    ("line", "front", "column"),
    [
        ("datum_tries: 01", "could not convert YAML to JSON object: integer value", 14),
        ("datum_tries: 08", "could not convert YAML to JSON object: number", 14),
        ("datum_tries: 0x10", "could not convert YAML to JSON object: integer value", 14),
        ("datum_tries: 1_000", "could not convert YAML to JSON object: integer value", 14),
        ("datum_tries: +1", "could not convert YAML to JSON object: integer value", 14),
        ("datum_tries: 1.", "could not convert YAML to JSON object: number", 14),
        ("resource_requests: {cpu: .inf}", "could not convert YAML to JSON object: number", 26),
        ("description: 2024-01-01", 'could not convert YAML to JSON object: tag "!!timestamp" unsupported', 14),
        ("description: !mine x", 'could not convert YAML to JSON object: tag "!mine" unsupported', 14),
        ("1: x", "could not convert YAML to JSON object: mapping keys must be strings", 1),
        ("<<: {}", 'could not convert YAML to JSON object: tag "!!merge" unsupported', 1),
        ("[a]: x", "could not convert YAML to JSON object: mapping keys must be strings", 1),
        (
            "autoscaling: yes",
            'could not unmarshal pipeline spec as CreatePipelineRequest: autoscaling: invalid value for bool type: "yes"',
            1,
        ),
        ('autoscaling: "true"', "could not unmarshal pipeline spec as CreatePipelineRequest: autoscaling: invalid value for bool type", 1),
        ("description: 5", "could not unmarshal pipeline spec as CreatePipelineRequest: description: invalid value for string type", 1),
        ("datum_tries: four", "could not unmarshal pipeline spec as CreatePipelineRequest: datum_tries: invalid value for int64 type", 1),
        ("datum_tries: 2.5", "could not unmarshal pipeline spec as CreatePipelineRequest: datum_tries: invalid value for int64 type", 1),
        (
            "datum_tries: 9223372036854775808",
            "could not unmarshal pipeline spec as CreatePipelineRequest: datum_tries: invalid value for int64",
            1,
        ),
        (
            "parallelism_spec: {constant: -1}",
            "could not unmarshal pipeline spec as CreatePipelineRequest: parallelism_spec.constant: invalid",
            20,
        ),
        (
            "transform: {cmd: /bin/bash}",
            "could not unmarshal pipeline spec as CreatePipelineRequest: transform.cmd: syntax error: unexpected value",
            13,
        ),
        ("transform: {cmd: [sh, 1]}", "could not unmarshal pipeline spec as CreatePipelineRequest: transform.cmd[1]: invalid value", 23),
        (
            "transform: {env: {A: 1}}",
            "could not unmarshal pipeline spec as CreatePipelineRequest: transform.env.A: invalid value for string",
            19,
        ),
        ("input: []", "could not unmarshal pipeline spec as CreatePipelineRequest: input: syntax error: unexpected value []", 1),
        (
            "input: {cross: [null]}",
            "could not unmarshal pipeline spec as CreatePipelineRequest: input.cross[0]: syntax error: unexpected value null",
            17,
        ),
        (
            "datumTries: 1\ndatum_tries: 2",
            'could not unmarshal pipeline spec as CreatePipelineRequest: datum_tries: duplicate field "datum_tries"',
            1,
        ),
        (
            "tolerations: [{operator: MAYBE}]",
            "could not unmarshal pipeline spec as CreatePipelineRequest: tolerations[0].operator: invalid value",
            16,
        ),
        (
            'salt: "\\ud800"',
            "could not unmarshal pipeline spec as CreatePipelineRequest: salt: invalid value for string type",
            1,
        ),
        (
            "egress: {object_storage: {}, sql_database: {}}",
            "could not unmarshal pipeline spec as CreatePipelineRequest: egress.sql_database",
            30,
        ),
    ],
)
def test_what_does_not_fit_is_refused_where_it_stands(line, front, column):
    error = refusal(named(line))
    row = 2 + line.count("\n")
    assert error.message.startswith(f"spec:{row}:{column}: {front}"), error.message


@pytest.mark.parametrize(
    ("text", "front"),
    [
        ('{"pipeline":{"name":"b2"', "spec:1:25: malformed pipeline spec: expected ',' or '}'"),
        ("pipeline: {name: p}\nx: [|-\n  a]", "spec:2:5: malformed pipeline spec: "),
        ("null", "spec:1:1: malformed pipeline spec: expected a mapping or a list of mappings"),
        ('"text"', "spec:1:1: malformed pipeline spec: expected a mapping or a list of mappings"),
        ("[]", "spec:1:1: malformed pipeline spec: expected a mapping or a list of mappings; got an empty list"),
        ("--- []", "spec:1:5: malformed pipeline spec: expected a mapping or a list of mappings; got an empty list"),
        ("[1]", "spec:1:2: could not unmarshal pipeline spec as CreatePipelineRequest: syntax error: unexpected value 1"),
        ("{" + NAMED + ', "datum_tries": -0}', "spec:1:44: could not convert YAML to JSON object: integer value"),
        ("pipeline: {name: p}\nsalt: *x\nx: &x 1", "spec:2:7: could not convert YAML to JSON object: alias nodes not supported"),
        ("{}", "spec:1:1: no `pipeline` specified"),
        ("pipeline: null", "spec:1:1: no `pipeline` specified"),
        ("pipeline: {}", "spec:1:1: no pipeline `name` specified"),
        ('pipeline: {project: {name: x}, name: ""}', "spec:1:32: no pipeline `name` specified"),
        ("[" * 100_000, "spec:1:101: malformed pipeline spec: it is nested too deeply, more than 100 times"),
        ("a: \0", "spec: malformed pipeline spec: unacceptable character"),
    ],
)
def test_what_is_no_spec_is_refused(text, front):
    assert refusal(text).message.startswith(front)


def test_a_repeated_key_counts_the_last_time():
    assert read(named("salt: a", "salt: b"))[0]["salt"] == "b"
    assert read("{" + NAMED + ', "salt": "a", "salt": "b"}')[0]["salt"] == "b"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("transfrom: {}", 'did you mean "transform"?'),
        ("datumTrys: 3", 'did you mean "datum_tries"?'),
        ("input: {pfs: {repos: x}}", 'did you mean "repo"?'),
        ("input: {pfs: {colour: red}}", "the fields here are project, name, repo, "),
        ("zzz: 1", "`local_runner explain spec` lists all fields"),
        ("enable_stats: true", "enable_stats is a field of Pachyderm up to 1.13: leave it out, statistics are always kept"),
        ("chunkSpec: {}", 'chunk_spec is a field of Pachyderm up to 1.13: use datum_set_spec, as in "datum_set_spec": {'),
        ("parallelism_spec: {coefficient: 1}", "coefficient is a field of Pachyderm up to 1.13: use constant, as in "),
        ("input: {git: {url: x}}", "git is a field of Pachyderm up to 1.13: put the files into a repo"),
        ("datum_timeout: 10m", 'write "600s"'),
        ("job_timeout: 5", 'write "5s"'),
        ("description: 5", 'put it in quotes: "5"'),
        ("transform: {cmd: ls}", 'write ["ls"]'),
    ],
)
def test_a_refusal_says_what_to_write_instead(line, hint):
    assert refusal(named(line)).hint.startswith(hint)


def test_a_pipeline_given_by_its_name_alone_is_refused_with_the_long_form():
    error = refusal('{"pipeline": "p"}')
    assert (error.field, error.hint) == ("pipeline", 'write {"name": "p"}')


def test_a_later_error_finds_its_line_in_either_spelling():
    document = next(read_documents("pipeline: {name: p}\nreprocessSpec: never\ninput:\n  cross:\n  - pfs: {}\n  - pfs: {}\n", "spec"))
    assert document.locate(SpecError("bad", field="reprocess_spec")).message == "spec:2:1: bad"
    assert document.locate(SpecError("bad", field="input.cross[1].pfs.glob")).message == "spec:6:5: bad"
    assert document.locate(SpecError("bad", where="other:1")).message == "other:1: bad"


def test_defaults_are_one_document_of_their_own_form():
    assert read_defaults('{"create_pipeline_request": {"datum_tries": 17}}', "d") == {"create_pipeline_request": {"datum_tries": 17}}
    with pytest.raises(SpecError, match=r'd:1:30: invalid defaults: create_pipeline_request\.nope: unknown field "nope"'):
        read_defaults('{"create_pipeline_request": {"nope": 5}}', "d")
    with pytest.raises(SpecError, match="expected a single document; got 0"):
        read_defaults("", "d")


def test_json_is_read_without_the_yaml_parser():
    code = "import sys; from local_runner.specs.read import *; list(read_documents(sys.argv[1], 's')); print('ruamel.yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "{" + NAMED + "}"], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
KEYS = st.sampled_from(sorted({key for fields in BY_KEY.values() for key in fields})) | st.text(max_size=3)
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


def survives(text: str) -> None:
    """Reads the text; a refusal must be one for people, which a terminal can show."""
    try:
        read(text)
    except LocalRunnerError as error:
        error.message.encode()


@given(DOCUMENTS.map(json.dumps))
def test_any_json_is_read_or_refused(text):
    survives(text)


@given(st.text(alphabet=st.sampled_from("pipeline: {}[]-,\n\t\"'&*!|>%@#?\\xu0~<.1é\x85\ufeff"), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    survives(text)
    survives("pipeline: {name: p}\n" + text)


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\té中😀"), max_size=20)


@given(st.dictionaries(st.sampled_from(["salt", "description"]), PRINTABLE, max_size=2))
def test_json_reads_the_same_as_yaml(extra):
    text = json.dumps({"pipeline": {"name": "p"}, **extra}, ensure_ascii=False)
    assert read(text) == read(f"--- {text}")


@settings(deadline=None)
@given(st.sampled_from(["[", "{", "- ", "? ", '{"a":', "[a, ", "{a: ", "[ [", "- ["]), st.integers(101, 50_000))
def test_a_text_nested_deeply_is_refused_where_it_begins_to_be(opening, times):
    began = time.process_time()
    error = refusal(opening * times)
    assert "it is nested too deeply, more than 100 times" in error.message
    assert int(error.message.split(":")[2]) <= len(opening) * 101 + 1  # the column
    assert time.process_time() - began < 20  # 2,000 brackets took ten, and four times that for twice as many


def test_a_hundred_levels_are_not_too_deep():
    text = "[" * 99 + "]" * 99
    assert "nested too deeply" not in refusal(f'{{"pipeline": {text}}}').message
    assert "nested too deeply" not in refusal(f"pipeline: {text}").message


def test_a_bomb_of_aliases_does_not_go_off():
    bomb = "\n".join([f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(50)])
    assert "alias nodes not supported" in refusal(f"a0: &a0 x\n{bomb}").message
