"""Builds the environment of user code: variables of its worker and of its datum (reference pps 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from local_runner.executors.base import Worker
from local_runner.model.datums import Datum
from local_runner.model.pipelines import PipelineSpec
from local_runner.storage.home import VARIABLE


def worker_env(
    spec: PipelineSpec, below: Mapping[str, str], secrets: Mapping[str, str], *, home: Path | None, worker: str, port: int, spec_commit: str
) -> dict[str, str]:
    """The environment of a worker's processes; later entries win. `below` is the lowest layer: host and image.

    `home` is for workers that see it.
    """
    return {
        **below,
        **spec.transform.env,
        **secrets,
        **({VARIABLE: str(home)} if home else {}),
        "PACH_IN_WORKER": "true",
        "PPS_POD_NAME": worker,
        "PPS_WORKER_GRPC_PORT": str(port),
        "PPS_SPEC_COMMIT": spec_commit,
        "PPS_PROJECT_NAME": spec.pipeline.project,
        "PPS_PIPELINE_NAME": spec.pipeline.name,
    }


def job_env(job_id: str) -> dict[str, str]:
    """The variables of a batching process before its first datum."""
    return {"PACH_JOB_ID": job_id, "PACH_OUTPUT_COMMIT_ID": job_id}


def datum_env(datum: Datum, job_id: str) -> dict[str, str]:
    """A datum's own variables. Of several files of one name the last counts."""
    env: dict[str, str] = {}
    for file in datum.inputs:
        name = file.source.name
        env[name] = f"/pfs/{name}{file.path}".rstrip("/")
        env[f"{name}_COMMIT"] = file.commit
        if file.join_on:
            env[f"PACH_DATUM_{name}_JOIN_ON"] = file.join_on
        if file.group_by:
            env[f"PACH_DATUM_{name}_GROUP_BY"] = file.group_by
    return env | {"PACH_DATUM_ID": datum.id} | job_env(job_id)


def dot_env(worker: Worker, env: Mapping[str, str]) -> list[str]:
    """The lines of `.env` and of the answer to NextDatum (reference pps 3.2): variables of worker and datum as NAME=value."""
    told = {**worker.env, **{name: worker.translate(value) for name, value in env.items()}}
    return [f"{name}={value}" for name, value in told.items()]


def stdin_bytes(lines: tuple[str, ...]) -> bytes | None:
    """Lines joined by newlines, with one at the end; no lines at all is /dev/null (reference pps 3.3)."""
    return ("\n".join(lines) + "\n").encode() if lines else None
