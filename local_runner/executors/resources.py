"""Resources of a worker: `resource_requests` and `resource_limits` as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from local_runner.errors import Invalid
from local_runner.model.quantity import quantity


class Resources(NamedTuple):
    """Memory in bytes, cores as a number; 0 is no limit. `reserved_memory` and `share` are what a worker gets in any case."""

    memory: int = 0
    cores: float = 0.0
    reserved_memory: int = 0
    share: float = 0.0
    gpus: int = 0


def read_resources(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> Resources:
    """The resources that a spec asks for. What is no quantity, or below zero, asks for nothing, as on a cluster, which only logs it."""
    return Resources(
        memory=_bytes(limits),
        cores=max(0.0, float(limits.get("cpu", 0))),
        reserved_memory=_bytes(requests),
        share=max(0.0, float(requests.get("cpu", 0))),
        gpus=max(0, int((limits.get("gpu") or requests.get("gpu") or {}).get("number", 0))),
    )


def _bytes(resources: Mapping[str, Any]) -> int:
    try:
        return max(0, int(quantity(resources.get("memory") or "0")))
    except Invalid:
        return 0
