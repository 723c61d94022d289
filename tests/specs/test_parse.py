"""From effective spec to typed spec and back to what `inspect pipeline` shows (reference pps 5.1, 5.2; cases 147-152 of 6.6)."""

from __future__ import annotations

import pytest

from local_runner.errors import SpecError, Unsupported
from local_runner.model.inputs import Cron, Pfs
from local_runner.model.pipelines import SERVICE, SPOUT, DatumSets, PipelineInfo, PipelineState, Secret, Transform
from local_runner.model.refs import PipelineRef
from local_runner.specs.details import details_document
from local_runner.specs.effective import effective_spec
from local_runner.specs.parse import parse_spec

INPUT = {"pfs": {"repo": "data", "glob": "/*"}}
BAD_NAME = "invalid: only alphanumeric characters, underscores, and dashes are allowed"
SPEC = {"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}, "input": INPUT}


def parse(**fields):
    return parse_spec(effective_spec({**SPEC, **fields}, {}, {}), now=1_700_000_000)


def refusal(**fields):
    with pytest.raises(SpecError) as refused:
        parse(**fields)
    return refused.value


def test_a_small_spec_means_what_the_defaults_say():
    spec = parse()
    assert spec.pipeline == PipelineRef("default", "p")
    assert spec.input == Pfs("data", "data", "/*")
    assert spec.transform == Transform("ubuntu:20.04", ("true",))
    assert (spec.output_branch, spec.parallelism, spec.datum_tries, spec.datum_sets) == ("master", 1, 3, None)
    assert (spec.datum_timeout, spec.job_timeout, spec.reprocess_every_job, spec.salt) == (None, None, False, "")


def test_every_field_arrives_typed():
    spec = parse(
        pipeline={"name": "p", "project": {"name": "lab"}},
        description="copies",
        transform={
            "image": "python:3",
            "cmd": ["sh"],
            "stdin": ["a", ""],
            "err_cmd": ["e"],
            "err_stdin": ["f"],
            "env": {"A": "1"},
            "secrets": [{"name": "s", "mount_path": "/s"}, {"name": "t", "key": "k", "env_var": "T"}],
            "accept_return_code": [1, "2"],
            "user": "u",
            "working_dir": "/w",
            "datum_batching": True,
        },
        parallelism_spec={"constant": "4"},
        datum_set_spec={"number": 2, "size_bytes": "5"},
        datum_tries="7",
        datum_timeout="90s",
        job_timeout="1.5s",
        output_branch="out",
        reprocess_spec="every_job",
        salt="s",
        egress={"URL": "s3://x"},
    )
    assert spec.pipeline == PipelineRef("lab", "p")
    assert spec.input == Pfs("data", "data", "/*", project="lab")
    assert spec.transform == Transform(
        image="python:3",
        cmd=("sh",),
        stdin=("a", ""),
        err_cmd=("e",),
        err_stdin=("f",),
        env={"A": "1"},
        secrets=(Secret("s", mount_path="/s"), Secret("t", "k", env_var="T")),
        accept_return_code=frozenset({1, 2}),
        user="u",
        working_dir="/w",
        datum_batching=True,
    )
    assert (spec.description, spec.output_branch, spec.salt, spec.egress) == ("copies", "out", "s", {"URL": "s3://x"})
    assert (spec.parallelism, spec.datum_tries, spec.datum_sets) == (4, 7, DatumSets(2, 5))
    assert (spec.datum_timeout, spec.job_timeout, spec.reprocess_every_job) == (90.0, 1.5, True)


@pytest.mark.parametrize(("given", "tries"), [(None, 3), (0, 3), (-1, -1), ("1", 1)])
def test_no_tries_are_three_tries(given, tries):
    assert parse(datum_tries=given).datum_tries == tries


@pytest.mark.parametrize("constant", [None, 0, "0"])
def test_no_parallelism_is_one_worker(constant):
    assert parse(parallelism_spec={"constant": constant}).parallelism == 1


def test_empty_datum_sets_are_not_absent_ones():
    assert parse(datum_set_spec={}).datum_sets == DatumSets()


def test_an_empty_image_is_the_default_image():
    assert parse(transform={"image": "", "cmd": ["true"]}).transform.image == "ubuntu:20.04"


def test_a_pipeline_may_have_neither_input_nor_command():
    spec = parse(input=None, transform={})
    assert (spec.input, spec.transform.cmd) == (None, ())


def test_cron_inputs_start_now():
    cron = parse(input={"cron": {"name": "tick", "spec": "@daily"}}).input
    assert cron == Cron("tick", "p_tick", "@daily", start="2023-11-14T22:13:20Z")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("default/p", f"invalid pipeline name: name (default/p) {BAD_NAME}"),
        ("a b", f"invalid pipeline name: name (a b) {BAD_NAME}"),
        ("a.b", 'invalid ancestry syntax "a.b", cannot mix . and b characters'),
        ("a^~", 'invalid ancestry syntax "a^~", cannot mix ^ and ~ characters'),
        ("a.1", f"invalid pipeline name: name (a.1) {BAD_NAME}"),
        ("a^^", f"invalid pipeline name: name (a^^) {BAD_NAME}"),
        ("-p", "pipeline names must start with an alphanumeric character"),
        ("_p", "pipeline names must start with an alphanumeric character"),
        ("x" * 58, f'pipeline name "{"x" * 58}" is 7 characters longer than the 51 max'),
        ("é", f"invalid pipeline name: name (é) {BAD_NAME}"),
        ("a\n", f"invalid pipeline name: name (a\n) {BAD_NAME}"),
    ],
)
def test_names_of_pipelines_that_are_refused(name, message):
    error = refusal(pipeline={"name": name})
    assert (error.message, error.field) == (message, "pipeline.name")


