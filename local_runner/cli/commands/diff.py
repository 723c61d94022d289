"""`diff file`: compare files of two commits (reference pfs 1.7, 4)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from local_runner.cli.app import App, command, in_project
from local_runner.cli.output import GREEN, RED
from local_runner.cli.pager import with_pager
from local_runner.errors import Unavailable
from local_runner.model.refs import CommitQuery, FileQuery
from local_runner.model.repos import FileInfo
from local_runner.model.units import human_size

HEADER = ("OP", "SIZE", "NAME")


@command("diff file images@master:/ images@master^:/ --name-only")
@click.argument("new", metavar="REPO@COMMIT[:PATH]")
@click.argument("old", metavar="[REPO@COMMIT[:PATH]]", required=False)
@click.option("--name-only", is_flag=True, help="Only the names of what differs, folders included.")
@click.option("-s", "--shallow", is_flag=True, expose_value=False, help="Accepted as by pachctl, where it changes nothing, too.")
@click.option("--diff-command", default="", metavar="PROGRAM", help="Compare with this; else with git, or diff.")
@with_pager
@click.option("--full-timestamps", is_flag=True, expose_value=False, hidden=True)
@click.option("--old-project", default="", metavar="NAME", help="The project of the older file.")
@in_project
def diff_file(app: App, new: str, old: str | None, name_only: bool, diff_command: str, old_project: str) -> None:
    """Compare files with those of another commit; of the parent, if none is named."""
    pairs = app.runner.diff_file(app.file(new), app.file(old, old_project) if old else None)
    if name_only:
        app.out.table(HEADER, _rows(app, pairs))
        return
    program = diff_command.split() or _program(app.out.colour)
    with tempfile.TemporaryDirectory() as folder:
        for added, removed in pairs:
            left, right = _laid(app, removed, Path(folder), "old"), _laid(app, added, Path(folder), "new")
            if left or right:
                _compare(program, Path(folder), left or "/dev/null", right or "/dev/null")


def _rows(app: App, pairs: Iterator[tuple[FileInfo | None, FileInfo | None]]) -> Iterator[tuple[str, ...]]:
    for added, removed in pairs:
        if added:
            yield app.out.paint("+", GREEN), human_size(added.size), added.path
        if removed:
            yield app.out.paint("-", RED), human_size(removed.size), removed.path


def _program(colour: bool) -> list[str]:
    if shutil.which("git"):
        return ["git", "-c", f"color.ui={'always' if colour else 'never'}", "--no-pager", "diff", "--no-index"]
    return ["diff", "-u"]


def _laid(app: App, info: FileInfo | None, folder: Path, side: str) -> str:
    """Write a file of a commit into `folder` and return its path there; "" for folders and missing files."""
    if info is None or info.is_folder:
        return ""
    name = side + info.path
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    commit = CommitQuery(info.commit.repo, id=info.commit.id)
    with (folder / name).open("wb") as out:
        out.writelines(app.runner.get_file(FileQuery(commit, info.path)))
    return name


def _compare(program: list[str], folder: Path, left: str, right: str) -> None:
    try:
        done = subprocess.run([*program, left, right], cwd=folder, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise Unavailable(f"cannot run {program[0]}: {error.strerror}", hint="name another program with --diff-command") from None
    sys.stdout.flush()
    sys.stdout.buffer.write(done.stdout)
    if done.returncode not in (0, 1):  # 1 says that they differ
        raise Unavailable(f"{program[0]} ended with exit status {done.returncode}")
