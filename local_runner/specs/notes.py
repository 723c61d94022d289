"""Notes for the creator of a pipeline: fields of its spec that are accepted but do less than on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from local_runner.model.pipelines import SERVICE, PipelineSpec
from local_runner.model.quantity import odd_amount
from local_runner.specs.command_words import shell_hint
from local_runner.specs.fields import lower_camel

_OUT = "/pfs/out"
_NO_OUT = (
    f"what it writes to {_OUT} is not kept, since Pachyderm 2.0: it writes by `pachctl put file` or a client, to $PPS_PIPELINE_NAME@master"
)


def notes(spec: PipelineSpec) -> list[str]:
    """One sentence for each field that changes what comes out; fields that only shape pods are passed over (reference pps 2.9)."""
    return list(_notes(spec))


def _notes(spec: PipelineSpec) -> Iterator[str]:
    yield from remote_egress(spec)
    yield from odd_quantities(spec)
    if said := shell_hint(spec.transform.cmd):
        yield f"transform.cmd: {said}"
    if said := lost_output(spec):
        yield f"spout: {said}"
    if spec.kind == SERVICE or (spec.spout and "service" in spec.spout):
        service = spec.service or (spec.spout or {})["service"]
        if "external_port" in service:
            yield f"service: nothing is forwarded from external_port {service['external_port']}; ask the port the process opens here"


def lost_output(spec: PipelineSpec) -> str:
    """Says of a spout that seems to write as spouts of 1.x did that nothing of it is kept; "" for another."""
    names_it = any(_OUT in text for text in (*spec.transform.cmd, *spec.transform.stdin))
    return _NO_OUT if spec.spout is not None and names_it else ""


def odd_quantities(spec: PipelineSpec) -> Iterator[str]:
    """Notes about resources that are no quantities, or none that a worker can have; a cluster does not say so."""
    for name in ("resource_requests", "resource_limits", "sidecar_resource_requests", "sidecar_resource_limits"):
        resources = spec.document.get(lower_camel(name)) or {}
        for field in ("memory", "disk"):
            if (text := resources.get(field)) and (odd := odd_amount(text)):
                yield f"{name}.{field}: {odd}"


def local_egress(spec: PipelineSpec, base: Path) -> Path | None:
    """The folder that `egress` names on this machine, a relative path counting from `base`; None if it names none."""
    url = _egress_url(spec)
    scheme, found, rest = url.partition("://")
    if not found:
        return base / url if url else None
    host, slash, path = rest.partition("/")
    return Path("/", unquote(path)) if scheme == "file" and host in ("", "localhost") and slash else None


def remote_egress(spec: PipelineSpec) -> Iterator[str]:
    """Notes about an `egress` to another machine."""
    if spec.egress is not None and local_egress(spec, Path("/")) is None:
        where = _egress_url(spec) or (spec.egress.get("sql_database") or {}).get("url") or "nowhere"
        yield f"egress: nothing is copied to {where}; a local path or a file:// URL would be"


def _egress_url(spec: PipelineSpec) -> str:
    egress = spec.egress or {}
    url: str = egress.get("URL") or (egress.get("object_storage") or {}).get("url") or ""
    return url