def test_the_name_on_kubernetes_counts_the_project():
    assert parse(pipeline={"name": "x" * 51}).pipeline.name == "x" * 51
    error = refusal(pipeline={"name": "X_" * 25, "project": {"name": "laboratory"}})
    assert error.message == f'Kubernetes name "laboratory-{"x-" * 25}-v99" is 2 characters longer than the 63 max'


@pytest.mark.parametrize(
    ("fields", "message", "field"),
    [
        ({"transform": None}, "pipeline must specify a transform", "transform"),
        ({"s3_out": True, "service": {}}, "s3 output is not supported in spouts or services", "s3_out"),
        ({"s3_out": True, "spout": {}}, "s3 output is not supported in spouts or services", "s3_out"),
        (
            {"spout": {}, "autoscaling": True, "input": None},
            "autoscaling can't be used with spouts (spouts aren't triggered externally)",
            "autoscaling",
        ),
        ({"spout": {}}, "spout pipelines (without a service) must not have an input", "input"),
        ({"input": {}}, "no input set", "input"),
        (
            {"service": {}, "parallelism_spec": {"constant": 2}},
            "services can only be run with a constant parallelism of 1",
            "parallelism_spec.constant",
        ),
        ({"service": {}, "parallelism_spec": {}}, "services can only be run with a constant parallelism of 1", "parallelism_spec.constant"),
        ({"egress": {"sql_database": {}}}, "egress to a SQL database needs a secret with name and key", "egress.sql_database.secret"),
        (
            {"egress": {"sql_database": {"secret": {"name": "x"}}}},
            "egress to a SQL database needs a secret with name and key",
            "egress.sql_database.secret",
        ),
        (
            {"transform": {"secrets": [{"name": "x", "env_var": "X"}]}},
            "secret x has env_var set but is missing key",
            "transform.secrets",
        ),
        (
            {"output_branch": "not.valid"},
            f"could not create/update output branch: name (not.valid) {BAD_NAME}",
            "output_branch",
        ),
    ],
)
def test_specs_that_are_refused(fields, message, field):
    error = refusal(**fields)
    assert (error.message, error.field) == (message, field)


def test_of_several_errors_the_clusters_first_is_told():
    fields = {"output_branch": "a.b", "input": {}, "spout": {}}
    for name, value, message in [
        ("pipeline", {"name": "-p"}, "must start with an alphanumeric"),
        ("s3_out", True, "s3 output is not supported"),
        ("pipeline", {"name": "a b"}, "invalid pipeline name"),
        ("transform", {"secrets": [{"env_var": "X"}]}, "missing key"),
        ("reprocess_spec", "never", "ReprocessSpec"),
    ]:
        fields[name] = value
        assert message in refusal(**fields).message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spec_commit": {"id": "x"}}, "spec_commit restores a pipeline from a backup of a cluster, which is not supported"),
    ],
)
def test_what_a_cluster_could_do_and_this_runner_cannot_is_named(fields, message):
    with pytest.raises(Unsupported) as refused:
        parse(**fields)
    assert refused.value.message == message


def test_services_and_spouts_know_what_they_are():
    service = parse(service={"internal_port": 80})
    assert (service.kind, service.service) == (SERVICE, {"internal_port": 80, "type": "NodePort"})
    spout = parse(spout={"service": {"type": "ClusterIP"}})
    assert (spout.kind, spout.spout) == (SPOUT, {"service": {"type": "ClusterIP"}})
    assert parse(spout={}, input=None).spout == {}


def details(spec, state=PipelineState.RUNNING):
    return details_document(PipelineInfo(spec, 1, "", state, "", False, "pepper", 1_700_000_000.5, 0, "", ""))


def test_details_show_the_spec_as_it_works():
    assert details(parse(pipeline={"name": "p", "project": {"name": "lab"}}, salt="mine")) == {
        "transform": {"image": "ubuntu:20.04", "cmd": ["true"]},
        "created_at": "2023-11-14T22:13:20.500Z",
        "workers_requested": "1",
        "workers_available": "1",
        "output_branch": "master",
        "input": {"pfs": {"project": "lab", "name": "data", "repo": "data", "repo_type": "user", "branch": "master", "glob": "/*"}},
        "salt": "pepper",
        "datum_tries": "3",
        "reprocess_spec": "until_success",
    }


def test_details_echo_what_has_no_effect_here():
    spec = parse(
        resource_requests={"cpu": 0.1, "memory": "64M", "gpu": {"number": 1}},
        pod_patch="[]",
        metadata={"labels": {"a_b": "c"}},
        tolerations=[{"operator": 1, "tolerationSeconds": 0}],
        autoscaling=False,
        parallelism_spec={"constant": 2},
        datum_set_spec={"sizeBytes": 5},
        maximum_expected_uptime="60s",
        job_timeout="1.5s",
    )
    shown = details(spec, PipelineState.STARTING)
    assert shown["resource_requests"] == {"cpu": 0.1, "memory": "64M", "gpu": {"number": "1"}}
    assert (shown["pod_patch"], shown["metadata"]) == ("[]", {"labels": {"a_b": "c"}})
    assert shown["tolerations"] == [{"operator": "EXISTS", "toleration_seconds": "0"}]
    assert (shown["parallelism_spec"], shown["workers_requested"]) == ({"constant": "2"}, "2")
    assert (shown["datum_set_spec"], shown["job_timeout"]) == ({"size_bytes": "5"}, "1.500s")
    assert shown["maximum_expected_uptime"] == "60s"
    assert not {"autoscaling", "workers_available", "update"} & shown.keys()
