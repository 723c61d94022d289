"""Makes documents of the jobs to come: what they would do with each datum, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_runner.planning.forecast import JobForecast
    from local_runner.planning.plan import FileChange, Step

Explain = Callable[["FileChange"], list[str]]


def forecast_document(job_forecast: JobForecast, explain: Explain = lambda change: []) -> dict[str, Any]:
    """Everything about one job to come: hashes in hex, sizes in bytes. `complete` is false if more may happen than is known."""
    document: dict[str, Any] = {
        "pipeline": {"project": {"name": job_forecast.pipeline.project}, "name": job_forecast.pipeline.name},
        "complete": not job_forecast.waits_for,
    }
    if job_forecast.waits_for:
        document["waits_for"] = list(job_forecast.waits_for)
    if job_forecast.problem:
        document["problem"] = job_forecast.problem
    if job_forecast.done:
        document["done"] = job_forecast.done
    document["causes"] = [
        {name: value for name, value in cause._asdict().items() if value not in (None, "")} for cause in job_forecast.causes
    ]
    document["datums"] = [_step_document(step, explain) for step in job_forecast.steps]
    return document


def _step_document(step: Step, explain: Explain) -> dict[str, Any]:
    document: dict[str, Any] = {"id": step.id, "verb": step.verb.value, "reason": step.reason}
    if step.datum:
        document["inputs"] = [
            {"input": f.source.name, "repo": str(f.source.source.repo), "path": f.path, "size_bytes": f.size, "hash": f.hash.hex()}
            for f in step.datum.inputs
        ]
    if step.changes:
        document["changes"] = [_change_document(change, explain(change)) for change in step.changes]
    return document


def _change_document(change: FileChange, diff: list[str]) -> dict[str, Any]:
    document: dict[str, Any] = {"input": change.input, "repo": str(change.repo), "path": change.path}
    for name, content in (("old", change.old), ("new", change.new)):
        if content:
            document[name] = {"size_bytes": content.size, "hash": content.hash.hex()}
    return document | ({"diff": "\n".join(diff)} if diff else {})
