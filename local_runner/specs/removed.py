"""The table of all fields of specs that Pachyderm no longer has, with what to write now.

By message as in `fields`, from `pps.proto` and `pfs.proto` of all releases from 1.0 to 2.11 and of 2.12 as far as it is. Fields that
stood in a message that is gone as a whole are not listed: the field that held the message is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from local_runner.specs.fields import DEFAULTS, REQUEST


class RemovedField(NamedTuple):
    """`until` is the last version that had it, `instead` what to do now, `example` a spec, as JSON, that shows it, "" if none is needed."""

    until: str
    instead: str
    example: str = ""

    @property
    def advice(self) -> str:
        """What to do, with the example."""
        return f"{self.instead}, as in {self.example[1:-1]}" if self.example else self.instead


_NOTHING = "leave it out, it has no successor"
_AUTOSCALING = RemovedField("1.13", "use autoscaling", '{"autoscaling": true}')
_CONSTANT = '{"parallelism_spec": {"constant": 4}}'
_RESOURCES = '{"resource_requests": {"cpu": 1, "memory": "1G"}, "resource_limits": {"memory": "2G"}}'
_INPUT = '{"input": {"pfs": {"repo": "data", "glob": "/*"}}}'
_DEFAULTS = "write the fields themselves"
_SPOUT = "the spout writes with `pachctl put file` or a client, to $PPS_PIPELINE_NAME@master"
_OUT_OF_2_7 = RemovedField("2.7", _DEFAULTS, '{"datum_tries": 3}')

REMOVED: Mapping[tuple[str, str], RemovedField] = {
    (REQUEST, "shards"): RemovedField("1.0", "use parallelism_spec", _CONSTANT),
    (REQUEST, "parallelism"): RemovedField("1.1", "use parallelism_spec", _CONSTANT),
    (REQUEST, "inputs"): RemovedField("1.5", "use input, and a cross for several", _INPUT),
    (REQUEST, "no_archive"): RemovedField("1.3", _NOTHING),
    (REQUEST, "gc_policy"): RemovedField("1.4", "leave it out, there are no pods whose remains could be kept"),
    (REQUEST, "output"): RemovedField("1.3", "use egress", '{"egress": {"URL": "s3://bucket/folder"}}'),
    (REQUEST, "resources"): RemovedField("1.3", "use resource_requests and resource_limits", _RESOURCES),
    (REQUEST, "resource_spec"): RemovedField("1.6", "use resource_requests and resource_limits", _RESOURCES),
    (REQUEST, "scale_down_threshold"): _AUTOSCALING._replace(until="1.9"),
    (REQUEST, "incremental"): RemovedField("1.9", "leave it out, only changed datums run in any case"),
    (REQUEST, "batch"): RemovedField("1.9", "leave it out, all datums of a job are worked on together in any case"),
    (REQUEST, "cache_size"): RemovedField("1.13", _NOTHING),
    (REQUEST, "enable_stats"): RemovedField("1.13", "leave it out, statistics are always kept, see `list datum`"),
    (REQUEST, "max_queue_size"): RemovedField("1.13", _NOTHING),
    (REQUEST, "chunk_spec"): RemovedField("1.13", "use datum_set_spec", '{"datum_set_spec": {"number": 10}}'),
    (REQUEST, "standby"): _AUTOSCALING,
    (REQUEST, "hashtree_spec"): RemovedField("1.13", _NOTHING),
    (REQUEST, "details_json"): _OUT_OF_2_7,
    (DEFAULTS, "details_json"): _OUT_OF_2_7._replace(
        instead="use create_pipeline_request", example='{"create_pipeline_request": {"datum_tries": 3}}'
    ),
    (DEFAULTS, "effective_details_json"): RemovedField("2.7", "leave it out, it is made from create_pipeline_request"),
    ("Transform", "build"): RemovedField(
        "1.13", "build the image yourself and name it", '{"transform": {"image": "me/code:1", "cmd": ["python3", "/main.py"]}}'
    ),
    ("Transform", "overwrite"): RemovedField("1.3", "leave it out, a datum that runs again replaces what it wrote before"),
    ("ParallelismSpec", "strategy"): RemovedField("1.4", "leave it out, constant says it all", _CONSTANT),
    ("ParallelismSpec", "coefficient"): RemovedField("1.13", "use constant", _CONSTANT),
    ("Input", "atom"): RemovedField("1.9", "use pfs", _INPUT),
    ("Input", "git"): RemovedField("1.13", "put the files into a repo and use pfs", _INPUT),
    ("PFSInput", "from_commit"): RemovedField("1.6", "leave it out, a branch begins where its first commit is"),
    ("Spout", "overwrite"): RemovedField("1.13", f"leave it out: {_SPOUT}"),
    ("Spout", "marker"): RemovedField("1.13", f"leave it out: {_SPOUT}, and can keep a file of its own there"),
    ("Service", "annotations"): RemovedField("1.9", "use metadata", '{"metadata": {"annotations": {"key": "value"}}}'),
    ("Branch", "head"): RemovedField("1.4", "leave it out"),
}

# What `inspect pipeline --raw` and `list pipeline --raw` print around a spec.
_OF_PIPELINES = frozenset(
    (
        *("version", "state", "reason", "stopped", "type", "auth_token", "details", "parallelism", "last_job_state"),
        *(
            "user_spec_json",
            "effective_spec_json",
            "created_at",
            "recent_error",
            "workers_requested",
            "workers_available",
            "unclaimed_tasks",
        ),
    )
)


def gone(message: str, key: str) -> tuple[str, RemovedField] | None:
    """The removed field that a key means, in either spelling, with its name."""
    name = re.sub("([A-Z])", lambda found: "_" + found[1].lower(), key)
    found = REMOVED.get((message, name))
    return (name, found) if found else None


def removed_hint(message: str, key: str) -> str:
    """What to write instead of a field that specs do not have any more, or never had but a pipeline has; "" for another key."""
    if found := gone(message, key):
        name, field = found
        return f"{name} is a field of Pachyderm up to {field.until}: {field.advice}"
    name = re.sub("([A-Z])", lambda found: "_" + found[1].lower(), key)
    if message == REQUEST and name in _OF_PIPELINES:
        return f"{key} is of a pipeline, not of its spec: `list pipeline NAME --spec` prints the spec, to be created anew"
    return ""
