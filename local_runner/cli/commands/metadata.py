"""The command about metadata: pairs of texts that people attach to things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import click

from local_runner.cli.app import App, command, in_project
from local_runner.errors import Invalid
from local_runner.model.metadata import Edit, Target

_HINT = 'a pair is key=value, several are key=value;key=value or {"key": "value"}; what holds one of = ; { } stands in quotes'
_TEXT = r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^=;{}"']*?))\s*"""
_PAIR = re.compile(rf"{_TEXT}={_TEXT}(?:;|$)", re.DOTALL)


@command("edit metadata repo images add camera=front commit images@master edit checked=yes", makes_home=True)
@click.argument("edits", nargs=-1, required=True, metavar="{KIND NAME OPERATION DATA}…")
@in_project
def edit_metadata(app: App, edits: tuple[str, ...]) -> None:
    """Change pairs of texts that are attached to things: all edits are made, or none.

    KIND is cluster, project, repo, branch, commit or pipeline; NAME names the thing, of a cluster anything. OPERATION is add (a key that is
    not there yet), edit, delete or replace; DATA is key=value, for delete a key, for replace all pairs. `inspect` shows them with --raw.
    """
    if len(edits) % 4:
        raise Invalid("must supply arguments in multiples of 4", hint="each edit has a kind, a name, an operation and data")
    groups = [edits[at : at + 4] for at in range(0, len(edits), 4)]
    app.runner.edit_metadata([_edit(_target(app, kind.lower(), name), operation, data) for kind, name, operation, data in groups])


def _target(app: App, kind: str, name: str) -> Target:
    match kind:
        case "cluster":
            return None
        case "project":
            return name
        case "repo":
            return app.repo(name)
        case "branch":
            return app.branch(name)
        case "commit":
            return app.commit(name)
        case "pipeline":
            return app.pipeline(name)
    raise Invalid(f'unknown object type "{kind}"', hint="cluster, project, repo, branch, commit or pipeline")


def _edit(target: Target, operation: str, data: str) -> Edit:
    match operation.lower():
        case "add":
            return Edit(target, _one(data), only_new=True)
        case "edit":
            return Edit(target, _one(data))
        case "delete":
            return Edit(target, delete=(data,))
        case "replace":
            return Edit(target, _pairs(data), replace=True)
    raise Invalid(f'unknown operation "{operation}"', hint="add, edit, delete or replace")


def _one(text: str) -> Mapping[str, str]:
    found = _pairs(text)
    if len(found) != 1 or text.lstrip().startswith("{"):
        raise Invalid(f"one pair is expected, not {text}", hint=_HINT)
    return found


def _pairs(text: str) -> Mapping[str, str]:
    """Raises `Invalid` for what are no pairs, and for a key that comes twice."""
    found: dict[str, str] = {}
    for key, value in _json(text) if text.lstrip().startswith("{") else _listed(text):
        if key in found:
            raise Invalid(f'duplicate key "{key}"')
        found[key] = value
    return found


def _json(text: str) -> list[tuple[str, str]]:
    try:
        pairs: list[tuple[str, str]] = json.loads(text, object_pairs_hook=list)
    except ValueError as error:
        raise Invalid(f"no JSON: {error}", hint=_HINT) from None
    if not all(isinstance(value, str) for _, value in pairs):
        raise Invalid("values of metadata are texts", hint=_HINT)
    return pairs


def _listed(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = _PAIR.match(text, at)
        if found is None or not found[0]:
            raise Invalid(f"no pair: {text[at:].strip()}", hint=_HINT)
        escaped_key, quoted_key, key, escaped_value, quoted_value, value = found.groups()
        yield _text(escaped_key, quoted_key, key), _text(escaped_value, quoted_value, value)
        at = found.end()


def _text(escaped: str | None, quoted: str | None, bare: str | None) -> str:
    if escaped is not None:
        text: str = json.loads(f'"{escaped}"', strict=False)
        return text
    return quoted.replace("\\'", "'") if quoted is not None else bare or ""
