"""Programs that speak S3 read and write repos, by the very lines of docs/S3.md."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.s3.server import PORT
from tests.s3.conftest import Gateway
from tests.support.lab import Lab

PAGE = (Path(__file__).parents[2] / "docs" / "S3.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
MODULES = [sorted({*re.findall(r"^import (\w+)$", block, flags=re.M)}) for block in BLOCKS]


@pytest.mark.filterwarnings("ignore")
def test_the_lines_of_the_page_do_what_they_say(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    ran = []
    for block, modules in zip(BLOCKS, MODULES, strict=True):
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            print(f"not run for want of {missing}: pip install 'local_runner[dev,s3-clients]'")
            continue
        exec(block.replace(f"http://127.0.0.1:{PORT}", gateway.server.url), {})
        ran += modules
    files = gateway.lab.files("data@master")
    if "boto3" in ran:
        assert files["/table.csv"] == "x,y\n1,2\n"
    if "pandas" in ran:
        assert files["/copy.csv"] == "x,y\n1,2\n"
        assert "['data/table.csv']" in capsys.readouterr().out
    if "duckdb" in ran:
        assert files["/made.csv"].split() == ["x", "1"]
    assert ran, "no client is installed: pip install 'local_runner[dev]'"


@pytest.mark.skipif(shutil.which("aws") is None, reason="the command aws is not installed")
def test_the_lines_for_aws_do_what_they_say(gateway: Gateway, tmp_path: Path) -> None:
    lines = next(block for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.S) if "aws" in block)
    gateway.lab.repo("data")
    gateway.lab.put("data@master", {"/a": "1"})
    (tmp_path / "table.csv").write_text("x\n1\n")
    script = lines.replace(f"http://127.0.0.1:{PORT}", gateway.server.url)
    ended = subprocess.run(["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "master.data.default" in ended.stdout
    assert "table.csv" in ended.stdout


def test_a_file_system_of_s3_walks_reads_writes_and_moves(gateway: Gateway) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'local_runner[s3-clients]'")
    gateway.lab.put("data@master", {"/d/a.txt": "1", "/d/e/b.txt": "22", "/c.txt": "333"})
    there = s3fs.S3FileSystem(
        key="pachyderm",
        secret="x",
        client_kwargs={"endpoint_url": gateway.server.url, "region_name": "us-east-1"},
        skip_instance_cache=True,
    )
    assert sorted(there.find("data")) == ["data/c.txt", "data/d/a.txt", "data/d/e/b.txt"]
    assert sorted(there.ls("data", detail=False)) == ["data/c.txt", "data/d"]
    assert there.isdir("data/d")
    assert not there.exists("data/nothing")
    assert there.info("data/d/e/b.txt")["size"] == 2
    with there.open("data/new/file.bin", "wb") as file:
        file.write(b"x" * 6_000_000)  # in parts
    assert there.cat_file("data/new/file.bin", start=5_999_998) == b"xx"
    there.mv("data/c.txt", "data/moved.txt")
    there.rm("data/d", recursive=True)
    assert sorted(gateway.lab.files("data@master")) == ["/moved.txt", "/new/file.bin"]


@pytest.fixture
def process(lab: Lab, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The gateway as a process of its own, of the lab's home."""
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(lab.runner.home)}
    command = [sys.executable, "-m", "local_runner", "serve", "--port", "0", "--s3-port", "0"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=Path(__file__).parents[2])
    yield running
    running.kill()
    running.communicate()


def test_the_command_says_where_it_serves_and_ends_when_it_is_told(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3)]
    assert re.fullmatch(r"export AWS_ENDPOINT_URL=http://127\.0\.0\.1:\d+\n", said[2]), said
    assert b"ListAllMyBucketsResult" in urllib.request.urlopen(said[2].strip().partition("=")[2], timeout=60).read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
