"""The call about metadata: pairs of texts that people attach to things."""

from __future__ import annotations

from local_runner.errors import Invalid
from local_runner.model.metadata import Edit, Target
from local_runner.server import refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, new


def edit_metadata(call: Call, request: Message) -> Message:
    """All edits, or none of them if one cannot be made."""
    call.home.edit_metadata([_edit(edit) for edit in request.edits])
    return new("metadata.EditMetadataResponse")


def _edit(message: Message) -> Edit:
    """Raises `Invalid` for an edit that says nothing."""
    target, operation = _target(message), message.WhichOneof("op")
    match operation:
        case "replace":
            return Edit(target, dict(message.replace.replacement), replace=True)
        case "add_key":
            return Edit(target, {message.add_key.key: message.add_key.value}, only_new=True)
        case "edit_key":
            return Edit(target, {message.edit_key.key: message.edit_key.value})
        case "delete_key":
            return Edit(target, delete=(message.delete_key.key,))
    raise Invalid("validate request: invalid Edit.Op: value is required")


def _target(message: Message) -> Target:
    """Raises `Invalid` for an edit that does not say of what."""
    match message.WhichOneof("target"):
        case "project":
            return refs.picked_project(message.project)
        case "commit":
            return refs.picked_commit(message.commit)
        case "branch":
            return refs.picked_branch(message.branch)
        case "repo":
            return refs.picked_repo(message.repo)
        case "pipeline":
            return refs.picked_pipeline(message.pipeline)
        case "cluster":
            return None
    raise Invalid("validate request: invalid Edit.Target: value is required")
