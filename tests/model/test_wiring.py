"""What the text of a spec says about its place in the graph is what the parsed spec says."""

from __future__ import annotations

import pytest

from local_runner.model.inputs import leaves
from local_runner.model.refs import PipelineRef
from local_runner.model.wiring import wiring_of
from local_runner.specs.effective import effective_spec, spec_json, user_spec
from local_runner.specs.parse import parse_spec

A = {"pfs": {"repo": "a", "glob": "/*"}}
META = {"pfs": {"repo": "a", "repo_type": "meta", "project": "other", "name": "m", "glob": "/"}}
CLOCK = {"cron": {"name": "tick", "spec": "@daily"}}
TRIGGER = {"pfs": {"repo": "b", "glob": "/", "trigger": {"size": "1K"}}}


@pytest.mark.parametrize(
    "more",
    [
        {"input": A},
        {"input": {"cross": [A, {"union": [META, TRIGGER]}, CLOCK]}, "output_branch": "out"},
        {"input": {"join": [{"pfs": {"repo": r, "glob": "/(*)", "joinOn": "$1"}} for r in "xy"]}, "service": {"internal_port": 1}},
        {"spout": {}},
        {"spout": {"service": {"internalPort": 1}}, "input": A},
        {},
    ],
)
def test_the_text_and_the_parsed_spec_agree(more: dict[str, object]) -> None:
    pipeline = PipelineRef("lab", "p")
    document = user_spec({"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, **more}, "lab")
    effective = effective_spec(document, {}, {})
    wiring, spec = wiring_of(spec_json(effective), pipeline), parse_spec(effective, "lab")
    assert wiring.output_branch == spec.output_branch
    assert wiring.is_spout == (spec.spout is not None)
    assert wiring.inputs == {leaf.source.repo for leaf in leaves(spec.input)}
