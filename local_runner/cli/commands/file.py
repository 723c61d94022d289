"""Commands that read, copy, compare and delete files (reference pfs 1.6, 1.7, 1.11)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import click

from local_runner.cli.app import NUMBER, App, command, in_project, raw_output, with_times
from local_runner.cli.copy_out import Below
from local_runner.cli.flags import history_count
from local_runner.cli.meter import Meter, with_progress
from local_runner.cli.output import note
from local_runner.cli.sources import is_url
from local_runner.documents.infos import file_info_document
from local_runner.errors import Invalid, LocalRunnerError, NotFound, Unsupported
from local_runner.model.names import clean_path
from local_runner.model.refs import FileQuery
from local_runner.model.repos import FileInfo
from local_runner.model.units import human_size

HISTORY_HEADER = ("COMMIT", "NAME", "TYPE", "COMMITTED", "SIZE")

_FILE = "REPO@COMMIT:PATH"


@command("get file images@master:/liberty.jpg -o liberty.jpg")
@click.argument("file", metavar=_FILE)
@click.option("-o", "--output", "target", default="", metavar="PATH", help="Write there; else to standard output.")
@click.option("-r", "--recursive", is_flag=True, help="Get a folder with all that is below it; needs -o.")
@click.option("--offset", default=0, type=NUMBER, metavar="BYTES", help="Begin at this byte of the file.")
@click.option("--retry", is_flag=True, help="Append what is missing to a file that was got in part.")
@with_progress
@in_project
def get_file(app: App, file: str, target: str, recursive: bool, offset: int, retry: bool, progress: bool | None) -> None:
    """Get a file, or with -r a folder, out of a repo."""
    query = _file_to_get(app, file)
    if is_url(target):
        raise Unsupported(f"cannot write to {target}", hint="get it into a local file, and copy that")
    if offset < 0:
        raise Invalid(f"the offset cannot be negative: {offset}")
    if recursive:
        if not target:
            raise Invalid("an output path needs to be specified when using the --recursive flag", hint="add -o FOLDER")
        _get_folder(app, query, Path(target), progress)
    elif not target:
        sys.stdout.flush()
        for chunk in app.runner.get_file(query, offset):
            sys.stdout.buffer.write(chunk)
    else:
        # Into a file goes what bears this very name, as on a cluster; patterns are for standard output.
        whole = app.runner.inspect_file(query).size
        path = Path(target)
        resumed = retry and path.exists()
        start = offset or (path.stat().st_size if resumed else 0)
        chunks = iter(app.runner.get_file(query, start))
        first = next(chunks, b"")  # a file that cannot be read leaves none behind
        with path.open("ab" if resumed else "wb") as out, Meter(progress, max(whole - start, 0)) as meter:
            out.writelines(meter.chunks(chain([first], chunks)))


def _file_to_get(app: App, text: str) -> FileQuery:
    """The file as typed. A malformed ancestry is refused in the cluster's words, as scripts have been seen to print them."""
    try:
        return app.file(text)
    except Invalid as error:
        commit, _, path = text.partition(":")
        if "ancestry" not in error.message:
            raise
        where = f"{app.project}/{commit}"
        reason = f"get file: pick commit tx: calculate offset {where}: count offset and clean: invalid ancestry format"
        raise Invalid(f"couldn't download {clean_path(path)} from {where}: {reason}") from None


def _get_folder(app: App, query: FileQuery, target: Path, progress: bool | None) -> None:
    with Meter(progress) as meter:
        if meter.live:
            meter.total = app.runner.inspect_file(query).size
        files = app.runner.get_below(query)
        first, content = next(files)
        top = clean_path(query.path)
        if first.path == top:
            with target.open("wb") as out:
                out.writelines(meter.chunks(content))
            return
        target.mkdir(parents=True, exist_ok=True)
        with Below(target) as below:
            for info, chunks in chain([(first, content)], files):
                below.put(info.path.removeprefix(top), meter.chunks(chunks) if meter.live else chunks)


