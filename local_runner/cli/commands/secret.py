"""Commands about secrets: values that pipelines get as variables, kept in the home (reference pps 5.1)."""

from __future__ import annotations

import json
from typing import Any

import click

from local_runner.cli.app import App, command
from local_runner.cli.sources import STDIN, read_text
from local_runner.errors import Invalid

HEADER = ("NAME", "TYPE", "CREATED")
_TYPE = "Opaque"
_FORM = 'it has the form {"metadata": {"name": "…"}, "stringData": {"key": "value"}}'


@command("create secret -f secret.json", makes_home=True)
@click.option("-f", "--file", "source", default=STDIN, metavar="FILE", help="A Kubernetes secret as JSON; else standard input.")
def create_secret(app: App, source: str) -> None:
    """Keep a secret: a document with metadata.name, and data in base64 or stringData."""
    try:
        document: Any = json.loads(read_text(source))
    except RecursionError:
        raise Invalid(f"{source}: it is nested too deeply", hint=_FORM) from None
    except ValueError as error:
        raise Invalid(f"{source}: no JSON: {error}", hint=_FORM) from None
    if not isinstance(document, dict):
        raise Invalid(f"{source}: a secret is a JSON object", hint=_FORM)
    app.runner.create_secret(document)


@command("list secret")
def list_secret(app: App) -> None:
    """List the names of secrets."""
    app.out.table(HEADER, (_row(app, name, created) for name, created in app.runner.list_secret()))


@command("inspect secret camera-key")
@click.argument("name")
def inspect_secret(app: App, name: str) -> None:
    """Show that a secret exists, but not its values."""
    app.runner.inspect_secret(name)
    app.out.table(HEADER, [_row(app, name, dict(app.runner.list_secret()).get(name))])


@command("delete secret camera-key")
@click.argument("name")
def delete_secret(app: App, name: str) -> None:
    """Forget a secret."""
    app.runner.delete_secret(name)


def _row(app: App, name: str, created: float | None) -> tuple[str, ...]:
    return name, str(app.runner.inspect_secret(name).get("type") or _TYPE), app.out.when(created)
