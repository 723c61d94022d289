"""What the engine puts into a worker's folder itself, large files and pipes, goes nowhere else, whatever user code does there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner import beneath
from local_runner.executors.parts import Parts, Pipe, Scratch
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobState
from tests.reference.machine import Machine


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    (tmp_path / "scratch").mkdir()
    descriptor = beneath.open_root(tmp_path / "scratch")
    yield Scratch(descriptor, tmp_path / "scratch")
    os.close(descriptor)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/0").write_text("of the host")
    return tmp_path / "target"


def write(descriptor: int, name: str) -> None:
    os.write(descriptor, b"content")


def test_a_folder_of_parts_that_becomes_a_link_leads_nowhere(scratch: Scratch, target: Path) -> None:
    parts = Parts(scratch, None)
    parts.file("in/a", write)
    (folder,) = scratch.path.iterdir()
    folder.rename(scratch.path / "moved")
    folder.symlink_to(target)
    parts.file("in/b", write)
    parts.pipe("in/c").close()
    assert [path.name for path in target.iterdir()] == ["0"]
    assert sorted(os.listdir(scratch.path / "moved")) == ["0", "1", "2"]
    parts.close()
    assert (target / "0").read_text() == "of the host"


@pytest.mark.parametrize("kind", ["link", "file", "nothing"])
def test_what_is_put_in_place_of_a_pipe_is_not_taken_for_it(scratch: Scratch, target: Path, kind: str) -> None:
    os.mkfifo(target / "pipe")
    if kind == "link":
        (scratch.path / "pipe").symlink_to(target / "pipe")
    elif kind == "file":
        (scratch.path / "pipe").touch()
    with pytest.raises(OSError, match=r"pipe|directory|links"):
        Pipe(scratch.descriptor, "pipe")


# A datum's own pipe moved, removed, replaced by a file of the host, by a pipe that nobody reads; its folder of parts swapped for a link.
HARMS = {
    "moved": "mv /pfs/in/a /pfs/in/b; cat /pfs/in/b > /pfs/out/x",
    "removed": "rm /pfs/in/a",
    "replaced by a link": "rm /pfs/in/a; ln -s {target}/0 /pfs/in/a",
    "replaced by a pipe": "rm /pfs/in/a; mkfifo /pfs/in/a",
    "made secret": "chmod 0 /pfs/in/a",
    "swapped": "cd /pfs/.scratch; parts=$(ls -d parts-*); mv $parts moved; ln -s {target} $parts",
    "gone": "rm -r /pfs/.scratch/parts-*",
    "read in part": "head -c 1 /pfs/in/a > /pfs/out/x",
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_lazy_input_that_user_code_takes_away_hangs_nobody_and_reaches_no_file_of_the_host(home: Path, target: Path, harm: str) -> None:
    executor = SandboxExecutor()
    if executor.why_not():
        pytest.skip(executor.why_not())
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "content", "/b": "more"})
    spec = {"pfs": {"repo": "data", "name": "in", "glob": "/*", "lazy": True}}
    machine.script("p", f"test $in = /pfs/in/a || exit 0; {HARMS[harm].format(target=target)}", input=spec)
    machine.run_all()
    assert machine.state("p") is JobState.SUCCESS
    assert machine.counts("p") == {"total": 2, "processed": 2}
    expected = {"moved": {"/x": "content"}, "read in part": {"/x": "c"}}.get(harm, {})
    assert machine.files("p@master") == expected
    assert (target / "0").read_text() == "of the host"
    machine.close()
