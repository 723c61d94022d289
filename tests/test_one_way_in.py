"""Commands and whatever else people come in by reach a home through the methods of `Runner` only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import local_runner

PACKAGE = Path(local_runner.__file__).parent
DOORS = ("cli", "deploy", "s3", "server")
CLOSED = ("engine", "planning", "repos", "storage")
# What is no way to a home: paths and single files; values and configuration that are given to methods; functions of text alone.
OPEN = {
    "engine.batching.client",
    "engine.config",
    "planning.plan",
    "repos.split",
    "storage.atomic",
    "storage.home",
}
NOT_YET = {
    ("deploy/pull.py", "repos.files"),  # asks of what kind a change is
    ("deploy/pull.py", "repos.file_changes"),  # the value that `modify_file` gives, as are the next
    ("s3/objects.py", "repos.file_changes"),
    ("server/file_changes.py", "repos.file_changes"),
    ("server/file_changes.py", "storage.intake"),  # the protocol of what is read from
    ("server/process.py", "storage.locks"),  # a home has one server
    ("server/process.py", "storage.wakeup"),
}


def files() -> list[Path]:
    return sorted(path for room in DOORS for path in (PACKAGE / room).rglob("*.py"))


def imports(node: ast.AST) -> Iterator[str]:
    """Modules of this package that are imported when the code runs, and not by type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and (child.module or "").startswith("local_runner."):
            yield (child.module or "").removeprefix("local_runner.")
        yield from imports(child)


@pytest.mark.parametrize("file", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_it_has_no_way_to_a_home_but_the_runner(file: Path) -> None:
    tree, here = ast.parse(file.read_text()), file.relative_to(PACKAGE).as_posix()
    reached = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("database", "_database")]
    assert not reached or here == "server/process.py", f"{file}:{reached[0]}: the records; add a method to local_runner/api"
    closed = {name for name in imports(tree) if name.partition(".")[0] in CLOSED} - OPEN
    assert not {name for name in closed if (here, name) not in NOT_YET}, "add a method to local_runner/api that does it"
