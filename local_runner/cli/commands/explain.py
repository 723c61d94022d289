"""`explain spec`: list the fields of a pipeline spec, their support here, and their versions."""

from __future__ import annotations

import difflib

import click

from local_runner.cli.app import App, command, raw_output
from local_runner.errors import Invalid
from local_runner.specs.fields import Field, lower_camel, rows

HEADER = ("FIELD", "TYPE", "HERE", "SINCE", "WHY")


@command("explain spec input.pfs")
@click.argument("field", default="")
@raw_output
def explain_spec(app: App, field: str) -> None:
    """Say what becomes of the fields of a spec: honoured, emulated by other means, ignored, or refused.

    FIELD is one of them, with all below it: transform, input.pfs.glob. SINCE is the first version of Pachyderm that has it, from 1.13 on.
    """

    def document(row: tuple[str, Field]) -> dict[str, str]:
        return dict(zip(("field", "type", "here", "since", "why"), cells(row), strict=True))

    def cells(row: tuple[str, Field]) -> tuple[str, ...]:
        path, field = row
        return path, field.type, field.treatment, field.since, field.why

    app.out.show(_below(field), document, HEADER, cells)


def _below(name: str) -> list[tuple[str, Field]]:
    """The field, in either spelling, and those inside it; all fields for "". Raises `Invalid` for a name that is none."""
    known = {lower_camel(path): (path, field) for path, field in rows()}
    wanted = lower_camel(name)
    found = [row for path, row in known.items() if not name or path == wanted or path.startswith(f"{wanted}.")]
    if not found:
        near = difflib.get_close_matches(wanted, known, 1)
        raise Invalid(f'a spec has no field "{name}"', hint=f"did you mean {known[near[0]][0]}?" if near else "explain spec lists all")
    return found
