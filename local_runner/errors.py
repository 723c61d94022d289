"""All errors that reach a user, as one tree.

    LocalRunnerError
    ├── NotFound            RepoNotFound, BranchNotFound, CommitNotFound, FileNotFound, PipelineNotFound …
    ├── AlreadyExists
    ├── Invalid             something given is wrong: a name, a path, a pattern, a spec
    │   └── SpecError       a pipeline spec is wrong; knows file, line and field
    ├── Refused             well formed, but not in the present state
    │   ├── ChangedMeanwhile    a file is not what a change of it depends on
    │   └── NotEmpty            what is to be removed has files
    ├── WorkFailed          a job or datum did not succeed
    ├── Unavailable         an engine, an executor, a program or a disk is missing or broken
    │   ├── ContentLost     the bytes of a file are missing or damaged
    │   ├── Busy            somebody else holds the home
    │   ├── DiskFull        there is no room left
    │   └── WorkerLost      a process that runs user code for the engine ended, through no fault of the datum
    └── Unsupported         a cluster could, this runner cannot

Each error carries the *name* of a gRPC code (so that no gRPC is imported here) and the exit status of the command line.
Constructors take subjects, not sentences; the wording follows Pachyderm's own (reference pfs 1.10), because its clients match on it.
"""

from __future__ import annotations

EXIT_FAILURE, EXIT_USAGE, EXIT_WORK_FAILED, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, EXIT_BUSY = 1, 2, 3, 4, 5, 75


class LocalRunnerError(Exception):
    """Base of all errors with a text for people. `hint` says what to do next."""

    grpc_code = "UNKNOWN"
    exit_status = EXIT_FAILURE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def text_for_clients(self) -> str:
        """What a cluster's clients are told, which match some texts; a person at a terminal reads `message`."""
        return self.message


class NotFound(LocalRunnerError):
    grpc_code = "NOT_FOUND"
    exit_status = EXIT_NOT_FOUND


class ProjectNotFound(NotFound):
    def __init__(self, project: str) -> None:
        super().__init__(f'project "{project}" not found')
        self.project = project


class RepoNotFound(NotFound):
    def __init__(self, repo: object, commit: str = "", branch: str = "") -> None:
        """`commit` is the id of one that was to be made in it, `branch` one that was looked for there."""
        super().__init__(f"repo {repo} not found" + (f": cannot make commit {commit}" if commit else ""))
        self.repo, self.branch = repo, branch

    @property
    def text_for_clients(self) -> str:
        return f'branch "{self.branch}" not found in repo {self.repo}' if self.branch else self.message


class BranchNotFound(NotFound):
    def __init__(self, branch: str, repo: object) -> None:
        super().__init__(f'branch "{branch}" not found in repo {repo}')
        self.branch, self.repo = branch, repo


class CommitNotFound(NotFound):
    def __init__(self, commit: object) -> None:
        super().__init__(f"commit {commit} not found")


class CommitSetNotFound(NotFound):
    def __init__(self, commit_set: str) -> None:
        super().__init__(f"no commits found for commitset {commit_set}")


class PathNotFound(NotFound):
    def __init__(self, path: str, whereabouts: object, repo: object, commit: str) -> None:
        """`commit` is the id of the one that was looked into."""
        super().__init__(f"file {path} not found in {whereabouts}")
        self.path, self.repo, self.commit = path, repo, commit

    @property
    def text_for_clients(self) -> str:
        return f"file {self.path} not found in repo {self.repo} at commit {self.commit}"


class PipelineNotFound(NotFound):
    def __init__(self, pipeline: object) -> None:
        super().__init__(f'pipeline "{pipeline}" not found')
        self.pipeline = pipeline


class JobNotFound(NotFound):
    def __init__(self, job: object) -> None:
        super().__init__(f"job {job} not found")


class DatumNotFound(NotFound):
    def __init__(self, datum: str, job: object) -> None:
        super().__init__(f"datum {datum} not found in job {job}")


class AlreadyExists(LocalRunnerError):
    grpc_code = "ALREADY_EXISTS"

    def __init__(self, subject: str, *, hint: str = "") -> None:
        super().__init__(f"{subject} already exists", hint=hint)


class Invalid(LocalRunnerError):
    grpc_code = "INVALID_ARGUMENT"
    exit_status = EXIT_USAGE


class SpecError(Invalid):
    """A pipeline spec is wrong. `where` is "file:line", `field` a dotted path; either may be empty."""

    def __init__(self, message: str, *, where: str = "", field: str = "", hint: str = "") -> None:
        prefix = f"{where}: " if where else ""
        super().__init__(prefix + message, hint=hint)
        self.where = where
        self.field = field


class Refused(LocalRunnerError):
    grpc_code = "FAILED_PRECONDITION"


class NotEmpty(Refused):
    def __init__(self, subject: object) -> None:
        super().__init__(f"{subject} has files", hint="delete them first")


class ChangedMeanwhile(Refused):
    def __init__(self, path: str) -> None:
        super().__init__(f"file {path} is not what it was expected to be", hint="look at it again: somebody changed it meanwhile")


class WorkFailed(LocalRunnerError):
    grpc_code = "ABORTED"
    exit_status = EXIT_WORK_FAILED


class Unavailable(LocalRunnerError):
    grpc_code = "UNAVAILABLE"
    exit_status = EXIT_UNAVAILABLE


class ContentLost(Unavailable):
    """The bytes of a file are missing from the store or damaged there. `content` is their hash, in hex."""

    def __init__(self, content: str, *, is_missing: bool = False, where: str = "") -> None:
        """`where` is the commit and path it was read for, if known."""
        prefix = f"{where}: " if where else ""
        super().__init__(
            f"{prefix}the content {content} is {'missing from the store' if is_missing else 'damaged'}",
            hint="run fsck --fix: it puts contents again from the files of local_runner.toml; or put that file again, or run its pipeline"
            " again with --reprocess: then it is whole everywhere",
        )
        self.content, self.is_missing = content, is_missing

    def of(self, where: object) -> ContentLost:
        """The same error, naming the file that was read."""
        return ContentLost(self.content, is_missing=self.is_missing, where=str(where))


class Busy(Unavailable):
    exit_status = EXIT_BUSY


class DiskFull(Unavailable):
    pass


class WorkerLost(Unavailable):
    pass


class ClusterLost(Unavailable):
    """The cluster that runs datums cannot be used: nothing is anybody's fault, and jobs stay as they are."""


class Unsupported(LocalRunnerError):
    grpc_code = "UNIMPLEMENTED"
