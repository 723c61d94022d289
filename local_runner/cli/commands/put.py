"""`put file` in all its forms (reference pfs 1.11), and cutting a file into many (reference pfs 1.9)."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from local_runner.cli.app import COUNT, NUMBER, App, comma_list, command, in_project
from local_runner.cli.archives import is_archive, untar
from local_runner.cli.meter import Meter, with_progress
from local_runner.cli.output import note
from local_runner.cli.sources import STDIN, check_is_data, is_url, local_content, read_text, stream, targets, walk
from local_runner.errors import Invalid
from local_runner.model.refs import CommitQuery, FileQuery
from local_runner.model.units import parse_size

if TYPE_CHECKING:
    from local_runner.repos.file_changes import FileChanges


@dataclass(frozen=True, slots=True)
class Split:
    """How a file is cut: by `kind` of record, into files of so many records or bytes; 0 means unset."""

    kind: str
    datums: int
    size: int
    header_records: int


@command("put file images@master:/ -r -f photos", waits=True)
@click.argument("target", metavar="REPO@BRANCH[:PATH]")
@click.option("-f", "--file", "files", multiple=True, metavar="SOURCE", help="A file, a URL or - (the default); repeatable.")
@click.option("-i", "--input-file", default="", metavar="LIST", help="A file with one source in each line.")
@click.option("-r", "--recursive", is_flag=True, help="Sources are folders; put what is below them.")
@click.option("-a", "--append", is_flag=True, help="Append to files that are there; else they are replaced.")
@click.option("--full-path", is_flag=True, help="Keep the path of the source, not only its last part.")
@click.option("--untar", "unpack", is_flag=True, help="Put the files inside .tar, .tar.gz and .tgz sources.")
@click.option("-p", "--parallelism", type=NUMBER, expose_value=False, help="Accepted as by pachctl; nothing is uploaded here.")
@click.option("-c", "--compress", is_flag=True, expose_value=False, help="Accepted as by pachctl; nothing is uploaded here.")
@with_progress
@click.option("--split", "kind", type=click.Choice(["line", "json", "csv"]), help="Cut each source by records; PATH becomes a folder.")
@click.option(
    "--target-file-datums", "datums", default=0, type=COUNT, metavar="N", help="With --split: records in a file; 1 if nothing is said."
)
@click.option("--target-file-bytes", "size", default="0", metavar="SIZE", help="With --split: close a file when it has this size.")
@click.option(
    "--header-records", default=0, type=COUNT, metavar="N", help="With --split: repeat the first records at the head of each file."
)
@in_project
def put_file(
    app: App,
    target: str,
    files: Sequence[str],
    input_file: str,
    recursive: bool,
    append: bool,
    full_path: bool,
    unpack: bool,
    kind: str | None,
    datums: int,
    size: str,
    header_records: int,
    progress: bool | None,
) -> None:
    """Put files into a repo, as one commit of their own or into the open one."""
    commit, path = app.target(target)
    split = Split(kind, datums, parse_size(size), header_records) if kind else None
    if split is None and (datums or parse_size(size) or header_records):
        raise Invalid("--target-file-datums, --target-file-bytes and --header-records need --split", hint="add --split line, json or csv")
    app.runner.inspect_repo(commit.repo)
    sources = _listed(input_file) if input_file else comma_list(files) or [STDIN]
    check_is_data(sources)
    pairs = targets(path, sources, recursive, full_path)
    with ExitStack() as stack, Meter(progress) as meter, app.runner.modify_file(commit) as changes:
        todo = _Putting(app, changes, stack, commit, append, unpack, split, meter)
        if meter.live:
            meter.total = sum(_size(file) for _, file in _each(pairs, recursive))
        for place, source in _each(pairs, recursive):
            todo.put(place, source)
    made = changes.commit
    if made and (error := app.runner.inspect_commit(CommitQuery(made.repo, id=made.id)).error):  # no error here, as on a cluster
        note(f"{error}: commit {made} holds nothing that can be read; the next one goes on from the commit before it")


def _each(pairs: Sequence[tuple[str, str]], recursive: bool) -> Iterator[tuple[str, str]]:
    """Every file to put, as (path in the repo, source). Raises `Invalid`."""
    for place, source in pairs:
        if not recursive or is_url(source):
            yield place, source
        elif source == STDIN:
            raise Invalid("cannot set -r and read from stdin (must also set -f or -i)")
        else:
            yield from walk(source, place)


def _size(source: str) -> int:
    """The size of a source in bytes; 0 if it is unknown."""
    try:
        return 0 if source == STDIN or is_url(source) else os.stat(source).st_size
    except OSError:
        return 0


def _listed(source: str) -> list[str]:
    """The names in a list of files, one on each line; only a newline ends a name."""
    return [line.rstrip("\r") for line in read_text(source).split("\n") if line.rstrip("\r")]


@dataclass(frozen=True, slots=True)
class _Putting:
    """The state that all sources of one `put file` share."""

    app: App
    changes: FileChanges
    stack: ExitStack
    commit: CommitQuery
    append: bool
    unpack: bool
    split: Split | None
    meter: Meter

    def put(self, path: str, source: str) -> None:
        if self.unpack and is_archive(source):
            for name, content in untar(source, self.stack):
                self.changes.put(name, content, append=self.append)
        elif self.split:
            _put_split(self.app, self.changes, FileQuery(self.commit, path), source, self.append, self.split)
        elif source == STDIN or is_url(source):
            self._put_file(path, stream(source, self.stack))
        else:
            self._put_file(path, local_content(source, self.stack))

    def _put_file(self, path: str, content: bytes | Path | BinaryIO) -> None:
        if isinstance(content, bytes):
            self.changes.put(path, content, append=self.append)
            self.meter.add(len(content))
        elif not isinstance(content, Path):
            self.changes.put(path, self.meter.reader(content), append=self.append)
        elif self.meter.live:
            with content.open("rb", buffering=0) as stream:
                self.changes.put(path, self.meter.reader(stream), append=self.append)
        else:
            self.changes.put(path, content, append=self.append)


def _put_split(app: App, changes: FileChanges, folder: FileQuery, source: str, append: bool, split: Split) -> None:
    from local_runner.repos.split import pieces, records  # with --split only

    first = _next_number(app, folder) if append else 0
    if not append:
        changes.delete(folder.path, recursive=True)
    found = records(split.kind, read_text(source).encode(), source)
    for name, content in pieces(found, datums=split.datums, size=split.size, header_records=split.header_records, first=first):
        changes.put(posixpath.join(folder.path, name), content)


def _next_number(app: App, folder: FileQuery) -> int:
    """The number after the last file of a folder that was split before. Raises `Invalid` if that is no number."""
    names = [posixpath.basename(info.path.rstrip("/")) for info in app.runner.list_file(folder)]
    try:
        return int(names[-1], 16) + 1 if names else 0
    except ValueError:
        raise Invalid(
            f"cannot append to {folder.path}: its last file, {names[-1]}, is not named by a split", hint="put it into another folder"
        ) from None
