"""How long a home keeps logs and datum records: the table `[keep]` of a project file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from local_runner.errors import Invalid
from local_runner.model.units import parse_go_duration, parse_size


class Keep(NamedTuple):
    """`log_size`: bytes of what each datum prints. `logs`, `datums`: seconds that logs of ended jobs are kept, and what is known of the
    datums of jobs that a newer one succeeded; by default for ever."""

    log_size: int = 64_000_000
    logs: float = math.inf
    datums: float = math.inf


def parse_keep(table: Mapping[str, Any]) -> Keep:
    """The table of a project file: `log_size = "64MB"`, `logs = "720h"`. Raises `Invalid`, which names the field."""
    keep = Keep()
    for name, value in table.items():
        if name not in Keep._fields:
            raise Invalid(f"keep: unknown field {name}", hint=f"it is one of {', '.join(Keep._fields)}")
        if not isinstance(value, str):
            raise Invalid(f'keep: {name}: expected a text, as in log_size = "64MB" or logs = "720h"')
        try:
            known: dict[str, Any] = {name: parse_size(value) if name == "log_size" else parse_go_duration(value)}
            keep = keep._replace(**known)
        except Invalid as error:
            raise Invalid(f"keep: {name}: {error.message}", hint=error.hint) from None
        if min(keep) < 0:
            raise Invalid(f"keep: {name}: it cannot be less than nothing")
    return keep
