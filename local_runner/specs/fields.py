"""Every field a pipeline spec may have: its name, its type, and what becomes of it here (reference pps 1.1, 2.9, 5.1).

The reader checks specs against this table, the echo is spelled by it, and `explain spec` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

HONOURED = "honoured"  # means what it means on a cluster
EMULATED = "emulated"  # has its effect here by other means
IGNORED = "ignored"  # taken, stored and echoed, without effect
REFUSED = "refused"  # an error when it is set

REQUEST = "CreatePipelineRequest"
DEFAULTS = "ClusterDefaults"


def lower_camel(name: str) -> str:
    """`datumTries` for `datum_tries`, as protobuf's JSON spells it."""
    return re.sub("_(.)", lambda found: found[1].upper(), name)


class Field(NamedTuple):
    """`type` is a JSON type of protobuf (`string`, `int64`, `duration` …) or a name in `MESSAGES` or `ENUMS`, with `[]` for a list."""

    name: str
    type: str
    treatment: str
    why: str

    @property
    def json_name(self) -> str:
        """The lowerCamel spelling."""
        return lower_camel(self.name)

    @property
    def is_list(self) -> bool:
        return self.type.endswith("[]")

    @property
    def element(self) -> str:
        """The type, or that of the list's elements."""
        return self.type.removesuffix("[]")


MAP = "map<string,string>"

_NO_GATEWAY = "there is no S3 gateway"
_HERE_ONLY = "copies to a path or file:// URL of this machine, nowhere else"
_NO_CLUSTER = "there is no cluster to schedule on"
_RESTORE = "restores a pipeline from a backup of a cluster"

