"""An effective spec in typed form, after every check that needs no store (reference pps 5.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from local_runner.errors import Invalid, LocalRunnerError, SpecError, Unsupported
from local_runner.model.inputs import Input
from local_runner.model.names import DEFAULT_PROJECT, check_name
from local_runner.model.pipelines import DatumSets, PipelineSpec, Secret, Transform
from local_runner.model.refs import PipelineRef
from local_runner.model.units import parse_proto_duration, rfc3339
from local_runner.specs.check import Document, normal
from local_runner.specs.effective import DEFAULT_IMAGE, SERVICE_TYPES, tries
from local_runner.specs.inputs import input_errors, parse_input
from local_runner.specs.kubernetes import name_errors

_NAME_LENGTH = 51
_KUBERNETES_LENGTH = 63  # of "<project>-<pipeline>-v99"; such a pipeline could never move to a cluster

Request = dict[str, Any]


def parse_spec(effective: Document, default_project: str = DEFAULT_PROJECT, *, now: float | None = None) -> PipelineSpec:
    """The typed form of what `effective_spec` made. Raises `SpecError` in the cluster's order and words, and `Unsupported`.

    `now`, in seconds since the epoch, becomes the start of cron inputs that name none; without it they have none.
    """
    request = normal(effective, snake=True)
    for error in _errors(request, default_project):
        raise error
    pipeline = _pipeline(request, default_project)
    service, spout = _with_type(request.get("service")), request.get("spout")
    if spout and "service" in spout:
        spout = {**spout, "service": _with_type(spout["service"])}
    return PipelineSpec(
        pipeline=pipeline,
        transform=_transform(request["transform"]),
        input=_input(request, pipeline, "" if now is None else rfc3339(now)),
        document=effective,
        description=request.get("description", ""),
        output_branch=request.get("output_branch", "master"),
        parallelism=max(1, int(request.get("parallelism_spec", {}).get("constant", 1))),
        datum_sets=_datum_sets(request.get("datum_set_spec")),
        datum_tries=tries(effective),
        datum_timeout=_seconds(request.get("datum_timeout")),
        job_timeout=_seconds(request.get("job_timeout")),
        reprocess_every_job=request.get("reprocess_spec") == "every_job",
        salt=request.get("salt", ""),
        s3_out=request.get("s3_out", False),
        egress=request.get("egress"),
        service=service,
        spout=spout,
    )


def parse_new_spec(effective: Document, default_project: str = DEFAULT_PROJECT, *, now: float | None = None) -> PipelineSpec:
    """As `parse_spec`, for a spec that is about to be used for the first time: names that only Kubernetes refuses are errors, too."""
    for error in spec_errors(effective, default_project):
        raise error
    return parse_spec(effective, default_project, now=now)


def spec_errors(effective: Document, default_project: str = DEFAULT_PROJECT) -> Iterator[LocalRunnerError]:
    """Everything for which a pipeline is refused that `merged_spec` made: first what `parse_spec` raises, in the cluster's order.

    Names that only Kubernetes refuses are looked at when a pipeline is made, not when it is read: older homes may have them.
    """
    request = normal(effective, snake=True)
    yield from _errors(request, default_project)
    yield from name_errors(request)


def _errors(request: Request, default_project: str) -> Iterator[LocalRunnerError]:
    if "pipeline" not in request:
        yield SpecError("request.Pipeline cannot be nil", field="pipeline", hint='add pipeline: {name: "…"}')
        return
    # A secret that cannot be mounted is an error even before the name, as on a cluster.
    for secret in request.get("transform", {}).get("secrets", ()):
        if "env_var" in secret and "key" not in secret:
            yield SpecError(f"secret {secret.get('name', '')} has env_var set but is missing key", field="transform.secrets")
    pipeline, spout = _pipeline(request, default_project), request.get("spout")
    yield from _name_errors(pipeline)
    if request.get("s3_out") and ("service" in request or spout is not None):
        yield SpecError("s3 output is not supported in spouts or services", field="s3_out")
    if "transform" not in request:
        yield SpecError("pipeline must specify a transform", field="transform")
    if spout is not None and request.get("autoscaling"):
        yield SpecError("autoscaling can't be used with spouts (spouts aren't triggered externally)", field="autoscaling")
    if pipeline.name and not pipeline.name[0].isalnum():
        yield SpecError("pipeline names must start with an alphanumeric character", field="pipeline.name")
    if "input" in request:
        yield from input_errors(request["input"], pipeline.name, pipeline.project)
    sql = request.get("egress", {}).get("sql_database")
    if sql is not None:
        secret = sql.get("secret", {})
        if not secret.get("name") or not secret.get("key"):
            yield SpecError("egress to a SQL database needs a secret with name and key", field="egress.sql_database.secret")
    if "service" in request and request.get("parallelism_spec", {"constant": "1"}).get("constant") != "1":
        yield SpecError("services can only be run with a constant parallelism of 1", field="parallelism_spec.constant")
    if spout is not None and "service" not in spout and "input" in request:
        yield SpecError("spout pipelines (without a service) must not have an input", field="input")
    if spout is not None and "service" in request:
        yield SpecError("only one of service and spout can be set", field="service", hint="a spout may have one of its own: spout.service")
    if "spec_commit" in request:
        yield Unsupported("spec_commit restores a pipeline from a backup of a cluster, which is not supported", hint="leave it out")
    try:
        check_name(request.get("output_branch", "master"))
    except Invalid as error:
        yield SpecError(f"could not create/update output branch: {error.message}", field="output_branch")


def _pipeline(request: Request, default_project: str) -> PipelineRef:
    pipeline = request["pipeline"]
    return PipelineRef(pipeline.get("project", {}).get("name", default_project), pipeline.get("name", ""))


def _name_errors(pipeline: PipelineRef) -> Iterator[SpecError]:
    name, field = pipeline.name, "pipeline.name"
    if not name:
        yield SpecError("invalid pipeline spec: request.Pipeline.Name cannot be empty", field=field)
        return
    # Text after ^, ~ or . is read as "so many versions back" before the name is looked at.
    ancestry = re.search(r"([.^~])(.*)", name, re.DOTALL)
    if ancestry and not re.fullmatch(r"[-+]?[0-9]+", ancestry[2]):
        other = next((character for character in ancestry[2] if character != ancestry[1]), "")
        if other:
            message = f'invalid ancestry syntax "{name}", cannot mix {ancestry[1]} and {other} characters'
            yield SpecError(message, field=field, hint="a name has letters, digits, _ and - only")
            return
    try:
        check_name(name)
    except Invalid as error:
        yield SpecError(f"invalid pipeline name: {error.message}", field=field)
    if len(name) > _NAME_LENGTH:
        message = f'pipeline name "{name}" is {len(name) - _NAME_LENGTH} characters longer than the {_NAME_LENGTH} max'
        yield SpecError(message, field=field)
    kubernetes = f"{pipeline.project}-{name}-v99".lower().replace("_", "-")
    if len(kubernetes) > _KUBERNETES_LENGTH:
        excess = len(kubernetes) - _KUBERNETES_LENGTH
        message = f'Kubernetes name "{kubernetes}" is {excess} characters longer than the {_KUBERNETES_LENGTH} max'
        yield SpecError(message, field=field, hint="shorten the name of the pipeline or of its project")


def _input(request: Request, pipeline: PipelineRef, start: str) -> Input | None:
    """The typed input, None if there is none, which a cluster accepts of any pipeline (reference pps 1.3)."""
    return parse_input(request["input"], pipeline.name, pipeline.project, start=start) if "input" in request else None


def _transform(document: Request) -> Transform:
    lists: Any = {name: tuple(document.get(name, ())) for name in ("cmd", "stdin", "err_cmd", "err_stdin")}
    plain: Any = {name: document[name] for name in ("env", "user", "working_dir", "datum_batching") if name in document}
    return Transform(
        **lists,
        **plain,
        image=document.get("image", DEFAULT_IMAGE),
        secrets=tuple(Secret(**{"name": "", **secret}) for secret in document.get("secrets", ())),
        accept_return_code=frozenset(map(int, document.get("accept_return_code", ()))),
    )


def _datum_sets(document: Mapping[str, str] | None) -> DatumSets | None:
    return None if document is None else DatumSets(**{name: int(value) for name, value in document.items()})


def _with_type(service: Request | None) -> Request | None:
    return None if service is None else {"type": SERVICE_TYPES[-1], **service}


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_proto_duration(duration)
