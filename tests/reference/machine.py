"""A lab whose user code is real: shell scripts, run by one of the executors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.base import Executor
from local_runner.executors.table import choose
from tests.support.lab import Lab


def best_executor() -> Executor:
    """The best one this host can run."""
    return choose("auto")[0]


class Machine(Lab):
    """Pipelines made by `script` run for real; `ran` stays empty, as nobody watches."""

    def __init__(self, home: Path, executor: Executor, jobs: int = 2) -> None:
        super().__init__(home, jobs)
        self.real = executor

    def script(
        self,
        name: str,
        *lines: str,
        input: str | Mapping[str, Any] = "/*",
        transform: Mapping[str, Any] | None = None,
        update: bool = False,
        reprocess: bool = False,
        **fields: Any,
    ) -> None:
        """A pipeline of a shell script; of an input given as a glob it sees the repo `data` as `/pfs/in`."""
        if isinstance(input, str):
            input = {"pfs": {"repo": "data", "name": "in", "glob": input}}
        command = {"cmd": ["bash"], "stdin": lines, **(transform or {})}
        self.pipeline(name, input, transform=command, update=update, reprocess=reprocess, **fields)

    def run_all(self, until: Callable[[], bool] = lambda: False) -> None:
        work(self.runner, EngineConfig(self.real, self.jobs_at_once), until)

    def reasons(self, pipeline: str) -> dict[str, str]:
        """Why datums of the newest job failed, by path."""
        listed = self.runner.list_datum(self.job(pipeline).job)
        return {info.datum.inputs[0].path: info.reason for info in listed if info.reason}

    def printed(self, pipeline: str) -> list[str]:
        """What user code of the newest job printed."""
        return [line["message"] for line in self.runner.logs(job=self.job(pipeline).job) if line.get("user")]
