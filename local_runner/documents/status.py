"""Makes a document of how a home is: its pipelines, jobs and repos, and what would run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from local_runner.documents.infos import job_document, job_info_document, pipeline_document, repo_info_document
from local_runner.documents.plan import forecast_document
from local_runner.model.units import rfc3339

if TYPE_CHECKING:
    from local_runner.api.reports import HomeStatus
    from local_runner.planning.forecast import JobForecast


def status_document(found: HomeStatus, changed: Sequence[str], forecasts: Sequence[JobForecast]) -> dict[str, Any]:
    """How a home is: sizes in bytes; `changed` are sentences on what differs in its project, `forecasts` the jobs to come."""
    return {
        "home": {"path": found.home, "bytes": found.usage._asdict()},
        "engine": found.engine,
        "server": found.server,
        "changed": list(changed),
        "pipelines": [
            {
                "pipeline": pipeline_document(one.pipeline),
                "state": one.state.value,
                "reason": one.reason,
                "last_job": {**job_document(one.last.job), "state": one.last.state.value, "reason": one.last.reason} if one.last else None,
                "behind": [{"branch": str(b.branch), "commits": b.commits, "open": b.is_open} for b in one.behind],
                "current": one.is_current,
            }
            for one in found.pipelines
        ],
        "jobs": [job_info_document(info, None) for info in found.jobs],
        "repos": [
            {
                **repo_info_document(one.info),
                "heads": [
                    {
                        "branch": h.branch.name,
                        "commit": h.commit.id,
                        "started": rfc3339(h.started),
                        "open": h.finished is None,
                        "error": h.error,
                    }
                    for h in one.heads
                ],
            }
            for one in found.repos
        ],
        "plan": [forecast_document(one) for one in forecasts],
    }
