"""What holds for every document the table of fields allows."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_runner.errors import LocalRunnerError
from local_runner.model.pipelines import PipelineInfo, PipelineState
from local_runner.specs.check import faults, normal, to_camel, to_snake
from local_runner.specs.details import details_document
from local_runner.specs.effective import effective_spec, spec_json
from local_runner.specs.fields import ENUMS, MAP, MESSAGES, ONE_OF, REQUEST, Field
from local_runner.specs.inputs import parse_input
from local_runner.specs.parse import parse_spec
from local_runner.specs.read import read_documents

WORDS = st.sampled_from(["", "a", "b", "out", "/*", "$1", "@daily", "{}", "every_job", "é"])
VALUES = {
    "string": WORDS,
    "bool": st.booleans(),
    "int32": st.integers(-3, 3),
    "int64": st.integers(-3, 3) | st.sampled_from(["0", "-1", "9223372036854775807", 2.0, "1e3"]),
    "uint64": st.integers(0, 3) | st.just("18446744073709551615"),
    "float": st.sampled_from([0, 0.5, 1.0, "2.5", "1e3"]),
    "duration": st.sampled_from(["0s", "90s", "1.5s", "-1s"]),
    "timestamp": st.sampled_from(["2024-01-31T12:00:00Z", "2024-01-31T12:00:00.5+01:00"]),
    MAP: st.dictionaries(WORDS, WORDS, max_size=2),
    **{name: st.sampled_from(values) | st.integers(0, 5) for name, values in ENUMS.items()},
}


def values(field: Field, depth: int) -> st.SearchStrategy:
    value = messages(field.element, depth - 1) if field.element in MESSAGES else VALUES[field.element]
    return st.none() | (st.lists(value, max_size=2) if field.is_list else value)


def messages(message: str, depth: int = 4) -> st.SearchStrategy[dict]:
    """Documents of a message, with some of its fields in either spelling."""
    fields = MESSAGES[message] if depth else [field for field in MESSAGES[message] if field.element not in MESSAGES]
    named = [(name, field) for field in fields for name in {field.name, field.json_name}]

    @st.composite
    def draw_message(draw):
        chosen = draw(st.lists(st.sampled_from(named), max_size=3, unique_by=lambda pair: pair[1].name)) if named else []
        one_of = ONE_OF.get(message, ())
        chosen = [pair for pair in chosen if pair[1].name not in one_of[1:]]
        return {name: draw(values(field, depth)) for name, field in chosen}

    return draw_message()


SPECS = messages(REQUEST)
INPUTS = messages("Input")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@QUICK
@given(SPECS)
def test_it_has_no_faults_and_reads_as_it_was_written(spec):
    spec = {**spec, "pipeline": {"name": "p"}}
    assert list(faults(spec)) == []
    assert [document.values for document in read_documents(json.dumps(spec), "spec")] == [spec]


@QUICK
@given(SPECS)
def test_spelling_it_twice_changes_nothing_and_both_spellings_are_the_same_document(spec):
    assert to_camel(to_snake(spec)) == to_camel(spec) == to_camel(to_camel(spec))
    assert normal(to_snake(spec)) == normal(spec) == normal(normal(spec)) == normal(normal(spec, snake=True))
    assert list(faults(normal(spec))) == []


@QUICK
@given(SPECS, INPUTS)
def test_it_is_parsed_and_shown_or_refused(spec, source):
    spec = {**spec, "pipeline": {"name": "p"}, "transform": spec.get("transform") or {}, "input": source or None}
    try:
        effective = effective_spec(spec, {}, {})
        parsed = parse_spec(effective, now=0)
    except LocalRunnerError:
        return
    shown = details_document(PipelineInfo(parsed, 1, "", PipelineState.RUNNING, "", False, "x", 0, 0, "", ""))
    assert json.loads(json.dumps(shown)) == shown
    assert parse_spec(json.loads(spec_json(effective)), now=0) == parsed


@QUICK
@given(INPUTS)
def test_its_input_is_typed_or_refused(source):
    try:
        parse_input(source, "p", "default")
    except LocalRunnerError:
        return
