"""Resources of a worker: `resource_requests` and `resource_limits` as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from local_runner.errors import Invalid

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)?|[eE]([+-]?\d+))")
_POWERS: Mapping[str, int] = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"


class Resources(NamedTuple):
    """Memory in bytes, cores as a number; 0 is no limit. `reserved_memory` and `share` are what a worker gets in any case."""

    memory: int = 0
    cores: float = 0.0
    reserved_memory: int = 0
    share: float = 0.0
    gpus: int = 0


def read_resources(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> Resources:
    """The resources that a spec asks for. Raises `Invalid` for a malformed quantity."""
    return Resources(
        memory=int(quantity(limits.get("memory", "0"))),
        cores=float(limits.get("cpu", 0)),
        reserved_memory=int(quantity(requests.get("memory", "0"))),
        share=float(requests.get("cpu", 0)),
        gpus=int((limits.get("gpu") or requests.get("gpu") or {}).get("number", 0)),
    )


def quantity(text: str) -> Decimal:
    """Kubernetes' way to write a number: "64M", "1.5Gi", "100m", "1e3". Raises `Invalid`."""
    found = _QUANTITY.fullmatch(text.strip() or "0")
    if not found:
        raise Invalid(f"{text!r} is not a quantity", hint="write a number and a unit, for example 500M or 2Gi")
    number, unit, exponent = Decimal(found[1]), found[2] or "", found[3] or ""
    scale = Decimal(1024 ** (_BINARY.index(unit[0]) + 1)) if unit.endswith("i") else Decimal(10) ** int(exponent or _POWERS.get(unit, 0))
    return number * scale
