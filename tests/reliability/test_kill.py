"""Nothing finished is ever lost: to a kill at any moment, to Ctrl-C, or to others who write at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.process import ProcessExecutor
from local_runner.model.jobs import JobState
from local_runner.repos.check import check
from tests.support.lab import Lab

DATUMS = {f"/{n:02}": f"content {n}" * 50 for n in range(40)}
COPY = "cp /pfs/{0}/* /pfs/out/ && echo done >> /pfs/out/$(ls /pfs/{0})"
_SECONDS = f"31.{os.getpid()}"  # a command line nobody else has
WRITER = """
import sys
from pathlib import Path
from tests.support.lab import Lab
lab = Lab(Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    path = f"/{sys.argv[2]}-{n}"
    lab.put("data@master", {path: path * 20_000})
    print(path, flush=True)
"""


@pytest.fixture
def here(home: Path) -> dict[str, str]:
    """The environment of commands that work on the home."""
    names = {"LOCAL_RUNNER_HOME": str(home), "LOCAL_RUNNER_EXECUTOR": "process", "LOCAL_RUNNER_JOBS": "2"}
    return {**os.environ, **names, "PYTHONPATH": str(Path(__file__).parents[2])}


def start(env: dict[str, str], *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)


def problems(lab: Lab) -> list[object]:
    with lab.runner.database.read() as session:
        return list(check(session))


def shell(lab: Lab, name: str, source: str) -> None:
    lab.pipeline(name, f"{source}:/*", transform={"cmd": ["sh"], "stdin": [COPY.format(source)]}, datum_set_spec={"number": 3})


def succeeded(lab: Lab, pipeline: str) -> set[str]:
    return {path for path, state in lab.datums(pipeline).items() if state == "success"}


def test_an_engine_killed_again_and_again_keeps_what_it_finished(home: Path, here: dict[str, str]) -> None:
    lab = Lab(home)
    lab.put("data@master", DATUMS)
    shell(lab, "one", "data")
    shell(lab, "two", "one")
    kept: dict[str, set[str]] = {"one": set(), "two": set()}
    moment = random.Random(1)
    for _ in range(8):
        engine = start(here, "-m", "local_runner", "engine")
        time.sleep(moment.uniform(0.2, 0.7))
        engine.kill()
        engine.communicate()
        assert problems(lab) == []
        for pipeline, before in kept.items():
            now = succeeded(lab, pipeline)
            assert before <= now
            kept[pipeline] = now
        for path, content in lab.files("one@master").items():
            assert content == DATUMS[path] + "done\n"
    work(lab.runner, EngineConfig(ProcessExecutor(), 2))
    assert lab.state("two") is JobState.SUCCESS
    assert lab.files("two@master") == {path: content + "done\ndone\n" for path, content in DATUMS.items()}
    assert lab.counts("one") == {"total": 40, "processed": 40}
    assert problems(lab) == []
    lab.close()


def test_a_writer_killed_at_any_moment_has_lost_nothing_it_said_was_done(home: Path, here: dict[str, str]) -> None:
    said: set[str] = set()
    moment = random.Random(2)
    for name in range(5):
        writer = start(here, "-c", WRITER, str(home), str(name), "1000", cwd=Path(__file__).parents[2])
        assert writer.stdout
        said.add(writer.stdout.readline().strip())
        time.sleep(moment.uniform(0, 0.2))
        writer.kill()
        said |= set(writer.communicate()[0].split("\n")[:-1])
        lab = Lab(home)
        found = lab.files("data@master")
        assert said <= found.keys()
        assert all(content == path * 20_000 for path, content in found.items())
        assert problems(lab) == []
        lab.close()


def test_processes_that_write_at_once_lose_nothing(home: Path, here: dict[str, str]) -> None:
    writers = [start(here, "-c", WRITER, str(home), str(name), "8", cwd=Path(__file__).parents[2]) for name in range(4)]
    for writer in writers:
        output, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0, output
    lab = Lab(home)
    assert lab.files("data@master").keys() == {f"/{name}-{n}" for name in range(4) for n in range(8)}
    assert problems(lab) == []
    lab.close()


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose datums hang while the file `hang` is there, under a name nothing else has."""
    command = f"if [ -e {tmp_path}/hang ]; then sleep {_SECONDS}; fi; cp /pfs/data/in/* /pfs/out/"
    (tmp_path / "local_runner.toml").write_text('pipelines = ["p.json"]\n[[repo]]\nname = "data"\nfiles = { "in" = "files" }\n')
    transform, data = {"cmd": ["sh"], "stdin": [command]}, {"pfs": {"repo": "data", "glob": "/in/*"}}
    (tmp_path / "p.json").write_text(json.dumps({"pipeline": {"name": "p"}, "transform": transform, "input": data}))
    (tmp_path / "files").mkdir()
    for name in "abc":
        (tmp_path / "files" / name).write_text(name)
    return tmp_path


def sleepers() -> list[str]:
    wanted = f"sleep\0{_SECONDS}\0"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += [folder.name] * ((folder / "cmdline").read_text() == wanted)
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_ctrl_c_leaves_no_process_and_no_half_work_and_the_next_run_goes_on(project: Path, home: Path, here: dict[str, str]) -> None:
    (project / "hang").touch()
    run = start(here, "-m", "local_runner", cwd=project)
    deadline = time.monotonic() + 60
    while not sleepers() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sleepers(), run.communicate(timeout=1)[0] if run.poll() is not None else "it never began"
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode not in (0, -signal.SIGKILL), output
    assert "Traceback" not in output
    assert sleepers() == []
    lab = Lab(home)
    assert problems(lab) == []
    assert not lab.state("p").is_final
    lab.close()
    (project / "hang").unlink()
    run = start(here, "-m", "local_runner", cwd=project)
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 0, output
    lab = Lab(home)
    assert lab.files("p@master") == {"/a": "a", "/b": "b", "/c": "c"}
    lab.close()
