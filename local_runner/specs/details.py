"""The `details` of a pipeline as `inspect pipeline --raw` shows them (reference pps 4.11, 5.1)."""

from __future__ import annotations

from typing import Any

from local_runner.model.pipelines import PipelineInfo, PipelineState
from local_runner.model.units import rfc3339
from local_runner.specs.check import normal
from local_runner.specs.inputs import input_document

# In the order of the message; what is not made here comes from the effective spec.
_FIELDS = (
    *("transform", "parallelism_spec", "egress", "created_at", "workers_requested", "workers_available", "output_branch"),
    *("resource_requests", "resource_limits", "sidecar_resource_limits", "input", "description", "salt", "service", "spout"),
    *("datum_set_spec", "datum_timeout", "job_timeout", "datum_tries", "scheduling_spec", "pod_spec", "pod_patch", "s3_out"),
    *("metadata", "reprocess_spec", "autoscaling", "tolerations", "sidecar_resource_requests", "determined", "maximum_expected_uptime"),
)


def details_document(info: PipelineInfo) -> dict[str, Any]:
    """Snake_case names, 64-bit integers as text, unset fields left out."""
    spec = info.spec
    echoed = normal(spec.document, snake=True)
    made: dict[str, Any] = {
        "transform": {"image": spec.transform.image, **echoed.get("transform", {})},
        "created_at": rfc3339(info.created),
        "workers_requested": str(spec.parallelism),
        "output_branch": spec.output_branch,
        "salt": info.salt,
        "datum_tries": str(spec.datum_tries),
        "reprocess_spec": "every_job" if spec.reprocess_every_job else "until_success",
    }
    if info.state is PipelineState.RUNNING:
        made["workers_available"] = made["workers_requested"]
    if spec.input is not None:
        made["input"] = input_document(spec.input)
    made |= {name: value for name, value in (("service", spec.service), ("spout", spec.spout)) if value is not None}
    return {name: value for name in _FIELDS if (value := made.get(name, echoed.get(name))) is not None}
