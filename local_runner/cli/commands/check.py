"""`check`: report errors in specs, support of their fields, and the datums they would make; nothing is created."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.app import App, command, raw_output
from local_runner.cli.image_notes import image_notes
from local_runner.cli.output import GREEN, RED, YELLOW, note
from local_runner.cli.sources import STDIN, read_text
from local_runner.documents.infos import datum_info_document
from local_runner.errors import Invalid, LocalRunnerError, NotFound, SpecError
from local_runner.model.globs import compile_glob
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.pipelines import PipelineSpec
from local_runner.specs.effective import BUILT_IN_CLUSTER_DEFAULTS, errors_alone, image_warnings, merged_spec, user_spec
from local_runner.specs.fields import OLDEST
from local_runner.specs.jsonnet import parse_args, render_jsonnet
from local_runner.specs.notes import notes
from local_runner.specs.parse import parse_spec, spec_errors
from local_runner.specs.read import SpecDocument, examine_documents
from local_runner.specs.uses import Use, uses
from local_runner.storage.home import find_home, is_made

if TYPE_CHECKING:
    from local_runner.api.prospects import Prospect
    from local_runner.runner import Runner

HEADER = ("  FIELD", "HERE", "PACHYDERM", "WHY")

_SHOWN = 10  # datums of a spec, without -a
_COLOURS = {"honoured": GREEN, "emulated": YELLOW, "ignored": YELLOW}


@dataclass(frozen=True, slots=True)
class CheckedSpec:
    """One spec. `spec` is there if nothing is wrong with it. A text that cannot be read any further is an error without a document."""

    source: str
    errors: tuple[LocalRunnerError, ...]
    document: SpecDocument | None = None
    uses: tuple[Use, ...] = ()
    spec: PipelineSpec | None = None
    warnings: tuple[str, ...] = ()


@command("check edges.yaml montage.yaml")
@click.argument("sources", metavar="SPEC...", nargs=-1, required=True)
@click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="A parameter of a spec that is a .jsonnet template; repeatable.")
@click.option("-a", "--all-datums", is_flag=True, help=f"List all datums, not only the first {_SHOWN}.")
@click.option("--project", "named_project", metavar="NAME", help="The project; by default the current one.")
@raw_output
def check(app: App, sources: Sequence[str], args: Sequence[str], all_datums: bool, named_project: str | None) -> None:
    """Check specs without creating anything: files, URLs or - for standard input.

    Says of every field what becomes of it here and which versions of Pachyderm know it, lists the datums that would be made of what
    the repos hold now, and warns of what would go wrong.
    """
    runner = _home(app)
    project = named_project or (app.project if runner else DEFAULT_PROJECT)
    checked = [one for source in sources for one in _examine(source, args, runner, project)]
    prospects = runner.prospects([one.spec for one in checked if one.spec]) if runner else {}
    found = [(one, prospects.get(one.spec.pipeline) if one.spec else None) for one in checked]
    if app.out.raw:
        app.out.documents(_document(one, prospect) for one, prospect in found)
    else:
        for one, prospect in found:
            for line in _text(app, one, prospect, None if all_datums else _SHOWN):
                app.out.line(line)
    if runner is None:
        note("there is no home here, so datums are not listed")
    wrong = sum(len(one.errors) for one in checked)
    if wrong:
        raise Invalid(f"{_count(wrong, 'error')} in {sum(bool(one.errors) for one in checked)} of {_count(len(checked), 'spec')}")


def _home(app: App) -> Runner | None:
    """The runner of a home that is there; looking at specs makes none."""
    return app.runner if is_made(find_home()) else None


def _examine(source: str, args: Sequence[str], runner: Runner | None, project: str) -> Iterator[CheckedSpec]:
    name = "standard input" if source == STDIN else source
    found = 0
    try:
        text = read_text(source)
        if source.endswith(".jsonnet"):
            text = render_jsonnet(text, source, parse_args(args), read_text)
        for document, errors in examine_documents(text, name):
            found += 1
            one = CheckedSpec(name, tuple(errors), document, tuple(uses(document.values)))
            yield one if one.errors else _with_meaning(one, document, runner, project)
        if not found:
            yield CheckedSpec(name, (SpecError("it holds no spec", where=name),))
    except LocalRunnerError as error:
        yield CheckedSpec(name, (error,))


def _with_meaning(one: CheckedSpec, document: SpecDocument, runner: Runner | None, project: str) -> CheckedSpec:
    """Check a spec whose fields are right as a whole: add its errors and warnings, or its typed form."""
    user = user_spec(document.values, project)
    defaults, missing = _defaults(runner, user["pipeline"]["project"]["name"])
    merged = merged_spec(user, *defaults)
    errors = [*errors_alone(merged), *spec_errors(merged, project), *_glob_errors(merged.get("input") or {}, "input")]
    warnings = [*missing, *(" ".join(text.split()).removeprefix("WARNING: ") for text in image_warnings(document.values))]
    if errors:
        located = (document.locate(error) if isinstance(error, SpecError) else error for error in errors)
        return replace(one, errors=tuple(sorted(located, key=_line)), warnings=tuple(warnings))
    spec = parse_spec(merged, project)
    if not spec.transform.cmd:
        warnings.append("there is nothing to run without transform.cmd: the pipeline is made, and fails")
    around = Path(one.source).parent if Path(one.source).is_file() else None
    return replace(one, spec=spec, warnings=(*warnings, *notes(spec), *image_notes(find_home(), spec.transform.image, around)))


def _glob_errors(node: Mapping[str, Any], at: str) -> Iterator[SpecError]:
    """The globs that do not compile. A cluster accepts them, and then every job fails."""
    for kind, value in node.items():
        if kind == "pfs" and value:
            try:
                compile_glob(value.get("glob") or "")
            except Invalid as error:
                yield SpecError(error.message, field=f"{at}.pfs.glob", hint=error.hint)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                yield from _glob_errors(child, f"{at}.{kind}[{index}]")


def _defaults(runner: Runner | None, project: str) -> tuple[tuple[dict[str, Any], dict[str, Any]], list[str]]:
    """The defaults for specs, of all projects and of one; and a warning if that one is not there."""
    if runner is None:
        return (dict(BUILT_IN_CLUSTER_DEFAULTS), {}), []
    everywhere = json.loads(runner.get_defaults())
    try:
        return (everywhere, json.loads(runner.get_defaults(project))), []
    except NotFound as error:
        return (everywhere, {}), [f"{error.message}: create it first"]


def _line(error: LocalRunnerError) -> int:
    found = re.search(r":(\d+):\d+$", error.where) if isinstance(error, SpecError) else None
    return int(found[1]) if found else 0


def _sentence(error: LocalRunnerError) -> str:
    """ "file:line:column: error: field: what is wrong; what would be right"."""
    where = error.where if isinstance(error, SpecError) else ""
    field = error.field if isinstance(error, SpecError) else ""
    text = error.message.removeprefix(f"{where}: ") if where else error.message
    parts = [where, "error", field if field and field not in text else "", "; ".join(filter(None, (text, error.hint)))]
    return ": ".join(filter(None, parts))


def _text(app: App, one: CheckedSpec, prospect: Prospect | None, limit: int | None) -> Iterator[str]:
    for error in one.errors:
        yield _sentence(error).replace("error:", app.out.paint("error:", RED), 1)
    if one.document is None:
        return
    yield f"{one.document.where()}: {_name(one.document)}"
    rows = [(f"  {use.path}", app.out.paint(use.treatment, _COLOURS.get(use.treatment, RED)), use.versions, use.why) for use in one.uses]
    yield from app.out.wrapped(HEADER, rows)
    if needed := _needed(one.uses):
        yield f"  a cluster needs Pachyderm {needed} or newer for it"
    if prospect:
        yield f"  {prospect.sentence}"
        yield from (f"    {', '.join(f'{f.source.name}:{f.path}' for f in info.datum.inputs)}" for info in prospect.datums[:limit])
        if limit is not None and len(prospect.datums) > limit:
            yield f"    … and {len(prospect.datums) - limit} more; -a lists all"
    for warning in (*one.warnings, *(prospect.warnings if prospect else ())):
        yield f"  {app.out.paint('warning:', YELLOW)} {warning}"


def _needed(uses: Sequence[Use]) -> str:
    """The first version of Pachyderm that knows all fields of a spec; "" if every version does, or none."""
    since = max((use.since for use in uses), key=lambda version: [int(part) for part in version.split(".") if part], default=OLDEST)
    return "" if since == OLDEST or any(not use.since for use in uses) else since


def _document(one: CheckedSpec, prospect: Prospect | None) -> dict[str, Any]:
    return {
        "source": one.source,
        "pipeline": _name(one.document) if one.document else "",
        "errors": [_error_document(error) for error in one.errors],
        "needs": _needed(one.uses),
        "warnings": [*one.warnings, *(prospect.warnings if prospect else ())],
        "fields": [{"field": u.path, "here": u.treatment, "since": u.since, "until": u.until, "why": u.why} for u in one.uses],
        **({"datums": [datum_info_document(info) for info in prospect.datums]} if prospect else {}),
    }


def _error_document(error: LocalRunnerError) -> dict[str, str]:
    where, field = (error.where, error.field) if isinstance(error, SpecError) else ("", "")
    return {"where": where, "field": field, "message": error.message.removeprefix(f"{where}: "), "hint": error.hint}


def _name(document: SpecDocument) -> str:
    pipeline = document.values.get("pipeline") if isinstance(document.values, dict) else None
    return str(pipeline.get("name") or "?") if isinstance(pipeline, dict) else "?"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
