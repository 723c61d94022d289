"""The configuration of an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_runner.engine.batching.client import NextDatumServers
from local_runner.engine.observers import Observer, SilentObserver
from local_runner.executors.base import Executor
from local_runner.model.jobs import JobInfo


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """`jobs` is how many datums run at once over all pipelines, `images` the folders behind images (name without tag -> folder).

    `images` is asked again for each worker and each job: an engine may live for days, and see edits.
    With `services` it lets spouts and services run as well, and then stays for ever: that is for engines in the background.
    Jobs that may not begin (`may_begin`) wait for another engine. With `ignore_failures` a datum that fails counts as one whose error
    command succeeded, so what follows runs. `next_datum_servers` answer the workers that batch, and end with the engine.
    `env` are variables of user code that runs over the host's files, unless its image or spec says otherwise.
    `env_of_worker` are further ones of one worker of a pipeline, by its number from 0, in whatever image: its device, for example.
    `warn` is told what is wrong but stops nobody. With `network` user code has the host's network, unless its pipeline declines.
    """

    executor: Executor
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    images: Callable[[], Mapping[str, Path]] = dict
    observer: Observer = field(default_factory=SilentObserver)
    services: bool = False
    may_begin: Callable[[JobInfo], bool] = lambda info: True
    ignore_failures: bool = False
    next_datum_servers: NextDatumServers = field(default_factory=NextDatumServers)
    env: Mapping[str, str] = field(default_factory=dict)
    env_of_worker: Callable[[int], Mapping[str, str]] = lambda number: {}
    warn: Callable[[str], None] = lambda text: None
    network: bool = False
