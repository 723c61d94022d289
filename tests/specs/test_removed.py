"""Fields that Pachyderm no longer has: all are known, and what is said to write instead is taken."""

from __future__ import annotations

import json

import pytest

from local_runner.errors import SpecError
from local_runner.specs.check import faults
from local_runner.specs.effective import merged_spec
from local_runner.specs.fields import BY_KEY, DEFAULTS, MESSAGES, NEWEST, OLDEST, lower_camel
from local_runner.specs.parse import spec_errors
from local_runner.specs.read import read_documents
from local_runner.specs.removed import REMOVED, removed_hint


def release(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_a_removed_field_is_gone_and_says_the_last_version_that_had_it() -> None:
    assert not [name for message, name in REMOVED if name in BY_KEY[message]]
    assert all(release(gone.until) < release(NEWEST) and gone.instead for gone in REMOVED.values())
    assert {gone.until for gone in REMOVED.values() if release(gone.until) > release(OLDEST)} == {"2.7"}


@pytest.mark.parametrize(("message", "name"), sorted(REMOVED), ids=lambda word: word)
def test_what_is_said_to_write_instead_of_a_field_that_is_gone_is_taken(message: str, name: str) -> None:
    gone = REMOVED[message, name]
    for key in (name, lower_camel(name)):
        assert removed_hint(message, key) == f"{name} is a field of Pachyderm up to {gone.until}: {gone.advice}"
    if message == DEFAULTS:
        assert not gone.example or not list(faults(json.loads(gone.example), DEFAULTS))
        return
    example = json.loads(gone.example or "{}")
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["sh"]},
        **(
            {"service": {}}
            if message == "Service"
            else {"spout": {}}
            if message == "Spout"
            else {"input": {"pfs": {"repo": "r", "glob": "/"}}}
        ),
        **example,
    }
    (read,) = read_documents(json.dumps(spec), "spec")
    assert not list(spec_errors(merged_spec({**read.values, "pipeline": {"name": "p", "project": {"name": "default"}}}, {}, {})))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("parallelism_spec: {strategy: CONSTANT, constant: 1}", "strategy is a field of Pachyderm up to 1.4: leave it out"),
        ("egress: {URI: s3://b}", 'did you mean "URL"?'),
        ("egress: {uri: s3://b}", 'did you mean "URL"?'),
        ("input: {atom: {repo: a, glob: /}}", "atom is a field of Pachyderm up to 1.9: use pfs"),
        ("gcPolicy: {}", "gc_policy is a field of Pachyderm up to 1.4"),
        ("datum-tries: 3", 'did you mean "datum_tries"?'),
        ("image: python:3", "image belongs elsewhere: transform.image"),
        ("version: 3", "version is of a pipeline, not of its spec: `list pipeline NAME --spec`"),
        ("userSpecJson: x", "userSpecJson is of a pipeline, not of its spec: `list pipeline NAME --spec`"),
    ],
)
def test_a_field_that_is_not_known_leads_to_the_one_that_is(text: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        list(read_documents(f"pipeline: {{name: p}}\n{text}", "spec"))
    assert caught.value.hint.startswith(hint), caught.value.hint


def test_every_message_of_the_table_is_one_that_there_is() -> None:
    assert {message for message, _ in REMOVED} <= MESSAGES.keys()