@command("copy file images@master:/liberty.jpg best@master:/", waits=True)
@click.argument("source", metavar=_FILE)
@click.argument("target", metavar=_FILE)
@click.option("-a", "--append", is_flag=True, help="Append to files that are there; else they are replaced.")
@click.option("--src-project", default="", metavar="NAME", help="The project of the source.")
@click.option("--dest-project", default="", metavar="NAME", help="The project of the target.")
@in_project
def copy_file(app: App, source: str, target: str, append: bool, src_project: str, dest_project: str) -> None:
    """Copy a file or a folder within a repo or to another one."""
    origin, goal = app.file(source, src_project), app.file(target, dest_project)
    with app.runner.modify_file(goal.commit) as changes:
        changes.copy(origin, goal.path, append=append)
    if not _is_there(app, origin):
        note(f"nothing is at {source}: nothing was copied")  # no error, as on a cluster


def _is_there(app: App, query: FileQuery) -> bool:
    try:
        app.runner.inspect_file(query)
    except NotFound:
        return False
    except LocalRunnerError:
        return True  # it cannot be told
    return True


@contextlib.contextmanager
def _patterns_told(file: str) -> Iterator[None]:
    """Tells whoever gave a pattern to a command that takes one path which command takes patterns."""
    try:
        yield
    except (Invalid, NotFound) as error:
        if set("*?[{").intersection(file):
            error.hint = f"patterns are for `glob file`, which says what is there: `glob file '{file}'`"
        raise


@command("delete file images@master:/drafts -r", waits=True)
@click.argument("file", metavar=_FILE)
@click.option("-r", "--recursive", is_flag=True, help="Delete a folder with all that is below it.")
@in_project
def delete_file(app: App, file: str, recursive: bool) -> None:
    """Delete a file, or with -r (or a slash at the end) a folder."""
    commit, path = app.target(file)
    was_there = bool(path) and _is_there(app, FileQuery(commit, path))
    with app.runner.modify_file(commit) as changes, _patterns_told(file):
        changes.delete(path, recursive=recursive)
    if not was_there:
        note(f"nothing is at {file}: nothing was deleted")  # no error, as on a cluster


@command("inspect file images@master:/liberty.jpg")
@click.argument("file", metavar=_FILE)
@raw_output
@in_project
def inspect_file(app: App, file: str) -> None:
    """Show what is known about a file or folder."""

    def text(info: FileInfo) -> Iterator[str]:
        yield f"Path: {info.path}"
        yield f"Datum: {info.datum}"
        yield f"Type: {_kind(info)}"
        yield f"Size: {human_size(info.size)}"

    with _patterns_told(file):
        app.out.show_one(app.runner.inspect_file(app.file(file)), file_info_document, text)


@command("list file images@master:/")
@click.argument("file", metavar="REPO@COMMIT[:PATH]")
@click.option("--history", default="none", metavar="all|N", help="The versions of one file, newest first: all, or this many earlier ones.")
@with_times
@in_project
def list_file(app: App, file: str, history: str) -> None:
    """List the files in a folder of a commit."""
    versions = history_count(history)
    if versions:
        found = app.runner.file_history(app.file(file), versions)
        app.out.show(found, file_info_document, HISTORY_HEADER, lambda info: _version_row(app, info))
    else:
        _show_header(app)  # even if the list then fails, as on a cluster
        _show(app, app.runner.list_file(app.file(file)))


@command("glob file 'images@master:/*.jpg'")
@click.argument("pattern", metavar="REPO@COMMIT:PATTERN")
@with_times
@in_project
def glob_file(app: App, pattern: str) -> None:
    """List the files and folders that match a pattern."""
    commit, glob = app.target(pattern)
    found = app.runner.glob_file(commit, glob or "/")
    first = list(islice(found, 1))  # raises what there is to raise
    _show_header(app)
    _show(app, chain(first, found))


def _show_header(app: App) -> None:
    if not app.out.raw:
        app.out.line("SIZE   \tNAME")


def _show(app: App, found: Iterable[FileInfo]) -> None:
    """Print files with a tab before each name; this list is not aligned (reference pfs 4)."""
    if app.out.raw:
        app.out.documents(map(file_info_document, found))
    else:
        for info in found:
            app.out.line(f"{human_size(info.size)}\t{info.path}")


def _version_row(app: App, info: FileInfo) -> tuple[str, ...]:
    return info.commit.id, info.path, _kind(info), app.out.when(info.committed), human_size(info.size)


def _kind(info: FileInfo) -> str:
    return "dir" if info.is_folder else "file"
