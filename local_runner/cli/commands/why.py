"""`why`: trace a file back to its sources, or forward to everything made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from local_runner.cli.app import App, command, in_project, with_times
from local_runner.cli.output import GREEN, RED, YELLOW
from local_runner.documents.why import file_document
from local_runner.model.refs import CommitRef
from local_runner.model.units import human_size

if TYPE_CHECKING:
    from local_runner.pipelines.why import DatumNode, FileNode

_SHOWN = 10  # branches of one thing, unless all are asked for
_NAMED = 3  # files of a folder
_COLOURS = {"success": GREEN, "skipped": GREEN, "failed": RED}


@command("why select@master:/best.pkl")
@click.argument("file", metavar="REPO@COMMIT:PATH")
@click.option("--forward", is_flag=True, help="Show what was made of the file: the datums that read it, the files these wrote, and so on.")
@click.option("--depth", type=click.IntRange(1), metavar="N", help="Follow at most so many datums, one after the other.")
@click.option("-a", "--all", "everything", is_flag=True, help="Every branch of the tree, however many there are.")
@with_times
@in_project
def why(app: App, file: str, forward: bool, depth: int | None, everything: bool) -> None:
    """Say where a file or folder comes from: the datum that wrote it, its input files with their commits, and so on to the sources."""
    found = app.runner.why(app.file(file), forward=forward)
    if app.out.raw:
        app.out.documents([file_document(found, depth)])
        return
    tree = _of_file(app, found, depth, forward)
    app.out.line(tree.text)
    for line in _drawn(tree.below, "", None if everything else _SHOWN):
        app.out.line(line)


class _Tree(NamedTuple):
    text: str
    below: Sequence[_Tree] = ()


def _of_file(app: App, node: FileNode, depth: int | None, forward: bool) -> _Tree:
    text = f"{_commit(app, node.commit)}:{node.path} {human_size(node.size)}"
    if node.gone:
        return _Tree(f"{text} ({node.gone})")
    below = [] if depth == 0 else [_of_datum(app, datum, depth and depth - 1, forward) for datum in node.datums]
    for put in node.put:
        names = f"{_names(put.paths)} " if node.path.endswith("/") else ""
        words = f": {put.description}" if put.description else ""
        below.append(_Tree(f"{names}put in {_commit(app, put.commit)} {app.out.when(put.time)}{words}"))
    return _Tree(text, below)


def _of_datum(app: App, node: DatumNode, depth: int | None, forward: bool) -> _Tree:
    where = f"{app.out.paint(node.pipeline.name, YELLOW)}@{node.job}" if node.job else node.pipeline.name
    text = f"datum {node.id} of {where}: {app.out.paint(node.state, _COLOURS.get(node.state, YELLOW))}"
    if node.written > 1:
        text += f", wrote {node.written} of these files"
    if node.again:
        return _Tree(f"{text} (see above)")
    return _Tree(text, [_of_file(app, file, depth, forward) for file in node.files])


def _names(paths: Sequence[str]) -> str:
    more = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _commit(app: App, commit: CommitRef) -> str:
    return f"{commit.repo.name if commit.repo.project == app.project else commit.repo}@{commit.id}"


def _drawn(trees: Sequence[_Tree], indent: str, most: int | None) -> Iterator[str]:
    shown = list(trees[:most])
    if len(trees) > len(shown):
        shown.append(_Tree(f"… and {len(trees) - len(shown)} more; --all shows them"))
    for number, tree in enumerate(shown, 1):
        last = number == len(shown)
        yield f"{indent}{'└─ ' if last else '├─ '}{tree.text}"
        yield from _drawn(tree.below, indent + ("   " if last else "│  "), most)
