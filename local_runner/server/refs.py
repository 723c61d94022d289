"""From messages to refs and queries: what a client means by a repo, branch, commit, file, pipeline, job or picker."""

from __future__ import annotations

from collections.abc import Iterable

from local_runner.errors import Invalid
from local_runner.model.names import DEFAULT_PROJECT, is_id
from local_runner.model.refs import (
    FILE_SETS,
    USER,
    Ancestry,
    BranchRef,
    CommitQuery,
    FileQuery,
    JobRef,
    PipelineRef,
    RepoRef,
    parse_ancestry,
)
from local_runner.server.schema import Message


def given(message: Message, *fields: str) -> Message:
    """The message behind these fields. Raises `Invalid` where one of them is not set."""
    for field in fields:
        if not message.HasField(field):
            name = message.DESCRIPTOR.name
            raise Invalid(f"validate request: invalid {name}.{_camel(field)}: value is required")
        message = getattr(message, field)
    return message


def project(message: Message) -> str:
    """The name of a project; that of a request which names none is the default one."""
    return message.name or DEFAULT_PROJECT


def projects(messages: Iterable[Message]) -> list[str] | None:
    """Names of projects; None, which means all, for an empty list."""
    return [project(message) for message in messages] or None


def repo(message: Message) -> RepoRef:
    return RepoRef(project(message.project), message.name, message.type or USER)


def branch(message: Message) -> BranchRef:
    return BranchRef(repo(message.repo), message.name)


def commit(message: Message) -> CommitQuery:
    """A commit by its id or its branch, either with an ancestry suffix; what is no id is taken for a branch. Raises `Invalid`."""
    found = message.repo if message.HasField("repo") else message.branch.repo
    if not found.name:
        raise Invalid("commit repo cannot be nil")
    of = repo(found)
    name, ancestry = parse_ancestry(message.id or message.branch.name)
    if message.id and is_id(name):
        return CommitQuery(of, id=name, ancestry=ancestry)
    if message.id and message.branch.name:
        raise Invalid(f"invalid commit ID {name!r}, and branch {message.branch.name!r} specified", hint="a commit has one of them")
    return CommitQuery(of, name, ancestry=ancestry)


def commit_or_none(message: Message, field: str) -> CommitQuery | None:
    """The commit in a field that may be left out, or be there without saying anything."""
    value = getattr(message, field)
    says = value.id or value.branch.name
    return commit(value) if message.HasField(field) and says else None


def file(message: Message) -> FileQuery:
    """A file; its path may lack the leading slash."""
    return FileQuery(commit(given(message, "commit")), path(message.path))


def file_set(id: str) -> CommitQuery:
    """A file set as those who read know it."""
    return CommitQuery(RepoRef(DEFAULT_PROJECT, FILE_SETS), id=id)


def path(text: str) -> str:
    """A path as clients send it, with one leading slash."""
    return "/" + text.lstrip("/")


def pipeline(message: Message) -> PipelineRef:
    return PipelineRef(project(message.project), message.name)


def job(message: Message) -> JobRef:
    """Raises `Invalid` for a job that says not which."""
    return JobRef(pipeline(given(message, "pipeline")), message.id)


# -- pickers -----------------------------------------------------------------------------------------------------------


def picked_project(message: Message) -> str:
    return message.name or DEFAULT_PROJECT


def picked_repo(message: Message) -> RepoRef:
    name = given(message, "name")
    return RepoRef(picked_project(name.project), name.name, name.type or USER)


def picked_pipeline(message: Message) -> PipelineRef:
    name = given(message, "name")
    return PipelineRef(picked_project(name.project), name.name)


def picked_branch(message: Message) -> BranchRef:
    name = given(message, "name")
    return BranchRef(picked_repo(given(name, "repo")), name.name)


def picked_commit(message: Message) -> CommitQuery:
    """Raises `Invalid` for a picker that picks nothing."""
    kind = message.WhichOneof("picker")
    if kind == "branch_head":
        head = picked_branch(message.branch_head)
        return CommitQuery(head.repo, head.name)
    if kind == "id":
        return CommitQuery(picked_repo(given(message.id, "repo")), id=message.id.id)
    if kind == "ancestor":
        start = picked_commit(given(message.ancestor, "start"))
        back = start.ancestry.back + message.ancestor.offset
        return CommitQuery(start.repo, start.branch, start.id, Ancestry(start.ancestry.from_root, back))
    if kind == "branch_root":
        root = picked_branch(given(message.branch_root, "branch"))
        return CommitQuery(root.repo, root.name, ancestry=Ancestry(message.branch_root.offset))
    raise Invalid("commit picker is empty", hint="it has a branch_head, an id, an ancestor or a branch_root")


def _camel(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))
