"""Commands that show pipelines: lists, one whole, and the graph they form (reference pps 4.11, 5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

from local_runner.cli import spec_text
from local_runner.cli.app import App, command, everywhere, in_project, with_times
from local_runner.cli.flags import history_count
from local_runner.cli.image_notes import image_notes
from local_runner.cli.job_text import paint_state
from local_runner.cli.output import GREEN, RED, YELLOW, note
from local_runner.documents.infos import pipeline_info_document, spec_document
from local_runner.errors import Invalid
from local_runner.model.inputs import Cron, Cross, Group, Input, Join, Pfs, leaves
from local_runner.model.pipelines import PipelineInfo, PipelineState
from local_runner.model.refs import PipelineRef, parse_ancestry

HEADER = ("PROJECT", "NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "ALERTS", "DESCRIPTION")

_COLOURS = {PipelineState.RUNNING: GREEN, PipelineState.FAILURE: RED}


@command("inspect pipeline edges")
@click.argument("pipeline", metavar="PIPELINE[^N]")
@with_times
@in_project
def inspect_pipeline(app: App, pipeline: str) -> None:
    """Show a pipeline, or with ^ an earlier version of it."""
    name, ancestry = parse_ancestry(pipeline)
    info = app.runner.inspect_pipeline(app.pipeline(name), ancestry.back)
    app.out.show_one(info, pipeline_info_document, lambda info: _text(app, info))


@command("list pipeline --history all")
@click.argument("pipeline", required=False)
@click.option("-s", "--spec", is_flag=True, help="Print specs that `create pipeline` takes.")
@click.option("--history", default="none", metavar="all|N", help="Also earlier versions: all, or this many.")
@click.option("-c", "--commit", default="", metavar="COMMIT-ID", help="Only pipelines of this commit set, in their version of that time.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only pipelines in this state; repeatable.")
@everywhere
@with_times
@in_project
def list_pipeline(app: App, pipeline: str | None, spec: bool, history: str, commit: str, states: Sequence[str], all_projects: bool) -> None:
    """List pipelines, the newest first."""
    if spec and app.out.raw:
        raise Invalid("cannot set both --raw and --spec")
    wanted, of = _states(states), app.pipeline(pipeline) if pipeline else None
    listed = app.runner.list_pipeline(app.projects(all_projects), of, history_count(history), commit)
    found = [info for info in listed if not wanted or info.state in wanted]
    if spec:
        app.out.documents(map(spec_document, found))
        return
    if not app.out.raw and any(info.state is PipelineState.FAILURE for info in found):
        note("One or more pipelines have encountered errors, use inspect pipeline to get more info.")
    app.out.show(found, pipeline_info_document, HEADER, lambda info: _row(app, info))


def _states(names: Iterable[str]) -> frozenset[PipelineState]:
    known = {_word(state): state for state in PipelineState}
    found = set()
    for name in names:
        if name.lower() not in known:
            raise Invalid(f"error parsing state: state {name!r} is not a pipeline state", hint=f"it is one of {', '.join(known)}")
        found.add(known[name.lower()])
    return frozenset(found)


def _word(state: PipelineState) -> str:
    return state.value.removeprefix("PIPELINE_").lower()


def _paint(app: App, state: PipelineState) -> str:
    return app.out.paint(_word(state), _COLOURS.get(state, YELLOW))


def _row(app: App, info: PipelineInfo) -> tuple[str, ...]:
    # The cluster's client marks what runs longer than `maximum_expected_uptime`, which is zero if unset (reference pps 4.11).
    limit = float(str(info.spec.document.get("maximumExpectedUptime") or "0s").removesuffix("s"))
    alert = "*" if info.state is PipelineState.RUNNING and app.out.now - info.created > limit else ""
    state = f"{_paint(app, info.state)} / {paint_state(app, info.last_job_state)}"
    return (
        *(info.pipeline.project, info.pipeline.name, str(info.version), shorthand(info.spec.input), app.out.when(info.created)),
        *(state, alert, info.spec.description),
    )


def shorthand(node: Input | None) -> str:
    """An input expression on one line: "(default/a:/* ⨯ default/b:/)"."""
    if node is None:
        return "none"
    if isinstance(node, Pfs):
        return f"{node.project}/{node.repo}:{node.glob}"
    if isinstance(node, Cron):
        return f"{node.name}:{node.spec}"
    parts = [shorthand(child) for child in node.children]
    if isinstance(node, Group):
        return f"(Group: {', '.join(parts)})"
    sign = "⨯" if isinstance(node, Cross) else "⋈" if isinstance(node, Join) else "∪"
    return f"({f' {sign} '.join(parts)})"


def _text(app: App, info: PipelineInfo) -> Iterator[str]:
    spec, details = info.spec, pipeline_info_document(info)["details"]
    yield f"Name: {info.pipeline.name}"
    if spec.description:
        yield f"Description: {spec.description}"
    yield f"Created: {app.out.when(info.created)}"
    yield f"State: {_paint(app, info.state)}"
    yield f"Reason: {info.reason}"
    yield f"Workers Available: {details.get('workers_available', 0)}/{details.get('workers_requested', 0)}"
    yield f"Stopped: {str(info.stopped).lower()}"
    yield f"Parallelism Spec: {spec_text.parallelism(details)}"
    yield from spec_text.resources(details, "resource_requests", "resource_limits")
    yield f"Datum Timeout: {spec_text.timeout(spec.datum_timeout)}"
    yield f"Job Timeout: {spec_text.timeout(spec.job_timeout)}"
    yield f"Input: {spec_text.input_text(details)}"
    yield f"Output Branch: {spec.output_branch}"
    yield f"Transform: {spec_text.transform_text(details)}"
    yield from (f"Note: {text}" for text in image_notes(app.runner.home, spec.transform.image))
    yield from spec_text.egress(details)
    for label, text in (("User Spec", info.user_spec), ("Effective Spec", info.effective_spec)):
        if text:
            yield f"{label}: {spec_text.stored_spec(text)}"


@command("draw pipeline")
@click.option("-c", "--commit", default="", metavar="COMMIT-ID", help="Draw the graph as it was in this commit set.")
@click.option("--box-width", type=int, hidden=True, expose_value=False)
@click.option("--edge-height", type=int, hidden=True, expose_value=False)
@in_project
def draw_pipeline(app: App, commit: str) -> None:
    """Draw the graph of a project: every repo and pipeline, and below it what reads it."""
    infos = {info.pipeline: info for info in app.runner.list_pipeline(app.projects(False), commit=commit)}
    below: dict[PipelineRef, list[PipelineRef]] = {}
    for pipeline in sorted(infos):
        for leaf in leaves(infos[pipeline].spec.input):
            readers = below.setdefault(PipelineRef(leaf.project, leaf.repo), [])
            if pipeline not in readers:
                readers.append(pipeline)
    roots = sorted(node for node in {*below, *infos} if node not in infos or infos[node].spec.input is None)
    drawn: set[PipelineRef] = set()
    for root in roots:
        for line in _drawn(root, below, app.project, drawn, "", ""):
            app.out.line(line)


def _drawn(
    node: PipelineRef, below: dict[PipelineRef, list[PipelineRef]], project: str, drawn: set[PipelineRef], first: str, rest: str
) -> Iterator[str]:
    """A node and, indented, what reads it; what was drawn before is only named."""
    name = node.name if node.project == project else str(node)
    readers = below.get(node, [])
    if node in drawn and readers:
        yield f"{first}{name} …"
        return
    drawn.add(node)
    yield first + name
    for reader in readers:
        last = reader == readers[-1]
        yield from _drawn(reader, below, project, drawn, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
