"""Makes the effective spec: defaults merged under the user's spec (reference pps 5.4), and the checks after that.

A *user spec* keeps its spelling; an *effective spec* has lowerCamel names. Both are stored as the text `spec_json` makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from local_runner.errors import SpecError
from local_runner.specs.check import Document, dotted, faults, integer, normal, null_faults, to_camel
from local_runner.specs.fields import DEFAULTS, ENUMS

DEFAULT_IMAGE = "ubuntu:20.04"
SERVICE_TYPES = ("ClusterIP", "LoadBalancer", "NodePort")

_BUILT_IN: Document = {
    "transform": {"image": DEFAULT_IMAGE},
    "outputBranch": "master",
    "datumTries": "3",
    "reprocessSpec": "until_success",
}

_RESOURCES: Document = {"cpu": 1, "disk": "1Gi", "memory": "256Mi"}

# What the cluster defaults of a new home are.
BUILT_IN_CLUSTER_DEFAULTS: Document = {
    "createPipelineRequest": {"resourceRequests": _RESOURCES, "sidecarResourceRequests": _RESOURCES},
}


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects are merged key by key, null removes, anything else replaces. Neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def effective_spec(user: Document, cluster_defaults: Document, project_defaults: Document) -> dict[str, Any]:
    """The spec with its defaults, lowerCamel; values as they were written. Defaults are `{"createPipelineRequest": {…}}` or empty.

    The documents must have been read by `read_documents`, `check_defaults` or `read_defaults`, in any spelling. Raises `SpecError` for
    what a spec alone can be wrong in; what depends on its name, input or the store is left to `parse_spec` and the store.
    """
    null = next(null_faults(user), None)
    if null:
        raise SpecError(f"could not make effective spec: {dotted(null.path)}: {null.text}", field=dotted(null.path), hint=null.hint)
    merged = merged_spec(user, cluster_defaults, project_defaults)
    for error in errors_alone(merged):
        raise error
    return merged


def merged_spec(user: Document, cluster_defaults: Document, project_defaults: Document) -> dict[str, Any]:
    """`effective_spec` without its checks."""
    spec: Any = _BUILT_IN
    for defaults in (cluster_defaults, project_defaults):
        spec = merge_patch({"createPipelineRequest": spec}, to_camel(defaults, DEFAULTS)).get("createPipelineRequest", {})
    merged: dict[str, Any] = merge_patch(spec, to_camel(user))
    return merged


def check_defaults(document: Document) -> dict[str, Any]:
    """A defaults document with lowerCamel names, as `effective_spec` takes it. Raises `SpecError` for a field or value that cannot be."""
    fault = next(faults(document, DEFAULTS), None)
    if fault:
        raise SpecError(f"invalid defaults: {dotted(fault.path)}: {fault.text}", field=dotted(fault.path), hint=fault.hint)
    effective_spec({}, document, {})
    return to_camel(document, DEFAULTS)


def dry_run_document(effective: Document) -> dict[str, Any]:
    """The document that a dry run prints of an effective spec, with sorted keys (reference pps 5.3)."""
    sorted_keys: dict[str, Any] = json.loads(spec_json(normal(effective)))
    return sorted_keys


def user_spec(document: Document, project: str) -> dict[str, Any]:
    """A spec as pachctl sends it: with `project` filled in where it names none."""
    pipeline = document.get("pipeline") or {}
    named = (pipeline.get("project") or {}).get("name")
    return dict(document) if named else {**document, "pipeline": {**pipeline, "project": {"name": project}}}


def spec_json(document: Document) -> str:
    """The text in which specs are stored and shown: keys sorted, no blanks."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def image_warnings(document: Document) -> list[str]:
    """The warnings that pachctl prints about the image of a user spec."""
    image = (document.get("transform") or {}).get("image") or ""
    if image and ":" not in image:
        return [_NO_TAG]
    return [_LATEST] if image.endswith(":latest") else []


_NO_TAG = """\
WARNING: please specify a tag for the docker image in your transform.image spec.
For example, change 'python' to 'python:3' or 'bash' to 'bash:5'. This improves
reproducibility of your pipelines.
"""

_LATEST = """\
WARNING: please do not specify the ':latest' tag for the docker image in your
transform.image spec. For example, change 'python:latest' to 'python:3' or
'bash:latest' to 'bash:5'. This improves reproducibility of your pipelines.
"""


def errors_alone(spec: Document) -> Iterator[SpecError]:
    """The errors of reference pps 5.2 that can be found in the spec alone, in the cluster's order."""
    if spec.get("tfJob") is not None:
        yield _wrong("embedding TFJobs in pipelines is not supported yet", "tf_job")
    if spec.get("reprocessSpec") not in (None, "", "until_success", "every_job"):
        message = 'invalid pipeline spec: ReprocessSpec must be one of "until_success" or "every_job"'
        yield _wrong(message, "reprocess_spec", "until_success skips datums that succeeded, every_job runs all of them in every job")
    tolerations = spec.get("tolerations") or []
    for number, toleration in enumerate(tolerations, 1):
        if toleration.get("operator") in (None, ENUMS["TolerationOperator"][0]):
            message = "the operator must be EQUAL or EXISTS"
            yield _wrong(f"toleration {number}/{len(tolerations)}: {message}", f"tolerations[{number - 1}].operator")
    for name, field in (("PodSpec", "pod_spec"), ("PodPatch", "pod_patch")):
        text = spec.get(f"p{name[1:]}")
        if text and not _is_json(text):
            yield _wrong(f"malformed {name}", field, "it is JSON in a string")
    kind = (spec.get("service") or {}).get("type")
    if kind and kind not in SERVICE_TYPES:
        yield _wrong(f"the following service type {kind} is not allowed", "service.type", f"one of {', '.join(SERVICE_TYPES)}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _wrong(message: str, field: str, hint: str = "") -> SpecError:
    return SpecError(f"could not make effective spec: invalid effective spec: {message}", field=field, hint=hint)


def tries(spec: Document) -> int:
    """`datum_tries` of an effective spec: 0 and nothing mean 3; a negative number stays, as on a cluster."""
    return integer(spec.get("datumTries")) or 3
