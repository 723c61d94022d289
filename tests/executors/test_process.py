from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local_runner.executors.process import ProcessExecutor, mirror, translator
from local_runner.executors.resources import Resources
from tests.contracts.bench import Bench
from tests.contracts.executor import ExecutorContract


class TestProcessExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self) -> ProcessExecutor:
        return ProcessExecutor()

    def test_memory_is_limited_where_that_can_be(self, executor: ProcessExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=100_000_000)) as worker:
            ended = Bench(worker, tmp_path).run(sys.executable, "-c", "b'x' * 200_000_000")
        assert ended.accepted() is not executor.capabilities.limits_memory

    def test_it_does_not_say_that_it_isolates(self, executor: ProcessExecutor) -> None:
        can = executor.capabilities
        assert [can.private_tmp, can.hides_host_files, can.hides_processes, can.limits_processes, can.limits_network] == [False] * 5


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("/pfs", "/w"),
        ("/pfs/in/a b", "/w/in/a b"),
        ("cp /pfs/in/x /pfs/out/", "cp /w/in/x /w/out/"),
        ("--in=/pfs/in:/pfs/out", "--in=/w/in:/w/out"),
        ("open('/pfs/in')", "open('/w/in')"),
        ('cd "/pfs"; ls </pfs/in', 'cd "/w"; ls </w/in'),
        ("$(cat /pfs)", "$(cat /w)"),
        ("python /app/train.py", "python /code/train.py"),
        ("/pfsx /pfs.old /pfs-2 /pfs_ /pfs*", "/pfsx /pfs.old /pfs-2 /pfs_ /pfs*"),
        ("x/pfs ./pfs ~/pfs ${HOME}/pfs //pfs /my/pfs", "x/pfs ./pfs ~/pfs ${HOME}/pfs //pfs /my/pfs"),
        ("/application", "/application"),
    ],
)
def test_only_whole_paths_are_translated(text: str, translated: str) -> None:
    assert translator({"/pfs": "/w", "/app": "/code"})(text) == translated


def test_the_longest_path_is_translated_first() -> None:
    translate = translator({"/app": "/code", "/app/lib": "/other"})
    assert translate("/app/lib/x /app/library") == "/other/x /code/library"


def test_a_file_of_its_own_may_stand_in_a_copied_folder(tmp_path: Path) -> None:
    source, extra, own = tmp_path / "source", tmp_path / "extra", tmp_path / "own"
    source.mkdir()
    own.mkdir()
    (source / "a").write_text("a")
    extra.write_text("extra")
    places = mirror(own, {"/app": source, "/app/b": extra}, "/app")
    assert sorted(path.name for path in Path(places["/app"]).iterdir()) == ["a", "b"]
    assert [path.name for path in source.iterdir()] == ["a"]


def test_a_working_directory_of_the_host_is_the_hosts(tmp_path: Path) -> None:
    assert mirror(tmp_path, {}, "/usr/bin") == {}
    assert mirror(tmp_path, {}, "") == {}
