"""Writes that can be short, in the store and in the source of the whole project."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import local_runner
from local_runner.storage.atomic import write_all, write_sparse

_SHORT = {"write", "pwrite", "writev", "pwritev", "sendfile", "copy_file_range", "splice"}


def test_a_write_that_takes_a_part_is_followed_by_one_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, write = os.urandom(10_000), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    with (tmp_path / "file").open("wb") as file:
        write_all(file.fileno(), content)
    assert (tmp_path / "file").read_bytes() == content


def test_a_disk_that_takes_nothing_more_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]) if len(data) > 200 else 0)
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match=f"No space left on device: '{file.name}'"):
        write_all(file.fileno(), bytes(1000), file.name)


@pytest.mark.parametrize("holes", [(0,), (1,), (2,), (0, 2), (1, 2), ()])
def test_a_sparse_write_reads_as_what_was_written(tmp_path: Path, holes: tuple[int, ...]) -> None:
    size = 64 * 1024
    content = b"".join(bytes(size) if n in holes else os.urandom(size) for n in range(3)) + b"end"
    with (tmp_path / "file").open("wb") as file:
        write_sparse(file.fileno(), content)
    assert (tmp_path / "file").read_bytes() == content


def _dropped(path: Path) -> Iterator[int]:
    """Lines that call something which may write a part only, and do not look at what it says. One byte cannot be written in part."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        call = node.value
        if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "os"):
            continue
        data = call.args[1] if len(call.args) > 1 else None
        is_byte = isinstance(data, ast.Constant) and isinstance(data.value, bytes) and len(data.value) == 1
        if call.func.attr in _SHORT and not is_byte:
            yield node.lineno


def _unbuffered(path: Path) -> bool:
    """Whether a file writes to what it opened without a buffer: then `write` may be short, and `copyfileobj` does not look."""
    text = path.read_text()
    return any(f'"{mode}", buffering=0' in text for mode in ("wb", "xb", "ab", "r+b", "w+b"))


def test_no_write_of_the_project_can_be_short_unseen() -> None:
    sources = list(Path(local_runner.__file__).parent.rglob("*.py"))
    assert len(sources) > 100
    assert [f"{path}:{line}" for path in sources for line in _dropped(path)] == []
    assert [str(path) for path in sources if _unbuffered(path)] == []


def test_a_dropped_write_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import os\nos.write(1, data)\nos.write(1, b'!')\nx = os.write(1, data)\nos.pwrite(1, data, 0)\n")
    assert list(_dropped(tmp_path / "bad.py")) == [2, 5]