MESSAGES: Mapping[str, tuple[Field, ...]] = {
    REQUEST: (
        Field("pipeline", "Pipeline", HONOURED, "the project is the current one where it is left out"),
        Field("tf_job", "TFJob", REFUSED, "clusters refuse it too"),
        Field("transform", "Transform", HONOURED, "what runs for each datum"),
        Field("parallelism_spec", "ParallelismSpec", HONOURED, "how many workers run at once"),
        Field("egress", "Egress", EMULATED, f"{_HERE_ONLY}; a job whose output cannot be copied fails"),
        Field("update", "bool", HONOURED, "overrides the command line, also for the documents that follow"),
        Field("output_branch", "string", HONOURED, "default master"),
        Field("s3_out", "bool", IGNORED, f"{_NO_GATEWAY}: there is no /pfs/out, and nothing is skipped"),
        Field("resource_requests", "ResourceSpec", IGNORED, _NO_CLUSTER),
        Field("resource_limits", "ResourceSpec", IGNORED, _NO_CLUSTER),
        Field("sidecar_resource_limits", "ResourceSpec", IGNORED, "there is no sidecar"),
        Field("input", "Input", HONOURED, "which files make a datum"),
        Field("description", "string", HONOURED, "shown in lists"),
        Field("reprocess", "bool", HONOURED, "overrides the command line, also for the documents that follow"),
        Field("service", "Service", EMULATED, "the process runs on this machine, while an engine is up, and listens where it likes"),
        Field("spout", "Spout", HONOURED, "a process that writes commits by itself, while an engine is up"),
        Field("datum_set_spec", "DatumSetSpec", HONOURED, "how datums are cut into sets"),
        Field("datum_timeout", "duration", HONOURED, "for each attempt"),
        Field("job_timeout", "duration", HONOURED, "from the start of the job's datums"),
        Field("salt", "string", HONOURED, "of a new pipeline; an update keeps the old one"),
        Field("datum_tries", "int64", HONOURED, "default 3"),
        Field("scheduling_spec", "SchedulingSpec", IGNORED, _NO_CLUSTER),
        Field("pod_spec", "string", IGNORED, "there are no pods; it must be JSON"),
        Field("pod_patch", "string", IGNORED, "there are no pods; it must be JSON"),
        Field("spec_commit", "Commit", REFUSED, _RESTORE),
        Field("metadata", "Metadata", IGNORED, "there are no Kubernetes objects to label"),
        Field("reprocess_spec", "string", HONOURED, "until_success (default) or every_job"),
        Field("autoscaling", "bool", IGNORED, "workers start when there is work and end with it"),
        Field("tolerations", "Toleration[]", IGNORED, _NO_CLUSTER),
        Field("sidecar_resource_requests", "ResourceSpec", IGNORED, "there is no sidecar"),
        Field("dry_run", "bool", IGNORED, "use the flag --dry-run"),
        Field("determined", "Determined", IGNORED, "there is no Determined cluster"),
        Field("maximum_expected_uptime", "duration", HONOURED, "the ALERTS column of list pipeline"),
    ),
    DEFAULTS: (Field("create_pipeline_request", REQUEST, HONOURED, "merged under every spec"),),
    "Pipeline": (
        Field("project", "Project", HONOURED, "default: the current project"),
        Field("name", "string", HONOURED, "also the name of the output repo"),
    ),
    "Project": (Field("name", "string", HONOURED, ""),),
    "TFJob": (Field("tf_job", "string", REFUSED, "clusters refuse it too"),),
    "Transform": (
        Field("image", "string", EMULATED, "a folder under images/, or a container image, by executor"),
        Field("cmd", "string[]", HONOURED, "run as it is, without a shell"),
        Field("err_cmd", "string[]", HONOURED, "run after each failed attempt"),
        Field("env", MAP, HONOURED, ""),
        Field("secrets", "SecretMount[]", EMULATED, "there is no Kubernetes to hold them"),
        Field("image_pull_secrets", "string[]", IGNORED, "the local engine's own login is used"),
        Field("stdin", "string[]", HONOURED, "lines given to cmd"),
        Field("err_stdin", "string[]", HONOURED, "lines given to err_cmd"),
        Field("accept_return_code", "int64[]", HONOURED, "exit codes that count as success"),
        Field("debug", "bool", IGNORED, "has no effect on a cluster either"),
        Field("user", "string", EMULATED, "where root runs the engine; else the job's log says that it is not"),
        Field("working_dir", "string", HONOURED, ""),
        Field("dockerfile", "string", IGNORED, "has no effect on a cluster either"),
        Field("memory_volume", "bool", IGNORED, "scratch space lies on disk"),
        Field("datum_batching", "bool", HONOURED, "one process asks for one datum after the other"),
    ),
    "SecretMount": (
        Field("name", "string", EMULATED, ""),
        Field("key", "string", EMULATED, ""),
        Field("mount_path", "string", EMULATED, ""),
        Field("env_var", "string", EMULATED, ""),
    ),
    "ParallelismSpec": (Field("constant", "uint64", HONOURED, "number of workers, default 1"),),
    "DatumSetSpec": (
        Field("number", "int64", HONOURED, "datums in a set"),
        Field("size_bytes", "int64", HONOURED, "input of a set; wins over number"),
        Field("per_worker", "int64", HONOURED, "sets for each worker; 0 is taken as 4"),
    ),
    "Input": (
        Field("pfs", "PFSInput", HONOURED, "files of a branch"),
        Field("join", "Input[]", HONOURED, "files whose join_on agrees"),
        Field("group", "Input[]", HONOURED, "one datum for all files with the same group_by"),
        Field("cross", "Input[]", HONOURED, "every combination"),
        Field("union", "Input[]", HONOURED, "all of them"),
        Field("cron", "CronInput", HONOURED, "ticks of a clock"),
    ),
    "PFSInput": (
        Field("project", "string", HONOURED, "default: that of the pipeline"),
        Field("name", "string", HONOURED, "the folder under /pfs; default: the repo"),
        Field("repo", "string", HONOURED, ""),
        Field("repo_type", "string", IGNORED, "clusters read the user repo whatever it says"),
        Field("branch", "string", HONOURED, "default master"),
        Field("commit", "string", REFUSED, "clusters refuse it too: use a branch"),
        Field("glob", "string", HONOURED, "each match is a datum"),
        Field("join_on", "string", HONOURED, "captures of the glob, as in $1"),
        Field("outer_join", "bool", HONOURED, "keep files without a partner"),
        Field("group_by", "string", HONOURED, "captures of the glob, as in $1"),
        Field("lazy", "bool", HONOURED, "named pipes in place of files"),
        Field("empty_files", "bool", HONOURED, "names without content"),
        Field("s3", "bool", IGNORED, f"{_NO_GATEWAY}: the input's folder is empty"),
        Field("trigger", "Trigger", HONOURED, "reads a branch that moves on conditions"),
        Field("propagation_spec", "PropagationSpec", HONOURED, ""),
        Field("reference", "bool", HONOURED, "content is left out of what decides about skipping"),
    ),
    "Trigger": (
        Field("branch", "string", HONOURED, "the watched branch, default master"),
        Field("all", "bool", HONOURED, "all conditions at once"),
        Field("rate_limit_spec", "string", HONOURED, "at most this often: a cron expression"),
        Field("size", "string", HONOURED, "so much more data, as in 10M"),
        Field("commits", "int64", HONOURED, "so many commits"),
        Field("cron_spec", "string", HONOURED, "on a schedule"),
    ),
    "PropagationSpec": (Field("never", "bool", HONOURED, "new commits start no job"),),
    "CronInput": (
        Field("name", "string", HONOURED, "the folder under /pfs"),
        Field("project", "string", HONOURED, "default: that of the pipeline"),
        Field("repo", "string", HONOURED, "default <pipeline>_<name>; made with the pipeline"),
        Field("commit", "string", IGNORED, "clusters ignore it too"),
        Field("spec", "string", HONOURED, "a cron expression, @every 10m, @never; UTC"),
        Field("overwrite", "bool", HONOURED, "keep only the newest tick"),
        Field("start", "timestamp", HONOURED, "first tick after this time; default: now"),
    ),
    "Egress": (
        Field("URL", "string", EMULATED, _HERE_ONLY),
        Field("object_storage", "ObjectStorageEgress", EMULATED, "as URL"),
        Field("sql_database", "SQLDatabaseEgress", IGNORED, "nothing leaves this machine"),
    ),
    "ObjectStorageEgress": (Field("url", "string", EMULATED, _HERE_ONLY),),
    "SQLDatabaseEgress": (
        Field("url", "string", IGNORED, "nothing leaves this machine"),
        Field("file_format", "FileFormat", IGNORED, "nothing leaves this machine"),
        Field("secret", "EgressSecret", IGNORED, "must be given all the same"),
    ),
    "FileFormat": (
        Field("type", "FileFormatType", IGNORED, ""),
        Field("columns", "string[]", IGNORED, ""),
    ),
    "EgressSecret": (Field("name", "string", IGNORED, ""), Field("key", "string", IGNORED, "")),
    "Service": (
        Field("internal_port", "int32", EMULATED, "the port the process opens, on this machine"),
        Field("external_port", "int32", IGNORED, "nothing is forwarded"),
        Field("ip", "string", IGNORED, "nothing is forwarded"),
        Field("type", "string", IGNORED, "ClusterIP, LoadBalancer or NodePort (default)"),
    ),
    "Spout": (Field("service", "Service", EMULATED, "as service"),),
    "ResourceSpec": (
        Field("cpu", "float", IGNORED, _NO_CLUSTER),
        Field("memory", "string", IGNORED, _NO_CLUSTER),
        Field("gpu", "GPUSpec", IGNORED, _NO_CLUSTER),
        Field("disk", "string", IGNORED, _NO_CLUSTER),
    ),
    "GPUSpec": (Field("type", "string", IGNORED, _NO_CLUSTER), Field("number", "int64", IGNORED, _NO_CLUSTER)),
    "SchedulingSpec": (Field("node_selector", MAP, IGNORED, _NO_CLUSTER), Field("priority_class_name", "string", IGNORED, _NO_CLUSTER)),
    "Metadata": (Field("annotations", MAP, IGNORED, ""), Field("labels", MAP, IGNORED, "")),
    "Toleration": (
        Field("key", "string", IGNORED, _NO_CLUSTER),
        Field("operator", "TolerationOperator", IGNORED, "must be EXISTS or EQUAL"),
        Field("value", "string", IGNORED, _NO_CLUSTER),
        Field("effect", "TaintEffect", IGNORED, _NO_CLUSTER),
        Field("toleration_seconds", "int64", IGNORED, _NO_CLUSTER),
    ),
    "Determined": (Field("workspaces", "string[]", IGNORED, "there is no Determined cluster"),),
    "Commit": (
        Field("repo", "Repo", REFUSED, _RESTORE),
        Field("id", "string", REFUSED, _RESTORE),
        Field("branch", "Branch", REFUSED, _RESTORE),
    ),
    "Repo": (
        Field("name", "string", REFUSED, _RESTORE),
        Field("type", "string", REFUSED, _RESTORE),
        Field("project", "Project", REFUSED, _RESTORE),
    ),
    "Branch": (Field("repo", "Repo", REFUSED, _RESTORE), Field("name", "string", REFUSED, _RESTORE)),
}

