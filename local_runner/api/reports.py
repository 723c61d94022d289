"""Methods of `Runner` that explain: where a file comes from, and how far everything in the home is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from local_runner.api.access import Access
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import FileQuery
from local_runner.storage.database import Session
from local_runner.storage.locks import FileLock

if TYPE_CHECKING:  # only the commands that explain need them
    from local_runner.pipelines.status import PipelineStatus, RepoStatus
    from local_runner.pipelines.why import FileNode
    from local_runner.storage.usage import Usage


class HomeStatus(NamedTuple):
    """How a home is: its pipelines, unfinished jobs and repos.

    `home` is its path, `usage` what it takes on the disk, in bytes; `engine` names the process that works on it, "" if none does;
    `server` is where clients reach it, "" if nothing serves it.
    """

    home: str
    usage: Usage
    engine: str
    server: str
    pipelines: list[PipelineStatus]
    jobs: list[JobInfo]
    repos: list[RepoStatus]


class Reports(Access):
    """Methods that explain, and change nothing."""

    def why(self, file: FileQuery, *, forward: bool = False) -> FileNode:
        """The datum that wrote a file or folder, what that read, and so on to what people put; `forward`: what was made of it instead.

        Raises `NotFound`.
        """
        from local_runner.pipelines.why import consequences, origin

        return self._look(lambda session: (consequences if forward else origin)(session, file))

    def status(self, projects: Sequence[str] | None = None) -> HomeStatus:
        """How far the pipelines, jobs and repos of these projects are; of all without them. All of it is of one moment."""
        from local_runner.pipelines.status import pipeline_status, repo_status
        from local_runner.storage.usage import usage

        def look(session: Session) -> HomeStatus:
            return HomeStatus(
                str(self.home),
                usage(self.database.home),
                self.engine_holder(),
                self.server_url(),
                pipeline_status(session, projects),
                [info for info in session.pipelines.unfinished_jobs() if projects is None or info.job.pipeline.project in projects],
                repo_status(session, projects),
            )

        return self._look(look)

    def server_url(self) -> str:
        """Where the server of this home listens; "" if there is none."""
        home = self.database.home
        if not FileLock(home.server_lock).is_taken():
            return ""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return str(json.loads(home.server_file.read_text()).get("url", ""))
        return ""

    def engine_holder(self) -> str:
        """The process that is the engine of this home, as a sentence names it; "" if there is none."""
        lock = FileLock(self.database.home.engine_lock)
        return (lock.holder() or "another process") if lock.is_taken() else ""

    def process_logs(self) -> list[Path]:
        """The files, which may not be there, that engines in the background and the server of this home write what they say to."""
        return [self.database.home.engine_log, self.database.home.server_log]
