"""How a Dask cluster is reached and used: the table `[dask]` of the project file, and variables of the environment over it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from local_runner.errors import Invalid
from local_runner.executors.remote.host import HostSettings
from local_runner.model.quantity import quantity

TABLE = "dask"
FILES = ("ca_file", "cert", "key")  # fields that name files of this machine
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+|[\w.-]+:\d+")
# Dask's own variable for the address; others are ours: DASK_LOCAL_RUNNER_CACHE and so on.
_ADDRESS_VARIABLE, _PREFIX = "DASK_SCHEDULER_ADDRESS", "DASK_LOCAL_RUNNER_"


@dataclass(frozen=True, slots=True)
class DaskSettings:
    """`scheduler` is an address such as tcp://host:8786, "" for a cluster of this machine that ends with the engine, of `workers`
    workers (0: one a core). `ca_file`, `cert` and `key` are for tls://; without them Dask's own configuration counts.

    `executor` is the one of the workers' machines, `cache` their folder for contents ("": ~/.cache/local_runner/contents), with at most
    `cache_size` of them. `variables` of a Dask worker reach user code, besides those that name its devices.
    `lease` is after how many seconds without a word of their engine workers end what they do.
    """

    scheduler: str = ""
    workers: int = 0
    ca_file: str = ""
    cert: str = ""
    key: str = ""
    executor: str = "auto"
    cache: str = ""
    cache_size: str = "20Gi"
    variables: tuple[str, ...] = ()
    lease: float = 30.0

    @property
    def host(self) -> HostSettings:
        """What of it is for the workers' machines."""
        return HostSettings(self.executor, self.cache, int(quantity(self.cache_size)), self.variables)


def read_settings(table: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> DaskSettings:
    """The settings of a table, with what the environment says over it. Raises `Invalid` that names the field."""
    known = {field.name: field for field in fields(DaskSettings)}
    for name in table:
        if name not in known:
            raise Invalid(f"unknown field {name}", hint=f"it is one of {', '.join(known)}")
    values = dict(table)
    for name in known:
        if given := environment.get(_ADDRESS_VARIABLE if name == "scheduler" else _PREFIX + name.upper()):
            values[name] = given.split(",") if name == "variables" else given
    return _checked(DaskSettings(**{name: _typed(name, value) for name, value in values.items()}))


def _typed(name: str, value: Any) -> Any:
    default = getattr(DaskSettings(), name)
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise Invalid(f"{name}: expected a list of names of variables")
        return tuple(value)
    if isinstance(default, (int, float)) and not isinstance(value, bool):
        try:
            return type(default)(value)
        except (TypeError, ValueError):
            raise Invalid(f"{name}: expected a number, not {value!r}") from None
    if not isinstance(value, str):
        raise Invalid(f"{name}: expected a text, not {value!r}")
    return value


def _checked(settings: DaskSettings) -> DaskSettings:
    if settings.scheduler and not _ADDRESS.fullmatch(settings.scheduler):
        raise Invalid(f"scheduler: {settings.scheduler!r} is no address", hint="write it as in tcp://host:8786 or tls://host:8786")
    if settings.lease < 1 or settings.workers < 0:
        raise Invalid("lease: expected a second or more" if settings.lease < 1 else "workers: expected 0 or more")
    if settings.executor == TABLE:
        raise Invalid("executor: the workers of a cluster cannot be told to use dask", hint="name auto, sandbox, container or process")
    try:
        quantity(settings.cache_size)
    except Invalid as why:
        raise Invalid(f"cache_size: {why.message}", hint=why.hint) from None
    return settings
