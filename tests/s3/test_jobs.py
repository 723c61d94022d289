"""Pipelines with `s3` inputs and `s3_out`: user code finds its inputs as buckets, and what it puts into `out` is the job's output."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_runner.engine.s3_gateway import S3Gateway
from local_runner.executors.base import Executor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_commit, parse_file
from local_runner.s3.server import UPLOADS
from tests.reference.machine import Machine
from tests.support.containers import executor_of, imported, needs
from tests.support.lab import Lab

# A client of S3 in a few lines: `s3 GET in/a` prints an object, `s3 PUT out/b` writes what it reads; it prints the code of an error.
S3 = """s3() { python3 -c '
import os, sys, urllib.error, urllib.request
body = sys.stdin.buffer.read() if sys.argv[1] == "PUT" else None
request = urllib.request.Request(os.environ["S3_ENDPOINT"] + "/" + sys.argv[2], body, method=sys.argv[1])
try:
    sys.stdout.buffer.write(urllib.request.urlopen(request).read())
except urllib.error.HTTPError as error:
    print(error.read().decode().partition("<Code>")[2].partition("</Code>")[0])
' "$@"; }"""
S3_INPUT = {"pfs": {"repo": "data", "name": "in", "glob": "/", "s3": True}}


@pytest.fixture
def machine(request: pytest.FixtureRequest, home: Path) -> Iterator[Machine]:
    executor: Executor = getattr(request, "param", SandboxExecutor)()
    if executor.why_not():
        pytest.skip(executor.why_not())
    machine = Machine(home, executor)
    yield machine
    machine.close()


def run(machine: Machine, name: str, *lines: str, state: JobState = JobState.SUCCESS, **fields: Any) -> None:
    machine.script(name, "set -e", S3, *lines, datum_tries=1, **fields)
    machine.run_all()
    assert machine.state(name) is state, (machine.job(name).reason, machine.reasons(name), machine.printed(name))


def test_an_input_is_a_bucket_and_no_folder_of_files(machine: Machine) -> None:
    machine.put("data@master", {"/a": "one", "/d/b": "two"})
    run(
        machine,
        "p",
        "ls -A $(dirname $in)/in > /pfs/out/files",
        "s3 GET in/a > /pfs/out/a; s3 GET in/d/b >> /pfs/out/a",
        "s3 GET '' | grep -o '<Name>[a-z]*' > /pfs/out/buckets",
        "echo x | s3 PUT in/new > /pfs/out/refused; s3 GET other/a >> /pfs/out/refused; s3 GET master.data/a >> /pfs/out/refused",
        "echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY > /pfs/out/keys",
        input=S3_INPUT,
    )
    assert machine.files("p@master") == {
        "/files": "",
        "/a": "onetwo",
        "/buckets": "<Name>in\n",
        "/refused": "NotImplemented\nNoSuchBucket\nNoSuchBucket\n",
        "/keys": "default default\n",
    }


@pytest.mark.parametrize("machine", [SandboxExecutor, ProcessExecutor], indirect=True)
def test_what_is_put_into_out_is_the_output(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1", "/b": "2"})
    lines = (
        "test ! -e /pfs/out",
        'name=$(basename $in); echo "got $(cat $in)" | s3 PUT out/files/$name',
        "s3 GET out/files/$name",  # it cannot be read while it is written
        "echo gone | s3 PUT out/gone; s3 DELETE out/gone",
        "s3 PUT 'out/a*b' < /dev/null",
    )
    run(machine, "p", *(line for line in lines if machine.real.name == "sandbox" or "test !" not in line), s3_out=True)
    assert machine.files("p@master") == {"/files/a": "got 1\n", "/files/b": "got 2\n"}
    assert sorted({*machine.printed("p")}) == ["InvalidFilePath", "NoSuchKey"]
    assert list((machine.runner.home / UPLOADS).glob("*")) == []


def test_every_datum_writes_anew_in_every_job_and_what_it_does_not_write_stays(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    run(machine, "p", "cat /pfs/in/* | s3 PUT out/$(basename $in); test $(cat $in) != 9", s3_out=True)
    machine.put("data@master", {"/a": "2", "/b": "3"})
    machine.run_all()
    assert machine.counts("p") == {"total": 2, "processed": 2}
    assert machine.files("p@master") == {"/a": "2", "/b": "3"}
    machine.put("data@master", {"/a": None, "/c": "9"})
    machine.run_all()
    assert machine.state("p") is JobState.FAILURE
    assert machine.runner.inspect_commit(parse_commit("p@master")).error
    machine.put("data@master", {"/c": "4"})
    machine.run_all()
    assert machine.files("p@master") == {"/a": "2", "/b": "3", "/c": "4"}


def test_a_chain_of_pipelines_by_s3_alone(machine: Machine) -> None:
    machine.put("data@master", {"/file": ""})
    repo = "data"
    for name in ("one", "two"):
        source = {"pfs": {"repo": repo, "name": "in", "glob": "/", "s3": True}}
        machine.script(name, "set -e", S3, "(s3 GET in/file; echo 1) | s3 PUT out/file", input=source, s3_out=True)
        repo = name
    machine.run_all()
    assert machine.files("two@master") == {"/file": "1\n1\n"}


def test_datums_of_a_cross_with_s3_are_skipped_while_the_bucket_stays(machine: Machine) -> None:
    machine.put("data@master", {"/file": "foo"})
    machine.put("more@master", {"/1": "1"})
    cross = {"cross": [S3_INPUT, {"pfs": {"repo": "more", "glob": "/*"}}]}
    run(machine, "p", "s3 GET in/file > /pfs/out/$(cat /pfs/more/*)", input=cross)
    machine.put("more@master", {"/2": "2"})
    machine.run_all()
    assert machine.counts("p") == {"total": 2, "processed": 1, "skipped": 1}
    machine.put("data@master", {"/file": "bar"})
    machine.run_all()
    assert machine.files("p@master") == {"/1": "bar", "/2": "bar"}


@pytest.mark.skipif(importlib.util.find_spec("boto3") is None, reason="boto3 is not installed: pip install 'local_runner[dev]'")
def test_a_client_of_amazon_needs_the_endpoint_only(machine: Machine) -> None:
    machine.put("data@master", {"/a": "1"})
    program = (
        "import boto3, io, os; s3 = boto3.client('s3', endpoint_url=os.environ['S3_ENDPOINT'], region_name='us-east-1');"
        "print([o['Key'] for o in s3.list_objects_v2(Bucket='in')['Contents']]);"
        "s3.upload_fileobj(io.BytesIO(b'x' * 9_000_000), 'out', 'big')"
    )
    run(machine, "p", f'python3 -c "{program}"', input=S3_INPUT, s3_out=True)
    assert machine.printed("p") == ["['a']"]
    assert [info.size for info in machine.runner.list_file(parse_file("p@master:/"))] == [9_000_000]


@needs("podman")
def test_a_container_reaches_its_gateway_through_its_own_loopback_interface(home: Path) -> None:
    machine = Machine(home, executor_of("podman"))
    machine.put("data@master", {"/a": "from the bucket\n"})
    # What `s3` is elsewhere, for an image without Python: `3` is a connection.
    ask = (
        "s3() { at=${S3_ENDPOINT#http://}; exec 3<>/dev/tcp/${at/:/\\/};"
        r' printf "%s /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b" $1 $2 "$3" >&3; cat <&3; }'
    )
    with imported("podman", ("bash", "cat")) as image:
        run(
            machine,
            "p",
            ask,
            r"s3 GET in/a '\r\n'",
            r"s3 PUT out/b 'Content-Length: 4\r\n\r\nback'",
            input=S3_INPUT,
            s3_out=True,
            transform={"image": image, "cmd": ["/bin/bash"]},
        )
        assert "from the bucket" in machine.printed("p")
        assert machine.files("p@master") == {"/b": "back"}
        machine.close()


def test_a_gateway_that_is_killed_costs_a_worker_and_no_job(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    serve, killed = S3Gateway.serve, []

    def kill_once(self: S3Gateway, *arguments: Any) -> None:
        if not killed:
            killed.append(self)
            self._process.kill()
            self._process.wait()
        serve(self, *arguments)

    monkeypatch.setattr(S3Gateway, "serve", kill_once)
    machine.put("data@master", {"/a": "1"})
    run(machine, "p", "s3 GET in/a > /pfs/out/a", input=S3_INPUT)
    assert killed
    assert machine.files("p@master") == {"/a": "1"}


def test_pretend_user_code_is_led_to_its_gateway_too(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    seen: list[str] = []

    def look(datum: ScriptedDatum) -> None:
        seen.append(datum.env["S3_ENDPOINT"])

    lab.pipeline("p", S3_INPUT, look)
    lab.run_all()
    assert seen[0].startswith("http://127.0.0.1:")
