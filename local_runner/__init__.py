"""Run Pachyderm pipelines on your own machine: `Runner.open()` opens a home; references, results and errors are here, too.

What is public is listed in docs/API.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_runner.api.stop import Stop, Stopped
    from local_runner.errors import (
        AlreadyExists,
        BranchNotFound,
        Busy,
        ChangedMeanwhile,
        ClusterLost,
        CommitNotFound,
        CommitSetNotFound,
        ContentLost,
        DatumNotFound,
        DiskFull,
        Invalid,
        JobNotFound,
        LocalRunnerError,
        NotEmpty,
        NotFound,
        PathNotFound,
        PipelineNotFound,
        ProjectNotFound,
        Refused,
        RepoNotFound,
        SpecError,
        Unavailable,
        Unsupported,
        WorkerLost,
        WorkFailed,
    )
    from local_runner.model.datums import DatumInfo, DatumState
    from local_runner.model.jobs import JobInfo, JobSetInfo, JobState
    from local_runner.model.pipelines import PipelineInfo, PipelineState
    from local_runner.model.refs import (
        BranchRef,
        CommitQuery,
        CommitRef,
        FileQuery,
        JobRef,
        PipelineRef,
        RepoRef,
        parse_branch,
        parse_commit,
        parse_file,
        parse_repo,
    )
    from local_runner.model.repos import BranchInfo, CommitInfo, CommitSetInfo, CommitState, FileInfo, ProjectInfo, RepoInfo, Trigger
    from local_runner.runner import Runner

    __version__: str

# Where each name is from. They are imported when they are asked for: the store would make `--help` twice as slow.
_NAMES = {
    "local_runner.api.stop": (
        "Stop",
        "Stopped",
    ),
    "local_runner.errors": (
        "AlreadyExists",
        "BranchNotFound",
        "Busy",
        "ChangedMeanwhile",
        "ClusterLost",
        "CommitNotFound",
        "CommitSetNotFound",
        "ContentLost",
        "DatumNotFound",
        "DiskFull",
        "Invalid",
        "JobNotFound",
        "LocalRunnerError",
        "NotEmpty",
        "NotFound",
        "PathNotFound",
        "PipelineNotFound",
        "ProjectNotFound",
        "Refused",
        "RepoNotFound",
        "SpecError",
        "Unavailable",
        "Unsupported",
        "WorkFailed",
        "WorkerLost",
    ),
    "local_runner.model.datums": (
        "DatumInfo",
        "DatumState",
    ),
    "local_runner.model.jobs": (
        "JobInfo",
        "JobSetInfo",
        "JobState",
    ),
    "local_runner.model.pipelines": (
        "PipelineInfo",
        "PipelineState",
    ),
    "local_runner.model.refs": (
        "BranchRef",
        "CommitQuery",
        "CommitRef",
        "FileQuery",
        "JobRef",
        "PipelineRef",
        "RepoRef",
        "parse_branch",
        "parse_commit",
        "parse_file",
        "parse_repo",
    ),
    "local_runner.model.repos": (
        "BranchInfo",
        "CommitInfo",
        "CommitSetInfo",
        "CommitState",
        "FileInfo",
        "ProjectInfo",
        "RepoInfo",
        "Trigger",
    ),
    "local_runner.runner": ("Runner",),
}

__all__ = [
    "AlreadyExists",
    "BranchInfo",
    "BranchNotFound",
    "BranchRef",
    "Busy",
    "ChangedMeanwhile",
    "ClusterLost",
    "CommitInfo",
    "CommitNotFound",
    "CommitQuery",
    "CommitRef",
    "CommitSetInfo",
    "CommitSetNotFound",
    "CommitState",
    "ContentLost",
    "DatumInfo",
    "DatumNotFound",
    "DatumState",
    "DiskFull",
    "FileInfo",
    "FileQuery",
    "Invalid",
    "JobInfo",
    "JobNotFound",
    "JobRef",
    "JobSetInfo",
    "JobState",
    "LocalRunnerError",
    "NotEmpty",
    "NotFound",
    "PathNotFound",
    "PipelineInfo",
    "PipelineNotFound",
    "PipelineRef",
    "PipelineState",
    "ProjectInfo",
    "ProjectNotFound",
    "Refused",
    "RepoInfo",
    "RepoNotFound",
    "RepoRef",
    "Runner",
    "SpecError",
    "Stop",
    "Stopped",
    "Trigger",
    "Unavailable",
    "Unsupported",
    "WorkFailed",
    "WorkerLost",
    "__version__",
    "parse_branch",
    "parse_commit",
    "parse_file",
    "parse_repo",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or look up the version, at its first use."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version(__name__)
    module = next((module for module, names in _NAMES.items() if name in names), "")
    if not module:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
