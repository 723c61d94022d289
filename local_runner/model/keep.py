"""How much and how long a home keeps beside its data, as `[keep]` of a project file says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from local_runner.errors import Invalid
from local_runner.model.units import parse_go_duration, parse_size


class Keep(NamedTuple):
    """`log_size`: bytes of what each datum prints. `logs`: seconds that logs of ended jobs are kept; for ever, if nobody says otherwise."""

    log_size: int = 64_000_000
    logs: float = math.inf


def parse_keep(table: Mapping[str, Any]) -> Keep:
    """The table of a project file: `log_size = "64MB"`, `logs = "720h"`. Raises `Invalid`, which names the field."""
    keep = Keep()
    for name, value in table.items():
        if name not in Keep._fields:
            raise Invalid(f"keep: unknown field {name}", hint=f"it is one of {', '.join(Keep._fields)}")
        if not isinstance(value, str):
            raise Invalid(f'keep: {name}: expected a text, as in log_size = "64MB" or logs = "720h"')
        try:
            keep = keep._replace(log_size=parse_size(value)) if name == "log_size" else keep._replace(logs=parse_go_duration(value))
        except Invalid as error:
            raise Invalid(f"keep: {name}: {error.message}", hint=error.hint) from None
        if keep.logs < 0:
            raise Invalid(f"keep: {name}: it cannot be less than nothing")
    return keep
