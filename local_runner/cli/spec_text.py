"""Describes parts of a spec as `inspect job` and `inspect pipeline` print them (reference pps 4.11)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local_runner.model.units import parse_proto_duration

Details = Mapping[str, Any]

_NUMBERS = frozenset({"accept_return_code", "commits"})  # 64-bit integers, which --raw writes as text


def dry_run_text(effective: Details) -> Iterator[str]:
    """The text that `create pipeline --dry-run` prints of the effective spec."""
    from local_runner.specs.check import normal  # lists need no specs

    spec = normal(effective, snake=True)
    yield f"Name: {spec['pipeline']['name']}"
    if "description" in spec:
        yield f"Description: {spec['description']}"
    yield f"Parallelism Spec: {parallelism(spec)}"
    yield from resources(spec, "resource_requests", "resource_limits")
    for label, name in (("Datum Timeout", "datum_timeout"), ("Job Timeout", "job_timeout")):
        yield f"{label}: {timeout(parse_proto_duration(spec[name]) if name in spec else None)}"
    yield f"Input: {input_text(spec)}"
    yield f"Output Branch: {spec.get('output_branch', '')}"
    yield f"Transform: {transform_text(spec)}"
    yield from egress(spec)
    if "egress" not in spec:
        yield ""


def parallelism(details: Details) -> str:
    constant = details.get("parallelism_spec", {}).get("constant")
    return f"constant:{constant}" if constant else "<nil>"


def timeout(seconds: float | None) -> str:
    """A duration as the protobuf text of its parts: "seconds:90"."""
    if seconds is None:
        return "<nil>"
    whole, nanos = divmod(round(seconds * 1e9), 10**9)
    return " ".join(f"{unit}:{number}" for unit, number in (("seconds", whole), ("nanos", nanos)) if number)


def resources(details: Details, *kinds: str) -> Iterator[str]:
    """The lines for the resources of each of these kinds, such as "resource_limits"."""
    for kind in kinds:
        if kind in details:
            asked = details[kind]
            yield f"{kind.replace('_', ' ').title().replace(' ', '')}:"
            yield f"  CPU: {asked.get('cpu', 0):g}"
            yield f"  Memory: {asked.get('memory', '')}"
            if kind == "resource_limits":
                yield from _gpu(asked.get("gpu"))


def _gpu(asked: Details | None) -> Iterator[str]:
    if asked is None:
        yield ""
    else:
        yield "  GPU:"
        yield f"    Type: {asked.get('type', '')}"
        yield f"    Number: {asked.get('number', 0)}"


def service(details: Details) -> Iterator[str]:
    if "service" in details:
        yield "Service:"
        for label, name in (("InternalPort", "internal_port"), ("ExternalPort", "external_port")):
            port = details["service"].get(name)
            yield f"\t{label}: {port}" if port else ""


def input_text(details: Details) -> str:
    return _tags_escaped(_go_json(details["input"])) if "input" in details else ""


def transform_text(details: Details) -> str:
    return _go_json(details.get("transform", {}))


def egress(details: Details) -> Iterator[str]:
    if "egress" in details:
        url = details["egress"].get("URL")
        yield f"Egress: {url or _go_json(details['egress'])}"


def stored_spec(text: str) -> str:
    """A user's or an effective spec, below its label."""
    plain = json.dumps(json.loads(text), indent=2, ensure_ascii=False, sort_keys=True)
    return _tags_escaped(plain).replace("&", "\\u0026").replace("\n", "\n  ")


def _go_json(value: Any) -> str:
    """JSON as Go's encoder writes a message: numbers as numbers, an ampersand escaped."""
    return json.dumps(_numbers(value), indent=2, ensure_ascii=False).replace("&", "\\u0026")


def _tags_escaped(text: str) -> str:
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _numbers(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner, name) for inner in value]
    return int(value) if name in _NUMBERS else value
