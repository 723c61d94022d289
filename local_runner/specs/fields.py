"""The table of all fields of a pipeline spec: name, type, support here, first version (reference pps 1.1, 2.9, 5.1).

The reader checks specs against this table, the echo is spelled by it, and `explain spec` and `check` print it. The versions are those
of the releases whose `pps.proto` and `pfs.proto` first have the field, 1.13 to 2.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

HONOURED = "honoured"  # means what it means on a cluster
EMULATED = "emulated"  # has its effect here by other means
IGNORED = "ignored"  # taken, stored and echoed, without effect
REFUSED = "refused"  # an error when it is set

OLDEST, NEWEST = "1.13", "2.12"  # the versions of Pachyderm that are told apart

REQUEST = "CreatePipelineRequest"
DEFAULTS = "ClusterDefaults"


def lower_camel(name: str) -> str:
    """`datumTries` for `datum_tries`, as protobuf's JSON spells it."""
    return re.sub("_(.)", lambda found: found[1].upper(), name)


class Field(NamedTuple):
    """`type` is a JSON type of protobuf (`string`, `int64`, `duration` …) or a name in `MESSAGES` or `ENUMS`, with `[]` for a list.

    `since` is the first version of Pachyderm that has it; `OLDEST` also stands for all before.
    """

    name: str
    type: str
    treatment: str
    why: str
    since: str = OLDEST

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

