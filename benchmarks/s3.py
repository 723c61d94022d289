"""What clients of S3 wait for: one large object and 10,000 small ones, put, listed and got, beside our own commands; and what that takes.

The server is a process, the clients are whole processes too: one that does nothing but HTTP, and boto3 where it is installed.
python benchmarks/s3.py [MEBIBYTES [ROUNDS]]
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Took, large_file, machine, median, run, small_files, table, verdict

RUNNER = (sys.executable, "-m", "local_runner")
SMALL = 10_000

# Bare HTTP over one connection: the floor of a client in Python.
BARE = """
import http.client, os, sys
host, port, what, path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
at = http.client.HTTPConnection(host, port)
def ask(method, target, body=None):
    at.request(method, target, body)
    answer = at.getresponse()
    assert answer.status < 300, answer.read()
    return answer
if what == 'put':
    with open(path, 'rb') as file:
        at.blocksize = 1 << 20
        at.request('PUT', '/big/file', file, {'Content-Length': str(os.path.getsize(path))})
        assert at.getresponse().read() == b''
if what == 'get':
    answer = ask('GET', '/big/file')
    while answer.read(1 << 20): pass
if what == 'put small':
    for number in range(int(path)):
        ask('PUT', f'/small/{number % 100:02}/{number:05}', b'x' * 1000).read()
if what == 'get small':
    for number in range(int(path)):
        ask('GET', f'/small/{number % 100:02}/{number:05}').read()
if what == 'list':
    after = ''
    while True:
        text = ask('GET', f'/small?marker={after}').read().decode()
        if '<NextMarker>' not in text: break
        after = text.partition('<NextMarker>')[2].partition('<')[0]
"""
BOTO = """
import boto3, sys
at = f'http://{sys.argv[1]}:{sys.argv[2]}'
s3 = boto3.client('s3', endpoint_url=at, aws_access_key_id='a', aws_secret_access_key='b', region_name='us-east-1')
if sys.argv[3] == 'put': s3.upload_file(sys.argv[4], 'big', 'file')
if sys.argv[3] == 'get': s3.download_file('big', 'file', sys.argv[4])
if sys.argv[3] == 'list': sum(len(page['Contents']) for page in s3.get_paginator('list_objects_v2').paginate(Bucket='small'))
"""


@contextlib.contextmanager
def serving(home: Path) -> Iterator[tuple[str, int]]:
    """The port of a gateway of a home, and the process that serves it."""
    command = [*RUNNER, "serve", "--port", "0", "--s3-port", "0"]
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout
            said = "".join(process.stdout.readline() for _ in range(3))
            found = re.search(r"AWS_ENDPOINT_URL=http://[^:]+:(\d+)", said)
            assert found, said
            yield found[1], process.pid
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mebibytes(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def once(base: Path, source: Path, small: Path) -> tuple[dict[str, Took], float]:
    """Everything and its peers in fresh folders, with the processor time of the server; and the server's memory at its peak."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    env = {"PYTHONDONTWRITEBYTECODE": "", "LOCAL_RUNNER_HOME": str(base / "home")}
    took: dict[str, Took] = {}

    def ours(*words: str | Path) -> Took:
        return run([*RUNNER, *words], base, env)

    for repo in ("big", "small", "own", "own-small"):
        ours("create", "repo", repo)
        ours("create", "branch", f"{repo}@master")
    took["put file"] = ours("put", "file", "own@master:/file", "-f", source)
    took["get file"] = ours("get", "file", "own@master:/file", "-o", base / "got")
    (base / "got").unlink()
    took["put file -r"] = ours("put", "file", "-r", "own-small@master:/", "-f", small)
    took["list file"] = ours("list", "file", "own-small@master:/**")
    took["get file -r"] = ours("get", "file", "-r", "own-small@master:/", "-o", base / "gotten")
    with serving(base / "home") as (port, pid):

        def ask(name: str, program: str, what: str, argument: str | Path) -> None:
            before = processor_seconds(pid)
            client = run([sys.executable, "-c", program, "127.0.0.1", port, what, argument], base)
            took[name] = Took(client.wall, processor_seconds(pid) - before)

        ask("S3 put", BARE, "put", source)
        ask("S3 get", BARE, "get", source)
        ours("start", "commit", "small@master")
        ask("S3 put small", BARE, "put small", str(SMALL))
        ours("finish", "commit", "small@master")
        ask("S3 list", BARE, "list", "")
        ask("S3 get small", BARE, "get small", str(SMALL))
        if importlib.util.find_spec("boto3"):
            ask("boto3 upload_file", BOTO, "put", source)
            ask("boto3 download_file", BOTO, "get", base / "got")
            ask("boto3 list", BOTO, "list", "")
        return took, peak_mebibytes(pid)


PEERS = {
    "S3 put": ("put file", 1.2),
    "S3 get": ("get file", 1.2),
    "S3 put small": ("put file -r", 0.0),
    "S3 list": ("list file", 2.0),
    "S3 get small": ("get file -r", 0.0),
    "boto3 upload_file": ("put file", 0.0),
    "boto3 download_file": ("get file", 0.0),
    "boto3 list": ("list file", 0.0),
}


def main(mebibytes: int, rounds: int) -> None:
    print(machine())
    with tempfile.TemporaryDirectory(prefix="s3-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        source, small = Path(folder, "source"), Path(folder, "small")
        large_file(source, mebibytes)
        small_files(small, SMALL)
        found = [once(Path(folder, "round"), source, small) for _ in range(rounds)]
    rows = []
    for name in found[0][0]:
        against, bar = PEERS.get(name, ("", 0.0))
        ratio = median([took[name].wall / took[against].wall for took, _ in found]) if against else None
        said = f"{against}{' ' + verdict(ratio, bar) if bar else ''}" if ratio is not None else ""
        wall, cpu = (median([took[name][which] for took, _ in found]) for which in (0, 1))
        rows.append((name, wall, cpu, ratio or "", said))
    print(table((f"{mebibytes} MiB, or {SMALL} files", "s", "processor s, of the server", "ratio", "against"), rows))
    print(f"\nThe server takes {median([peak for _, peak in found]):.0f} MiB at its peak.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