ENUMS: Mapping[str, tuple[str, ...]] = {
    "TolerationOperator": ("EMPTY", "EXISTS", "EQUAL"),
    "TaintEffect": ("ALL_EFFECTS", "NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE"),
    "FileFormatType": ("UNKNOWN", "CSV", "JSON", "PARQUET"),
}

# Of these at most one may be set.
ONE_OF: Mapping[str, tuple[str, ...]] = {"Egress": ("object_storage", "sql_database")}

# What became of fields of Pachyderm 1.x, by the message they stood in.
REMOVED: Mapping[tuple[str, str], str] = {
    (REQUEST, "max_queue_size"): "it has no successor",
    (REQUEST, "standby"): "use autoscaling",
    (REQUEST, "enable_stats"): "statistics are always kept, see `list datum`",
    (REQUEST, "cache_size"): "it has no successor",
    (REQUEST, "chunk_spec"): "use datum_set_spec",
    (REQUEST, "hashtree_spec"): "it has no successor",
    (REQUEST, "incremental"): "only changed datums run in any case",
    (REQUEST, "build"): "build the image yourself and name it in transform.image",
    (REQUEST, "scale_down_threshold"): "use autoscaling",
    (REQUEST, "resource_spec"): "use resource_requests and resource_limits",
    (REQUEST, "inputs"): "use input",
    ("Transform", "build"): "build the image yourself and name it in transform.image",
    ("ParallelismSpec", "coefficient"): "use constant",
    ("Input", "git"): "put the files into a repo and use pfs",
    ("Input", "atom"): "use pfs",
    ("Spout", "overwrite"): "let the spout write with `put file` or a client",
    ("Spout", "marker"): "let the spout write with `put file` or a client",
}

# Both spellings of every field, as protobuf's JSON takes them.
BY_KEY: Mapping[str, Mapping[str, Field]] = {
    message: {key: field for field in fields for key in (field.name, field.json_name)} for message, fields in MESSAGES.items()
}


def rows(message: str = REQUEST, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Every field with its dotted path, depth first; the inputs inside inputs are named but not repeated."""
    for field in MESSAGES[message]:
        path = prefix + field.name
        yield path, field
        if field.element in MESSAGES and not (message == "Input" and field.element == "Input"):
            yield from rows(field.element, f"{path}.")