_HERE_ONLY = "copies to a path or file:// URL of this machine, nowhere else"
_NO_CLUSTER = "there is no cluster to schedule on"
_NO_LABELS = "there are no Kubernetes objects to label"
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
        Field("s3_out", "bool", HONOURED, "output is what is put into the bucket out; there is no /pfs/out, and nothing is skipped"),
        Field("resource_requests", "ResourceSpec", EMULATED, "what a container has in any case; elsewhere without effect"),
        Field("resource_limits", "ResourceSpec", EMULATED, "of a container; the sandbox and processes know that of memory alone"),
        Field("sidecar_resource_limits", "ResourceSpec", IGNORED, "there is no sidecar"),
        Field("input", "Input", HONOURED, "which files make a datum"),
        Field("description", "string", HONOURED, "shown in lists"),
        Field("reprocess", "bool", HONOURED, "overrides the command line, also for the documents that follow"),
        Field("service", "Service", EMULATED, "the process runs on this machine, while an engine is up, and listens where it likes"),
        Field("spout", "Spout", HONOURED, "a process that writes commits by itself, while an engine is up"),
        Field("datum_set_spec", "DatumSetSpec", HONOURED, "how datums are cut into sets", "2.0"),
        Field("datum_timeout", "duration", HONOURED, "for each attempt"),
        Field("job_timeout", "duration", HONOURED, "from the start of the job's datums"),
        Field("salt", "string", HONOURED, "of a new pipeline; an update keeps the old one"),
        Field("datum_tries", "int64", HONOURED, "default 3"),
        Field("scheduling_spec", "SchedulingSpec", IGNORED, _NO_CLUSTER),
        Field("pod_spec", "string", IGNORED, "there are no pods; it must be JSON"),
        Field("pod_patch", "string", IGNORED, "there are no pods; it must be JSON"),
        Field("spec_commit", "Commit", REFUSED, _RESTORE),
        Field("metadata", "Metadata", EMULATED, f"{_NO_LABELS}, but one annotation counts"),
        Field("reprocess_spec", "string", HONOURED, "until_success (default) or every_job"),
        Field("autoscaling", "bool", EMULATED, "without work it stands by; workers start and end with the work in any case"),
        Field("tolerations", "Toleration[]", IGNORED, _NO_CLUSTER, "2.5"),
        Field("sidecar_resource_requests", "ResourceSpec", IGNORED, "there is no sidecar", "2.6"),
        Field("dry_run", "bool", IGNORED, "use the flag --dry-run", "2.7"),
        Field("determined", "Determined", IGNORED, "there is no Determined cluster", "2.7"),
        Field("maximum_expected_uptime", "duration", HONOURED, "the ALERTS column of list pipeline", "2.9"),
    ),
    DEFAULTS: (Field("create_pipeline_request", REQUEST, HONOURED, "merged under every spec", "2.8"),),
    "Pipeline": (
        Field("project", "Project", HONOURED, "default: the current project", "2.5"),
        Field("name", "string", HONOURED, "also the name of the output repo"),
    ),
    "Project": (Field("name", "string", HONOURED, "", "2.5"),),
    "TFJob": (Field("tf_job", "string", REFUSED, "clusters refuse it too"),),
    "Transform": (
        Field("image", "string", EMULATED, "a folder under [images], an engine's image, one that is kept here, or this host (IMAGES.md)"),
        Field("cmd", "string[]", HONOURED, "run as it is, without a shell"),
        Field("err_cmd", "string[]", HONOURED, "run after each failed attempt"),
        Field("env", MAP, HONOURED, ""),
        Field("secrets", "SecretMount[]", EMULATED, "those of `create secret`; of one that is missing nothing is there"),
        Field("image_pull_secrets", "string[]", IGNORED, "the local engine's own login is used"),
        Field("stdin", "string[]", HONOURED, "lines given to cmd"),
        Field("err_stdin", "string[]", HONOURED, "lines given to err_cmd"),
        Field("accept_return_code", "int64[]", HONOURED, "exit codes that count as success"),
        Field("debug", "bool", IGNORED, "has no effect on a cluster either"),
        Field("user", "string", EMULATED, "where root runs the engine, or podman the container; else the job's log says that it is not"),
        Field("working_dir", "string", HONOURED, ""),
        Field("dockerfile", "string", IGNORED, "has no effect on a cluster either"),
        Field("memory_volume", "bool", IGNORED, "scratch space lies on disk", "2.4"),
        Field("datum_batching", "bool", HONOURED, "one process asks for one datum after the other", "2.5"),
    ),
    "SecretMount": (
        Field("name", "string", EMULATED, "one of `list secret`"),
        Field("key", "string", EMULATED, "which of its values the variable gets"),
        Field("mount_path", "string", EMULATED, "a folder with a file for each key, read-only"),
        Field("env_var", "string", EMULATED, "a variable of user code"),
    ),
    "ParallelismSpec": (Field("constant", "uint64", HONOURED, "number of workers, default 1"),),
    "DatumSetSpec": (
        Field("number", "int64", HONOURED, "datums in a set", "2.0"),
        Field("size_bytes", "int64", HONOURED, "input of a set; wins over number", "2.0"),
        Field("per_worker", "int64", HONOURED, "sets for each worker; 0 is taken as 4", "2.0"),
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
        Field("project", "string", HONOURED, "default: that of the pipeline", "2.5"),
        Field("name", "string", HONOURED, "the folder under /pfs; default: the repo"),
        Field("repo", "string", HONOURED, ""),
        Field("repo_type", "string", EMULATED, "`meta` and `spec` read that repo; clusters read the output whatever it says", "2.0"),
        Field("branch", "string", HONOURED, "default master"),
        Field("commit", "string", REFUSED, "clusters refuse it too: use a branch"),
        Field("glob", "string", HONOURED, "each match is a datum"),
        Field("join_on", "string", HONOURED, "captures of the glob, as in $1"),
        Field("outer_join", "bool", HONOURED, "keep files without a partner"),
        Field("group_by", "string", HONOURED, "captures of the glob, as in $1"),
        Field("lazy", "bool", HONOURED, "named pipes in place of files"),
        Field("empty_files", "bool", HONOURED, "names without content"),
        Field("s3", "bool", HONOURED, "a bucket at $S3_ENDPOINT in place of files"),
        Field("trigger", "Trigger", HONOURED, "reads a branch that moves on conditions"),
        Field("propagation_spec", "PropagationSpec", HONOURED, "", "2.12"),
        Field("reference", "bool", HONOURED, "content is left out of what decides about skipping", "2.12"),
    ),
    "Trigger": (
        Field("branch", "string", HONOURED, "the watched branch, default master"),
        Field("all", "bool", HONOURED, "all conditions at once"),
        Field("rate_limit_spec", "string", HONOURED, "at most this often: a cron expression", "2.6.6"),
        Field("size", "string", HONOURED, "so much more data, as in 10M"),
        Field("commits", "int64", HONOURED, "so many commits"),
        Field("cron_spec", "string", HONOURED, "on a schedule; before Pachyderm 2.6.6 it meant rate_limit_spec"),
    ),
    "PropagationSpec": (Field("never", "bool", HONOURED, "new commits start no job", "2.12"),),
    "CronInput": (
        Field("name", "string", HONOURED, "the folder under /pfs"),
        Field("project", "string", HONOURED, "default: that of the pipeline", "2.5"),
        Field("repo", "string", HONOURED, "default <pipeline>_<name>; made with the pipeline"),
        Field("commit", "string", IGNORED, "clusters ignore it too"),
        Field("spec", "string", HONOURED, "a cron expression, @every 10m, @never; UTC"),
        Field("overwrite", "bool", HONOURED, "keep only the newest tick"),
        Field("start", "timestamp", HONOURED, "first tick after this time; default: now"),
    ),
    "Egress": (
        Field("URL", "string", EMULATED, _HERE_ONLY),
        Field("object_storage", "ObjectStorageEgress", EMULATED, "as URL", "2.2"),
        Field("sql_database", "SQLDatabaseEgress", IGNORED, "nothing leaves this machine", "2.2"),
    ),
    "ObjectStorageEgress": (Field("url", "string", EMULATED, _HERE_ONLY, "2.2"),),
    "SQLDatabaseEgress": (
        Field("url", "string", IGNORED, "nothing leaves this machine", "2.2"),
        Field("file_format", "FileFormat", IGNORED, "nothing leaves this machine", "2.2"),
        Field("secret", "EgressSecret", IGNORED, "must be given all the same", "2.2"),
    ),
    "FileFormat": (
        Field("type", "FileFormatType", IGNORED, "", "2.2"),
        Field("columns", "string[]", IGNORED, "", "2.2"),
    ),
    "EgressSecret": (Field("name", "string", IGNORED, "", "2.2"), Field("key", "string", IGNORED, "", "2.2")),
    "Service": (
        Field("internal_port", "int32", EMULATED, "the port the process opens, on this machine"),
        Field("external_port", "int32", IGNORED, "nothing is forwarded"),
        Field("ip", "string", IGNORED, "nothing is forwarded"),
        Field("type", "string", IGNORED, "ClusterIP, LoadBalancer or NodePort (default)"),
    ),
    "Spout": (Field("service", "Service", EMULATED, "as service"),),
    "ResourceSpec": (
        Field("cpu", "float", EMULATED, "cores, of a container only"),
        Field("memory", "string", EMULATED, "of a container; a limit also of each process in the sandbox and, on Linux, of each process"),
        Field("gpu", "GPUSpec", EMULATED, "of a container only"),
        Field("disk", "string", IGNORED, "a worker may fill the disk"),
    ),
    "GPUSpec": (
        Field("type", "string", IGNORED, "any there are"),
        Field("number", "int64", EMULATED, "so many are shown to a container"),
    ),
    "SchedulingSpec": (Field("node_selector", MAP, IGNORED, _NO_CLUSTER), Field("priority_class_name", "string", IGNORED, _NO_CLUSTER)),
    "Metadata": (
        Field("annotations", MAP, EMULATED, '`local_runner/network: "true"` gives user code the network; others are only stored'),
        Field("labels", MAP, IGNORED, _NO_LABELS),
    ),
    "Toleration": (
        Field("key", "string", IGNORED, _NO_CLUSTER, "2.5"),
        Field("operator", "TolerationOperator", IGNORED, "must be EXISTS or EQUAL", "2.5"),
        Field("value", "string", IGNORED, _NO_CLUSTER, "2.5"),
        Field("effect", "TaintEffect", IGNORED, _NO_CLUSTER, "2.5"),
        Field("toleration_seconds", "int64", IGNORED, _NO_CLUSTER, "2.5"),
    ),
    "Determined": (Field("workspaces", "string[]", IGNORED, "there is no Determined cluster", "2.7"),),
    "Commit": (
        Field("repo", "Repo", REFUSED, _RESTORE),
        Field("id", "string", REFUSED, _RESTORE),
        Field("branch", "Branch", REFUSED, _RESTORE, "2.0"),
    ),
    "Repo": (
        Field("name", "string", REFUSED, _RESTORE),
        Field("type", "string", REFUSED, _RESTORE, "2.0"),
        Field("project", "Project", REFUSED, _RESTORE, "2.5"),
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


# Both spellings of every field, as protobuf's JSON takes them.
BY_KEY: Mapping[str, Mapping[str, Field]] = {
    message: {key: field for field in fields for key in (field.name, field.json_name)} for message, fields in MESSAGES.items()
}


def inside(parent: Field, field: Field) -> Field:
    """A field of a nested message; without effect if the field around it has none."""
    return field._replace(treatment=IGNORED, why=parent.why) if parent.treatment == IGNORED != field.treatment else field


def rows() -> Iterator[tuple[str, Field]]:
    """Every field with its dotted path, depth first; the inputs inside inputs are named but not repeated."""
    yield from _below(Field("", REQUEST, HONOURED, ""), "")


def _below(parent: Field, prefix: str) -> Iterator[tuple[str, Field]]:
    for field in MESSAGES[parent.element]:
        field, path = inside(parent, field), prefix + field.name
        yield path, field
        if field.element in MESSAGES and not (parent.element == "Input" and field.element == "Input"):
            yield from _below(field, f"{path}.")
