"""Cases 139 to 153 of reference pps 6.6: how the commands read specs, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ended, Pachctl
from tests.reference.datums import pfs

COPY = {"transform": {"image": "copy:1", "cmd": ["copy"]}, "input": pfs("/*", name="in")}


def spec(name: str = "p", **fields: Any) -> str:
    return json.dumps({"pipeline": {"name": name}, **COPY, **fields})


def yaml(*lines: str) -> str:
    """A spec of a pipeline with no more than these lines."""
    return "\n".join(["pipeline: {name: p}", "input: {pfs: {repo: data, glob: /}}", *lines])


def created(pachctl: Pachctl) -> list[str]:
    """The pipelines there are, oldest first."""
    return [found["pipeline"]["name"] for found in reversed(pachctl.ok("list pipeline --raw").documents)]


def refused(pachctl: Pachctl, text: str) -> Ended:
    """A spec that must make no pipeline."""
    ended = pachctl("create pipeline", stdin=text)
    assert ended.status != 0
    assert created(pachctl) == []
    return ended


@pytest.fixture
def data(pachctl: Pachctl) -> Pachctl:
    """With a repo `data` of one file."""
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="good\n")
    return pachctl


# -- documents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{spec('one')}\n---\n{spec('two')}\n", id="case_139-documents"),
        pytest.param(f"[{spec('one')}, {spec('two')}]", id="case_139-list"),
    ],
)
def test_a_text_may_hold_several_specs(data: Pachctl, text: str) -> None:
    data.ok("create pipeline", stdin=text)
    assert created(data) == ["one", "two"]


def test_case_140_empty_text_makes_nothing(data: Pachctl) -> None:
    ended = data.ok("create pipeline", stdin="")
    assert (created(data), ended.out, ended.err) == ([], "", "")


def test_case_141_a_field_that_does_not_exist_is_an_error_with_its_name(data: Pachctl) -> None:
    assert "not_aField" in refused(data, spec(not_aField=1)).err


def test_case_142_a_number_may_be_written_as_text(data: Pachctl) -> None:
    data.ok("create pipeline", stdin=spec(parallelism_spec={"constant": "1"}))
    assert data.ok("inspect pipeline p --raw").document["parallelism"] == "1"


def test_case_143_a_number_does_not_begin_with_zero(data: Pachctl) -> None:
    assert "standard input:3:14: could not convert YAML to JSON object" in refused(data, yaml("datum_tries: 01")).err


def test_case_144_a_command_is_a_list(data: Pachctl) -> None:
    ended = refused(data, yaml("transform: {cmd: /bin/bash}"))
    assert "syntax error" in ended.err
    assert "transform.cmd" in ended.err


def test_case_145_a_quoted_time_is_text_and_an_unquoted_one_is_not(pachctl: Pachctl) -> None:
    clock = "pipeline: {name: p}\ntransform: {cmd: [copy]}\ninput: {cron: {name: tick, spec: '@never', start: TIME}}"
    assert "!!timestamp" in refused(pachctl, clock.replace("TIME", "2024-01-31T12:00:00Z")).err
    pachctl.ok("create pipeline", stdin=clock.replace("TIME", '"2024-01-31T12:00:00Z"'))
    cron = pachctl.ok("inspect pipeline p --raw").document["details"]["input"]["cron"]
    assert cron["start"] == "2024-01-31T12:00:00Z"


def test_case_146_a_schema_is_passed_over(data: Pachctl) -> None:
    data.ok("create pipeline", stdin=spec(**{"$schema": "https://example.org/schema.json"}))
    user_spec = json.loads(data.ok("inspect pipeline p --raw").document["user_spec_json"])
    assert user_spec["pipeline"]["name"] == "p"
    assert "$schema" not in user_spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(json.dumps(COPY), "no `pipeline` specified", id="case_147-pipeline"),
        pytest.param(json.dumps({**COPY, "pipeline": {}}), "no pipeline `name` specified", id="case_147-name"),
    ],
)
def test_a_spec_names_its_pipeline(data: Pachctl, text: str, said: str) -> None:
    assert said in refused(data, text).err


@pytest.mark.parametrize(
    ("image", "warning"),
    [
        pytest.param("ubuntu", "WARNING: please specify a tag", id="case_148-none"),
        pytest.param("ubuntu:latest", "WARNING: please do not specify the ':latest' tag", id="case_148-latest"),
        pytest.param("ubuntu:20.04", "", id="case_148-tag"),
    ],
)
def test_an_image_without_a_lasting_tag_is_warned_of(data: Pachctl, image: str, warning: str) -> None:
    ended = data.ok("create pipeline", stdin=spec(transform={"image": image, "cmd": ["copy"]}))
    assert ended.err.startswith(warning)
    assert bool(ended.err) == bool(warning)
    assert created(data) == ["p"]


@pytest.mark.parametrize(
    ("template", "names"),
    [
        pytest.param("make(name + suffix)", ["p1"], id="case_149-object"),
        pytest.param("[make(name + n) for n in ['1', '2', suffix]]", ["p1", "p2", "p3"], id="case_149-array"),
    ],
)
def test_a_template_makes_one_spec_or_several(data: Pachctl, template: str, names: list[str]) -> None:
    pytest.importorskip("_jsonnet")
    make = f"local make(name) = {spec()} + {{pipeline: {{name: name}}}};"
    Path("p.jsonnet").write_text(f"function(name, suffix) {make} {template}")
    data.ok(f"create pipeline --jsonnet p.jsonnet --arg name=p --arg suffix={names[-1][1:]}")
    assert created(data) == names


# -- what stands behind a spec -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "own", "effective"),
    [
        pytest.param(17, {"datumTries": 4}, 4, id="case_150-own"),
        pytest.param(17, {}, 17, id="case_150-default"),
        pytest.param(None, {}, None, id="case_150-null"),
    ],
)
def test_a_spec_wins_over_the_defaults_and_they_over_what_is_built_in(
    data: Pachctl, default: int | None, own: dict[str, Any], effective: int | None
) -> None:
    data.ok("create defaults --cluster", stdin=json.dumps({"createPipelineRequest": {"datumTries": default}}))
    data.ok("create pipeline", stdin=spec(**own))
    found = json.loads(data.ok("inspect pipeline p --raw").document["effective_spec_json"])
    assert found.get("datumTries") == effective


def test_case_151_a_pipeline_needs_a_transform(data: Pachctl) -> None:
    assert "must specify a transform" in refused(data, spec(transform=None)).err


@pytest.mark.parametrize("empty", [pytest.param({}, id="case_152-empty"), pytest.param({"cross": []}, id="case_152-cross")])
def test_an_input_that_says_nothing_is_refused(data: Pachctl, empty: dict[str, Any]) -> None:
    assert "no input set" in refused(data, spec(input=empty)).err


def test_case_153_a_dry_run_answers_with_the_effective_spec_and_makes_nothing(data: Pachctl) -> None:
    found = data.ok("create pipeline --dry-run --raw", stdin=spec(datum_tries=5)).document
    assert (found["datumTries"], found["outputBranch"], found["reprocessSpec"]) == ("5", "master", "until_success")
    assert found["transform"] == COPY["transform"]
    assert created(data) == []
    assert [repo["repo"]["name"] for repo in data.ok("list repo --raw").documents] == ["data"]
