"""What a pipeline is: the effective spec in typed form, and the record of one version (reference pps 5.1, 4.10)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_runner.model.inputs import Input
from local_runner.model.refs import BranchRef, PipelineRef, RepoRef

SPOUT, SERVICE, TRANSFORM = "SPOUT", "SERVICE", "TRANSFORM"
SPOUT_ENDED = "the command of the spout ended well"  # the reason of a running pipeline whose command does not run any more


@dataclass(frozen=True, slots=True)
class Secret:
    name: str
    key: str = ""
    mount_path: str = ""
    env_var: str = ""


@dataclass(frozen=True, slots=True)
class Transform:
    """What runs for a datum. `stdin` of None means /dev/null."""

    image: str = ""
    cmd: tuple[str, ...] = ()
    stdin: tuple[str, ...] = ()
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    accept_return_code: frozenset[int] = frozenset()
    user: str = ""
    working_dir: str = ""
    datum_batching: bool = False


@dataclass(frozen=True, slots=True)
class DatumSets:
    """How datums are cut into sets; zeros mean unset (reference pps 2.7)."""

    number: int = 0
    size_bytes: int = 0
    per_worker: int = 0


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """The effective spec as the engine reads it. Timeouts are seconds; `parallelism` is at least 1.

    `document` is the whole effective spec as canonical lowerCamel JSON values, for everything that is only echoed.
    """

    pipeline: PipelineRef
    transform: Transform
    input: Input | None
    document: Mapping[str, Any]
    description: str = ""
    output_branch: str = "master"
    parallelism: int = 1
    datum_sets: DatumSets | None = None
    datum_tries: int = 3
    datum_timeout: float | None = None
    job_timeout: float | None = None
    reprocess_every_job: bool = False
    salt: str = ""
    s3_out: bool = False
    egress: Mapping[str, Any] | None = None
    service: Mapping[str, Any] | None = None
    spout: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """ "SPOUT", "SERVICE" or "TRANSFORM"."""
        if self.spout is not None:
            return SPOUT
        return SERVICE if self.service is not None else TRANSFORM

    @property
    def output(self) -> BranchRef:
        return BranchRef(self.pipeline.repo, self.output_branch)

    @property
    def meta(self) -> BranchRef:
        return BranchRef(RepoRef(self.pipeline.project, self.pipeline.name, "meta"), self.output_branch)

    @property
    def spec_branch(self) -> BranchRef:
        return BranchRef(RepoRef(self.pipeline.project, self.pipeline.name, "spec"), "master")


class PipelineState(enum.Enum):
    STARTING = "PIPELINE_STARTING"
    RUNNING = "PIPELINE_RUNNING"
    # It cannot work at all, for instance has no command; left only by an update.
    FAILURE = "PIPELINE_FAILURE"
    # Stopped by a person.
    PAUSED = "PIPELINE_PAUSED"
    # With autoscaling, and nothing to do.
    STANDBY = "PIPELINE_STANDBY"
    # What becomes of pods. One may ask for pipelines in these states, and none is.
    RESTARTING = "PIPELINE_RESTARTING"
    CRASHING = "PIPELINE_CRASHING"


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """One version of a pipeline. `salt` is what its datum hashes are made with; `spec.salt` only what the spec asked for."""

    spec: PipelineSpec
    version: int
    spec_commit: str
    state: PipelineState
    reason: str
    stopped: bool
    salt: str
    created: float
    updated: float
    user_spec: str
    effective_spec: str
    last_job_state: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def pipeline(self) -> PipelineRef:
        return self.spec.pipeline
