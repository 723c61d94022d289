"""What clients of `serve` wait for: single calls beside an empty handler, 10,000 small files put, listed and got, and a large file.

The server is a process; one client in this process sends what the Python clients send; with PACHCTL naming a pachctl, that as well.
python benchmarks/server.py [MEBIBYTES]
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from measure import MEBI, machine, median, run, table, verdict

from local_runner.server.schema import message_class, methods, new

RUNNER = (sys.executable, "-m", "local_runner")
SMALL, CALLS = 10_000, 500


@contextlib.contextmanager
def serving(home: Path) -> Iterator[tuple[str, int, float]]:
    """The address of a server of a home, its process, and seconds to its first line."""
    env = {**os.environ, "LOCAL_RUNNER_HOME": str(home)}
    began = time.perf_counter()
    command = [*RUNNER, "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().rsplit("/", 1)[1].strip(), process.pid, time.perf_counter() - began
        finally:
            process.terminate()


class Client:
    """Calls by their paths, with messages of the server's own pool."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])

    def __call__(self, path: str, request: Any) -> Any:
        method = methods()[path]
        kind = ("stream" if method.takes_stream else "unary") + "_" + ("stream" if method.gives_stream else "unary")
        read = message_class(method.response).FromString
        found = getattr(self._channel, kind)(f"/{path}", lambda message: message.SerializeToString(), read)(request)
        return list(found) if method.gives_stream else found


EMPTY = """
import grpc, sys
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(4))
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("versionpb_v2.API", {"GetVersion": handler}),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
"""


@contextlib.contextmanager
def empty_handler() -> Iterator[tuple[str, int]]:
    """The address of a server whose one call does nothing, and its process."""
    with subprocess.Popen([sys.executable, "-c", EMPTY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"127.0.0.1:{process.stdout.readline().strip()}", process.pid
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """Of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor(pid: int, work: Callable[[], Any]) -> float:
    """Processor seconds of a server for some work: on a machine with other work to do they say more than the clock."""
    before = processor_seconds(pid)
    work()
    return processor_seconds(pid) - before


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def puts(files: Iterator[tuple[str, bytes]]) -> Iterator[Any]:
    """The messages of a ModifyFile, content in pieces of a mebibyte."""
    branch = new("pfs_v2.Branch", repo=new("pfs_v2.Repo", name="data"), name="master")
    yield new("pfs_v2.ModifyFileRequest", set_commit=new("pfs_v2.Commit", branch=branch))
    for path, content in files:
        yield new("pfs_v2.ModifyFileRequest", delete_file=new("pfs_v2.DeleteFile", path=path))
        for begin in range(0, max(len(content), 1), MEBI):
            raw = new("google.protobuf.BytesValue", value=content[begin : begin + MEBI])
            yield new("pfs_v2.ModifyFileRequest", add_file=new("pfs_v2.AddFile", path=path, raw=raw))


def at(path: str) -> Any:
    branch = new("pfs_v2.Branch", repo=new("pfs_v2.Repo", name="data"), name="master")
    return new("pfs_v2.File", commit=new("pfs_v2.Commit", branch=branch), path=path)


def main(mebibytes: int) -> None:
    nothing = message_class("google.protobuf.Empty")()
    content = os.urandom(mebibytes * MEBI)
    rows: list[list[object]] = []
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        base, home = Path(folder), Path(folder) / "home"
        small = base / "small"
        for number in range(SMALL):
            place = small / f"{number % 100:02}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:05}").write_bytes(b"x" * 100)
        (base / "large").write_bytes(content)
        env = {"LOCAL_RUNNER_HOME": str(home)}
        for words in (["create", "repo", "own"], ["create", "repo", "own-small"]):
            run([*RUNNER, *words], base, env)
        own_put = run([*RUNNER, "put", "file", "own@master:/large", "-f", base / "large"], base, env).wall
        own_get = run([*RUNNER, "get", "file", "own@master:/large", "-o", base / "got"], base, env).wall
        own_small = run([*RUNNER, "put", "file", "-r", "own-small@master:/", "-f", small], base, env).wall
        own_tar = run([*RUNNER, "get", "file", "-r", "own-small@master:/", "-o", base / "gotten"], base, env).wall
        address, pid, started = stack.enter_context(serving(home))
        client = Client(address)
        first = seconds(lambda: client("versionpb_v2.API/GetVersion", nothing))
        busy = processor_seconds(pid)
        rows.append(["first answer after the start", started + first, f"{busy:.3g} s of processor: {verdict(busy, 0.4)}"])
        floor_address, floor_pid = stack.enter_context(empty_handler())
        floor_client = Client(floor_address)
        floor_client("versionpb_v2.API/GetVersion", nothing)
        floor = median([seconds(lambda: floor_client("versionpb_v2.API/GetVersion", nothing)) for _ in range(CALLS)])
        floor_busy = processor(floor_pid, lambda: [floor_client("versionpb_v2.API/GetVersion", nothing) for _ in range(CALLS)]) / CALLS
        client("pfs_v2.API/CreateRepo", new("pfs_v2.CreateRepoRequest", repo=new("pfs_v2.Repo", name="data")))
        unary = median([seconds(lambda: client("versionpb_v2.API/GetVersion", nothing)) for _ in range(CALLS)])
        unary_busy = processor(pid, lambda: [client("versionpb_v2.API/GetVersion", nothing) for _ in range(CALLS)]) / CALLS
        one = [(f"/one/{number}", b"x") for number in range(100)]
        took: list[float] = []
        put_busy = processor(
            pid, lambda: took.extend(seconds(lambda file=file: client("pfs_v2.API/ModifyFile", puts(iter([file])))) for file in one)
        )
        put_one = median(took)
        said = f"empty handler {floor:.3g}: {verdict(unary / floor, 1.5)}; of processor {unary_busy:.2g} and {floor_busy:.2g}"
        rows.append(["GetVersion", unary, said])
        rows.append(["put one small file", put_one, f"{verdict(put_one, 0.002)}; {put_busy / len(one):.2g} of processor"])
        files = [(f"/small/{number % 100:02}/{number:05}", b"x" * 100) for number in range(SMALL)]
        put_all = seconds(lambda: client("pfs_v2.API/ModifyFile", puts(iter(files))))
        rows.append(["put 10,000 small files", put_all, f"put file -r {own_small:.3g}: {verdict(put_all / own_small, 2)}"])
        walk = new("pfs_v2.WalkFileRequest", file=at("/small"))
        list_busy = processor(pid, lambda: took.append(seconds(lambda: client("pfs_v2.API/WalkFile", walk))))
        rows.append(["list 10,000", took[-1], f"{verdict(took[-1], 0.6)}; {list_busy:.2g} of processor"])
        get_tar = seconds(lambda: client("pfs_v2.API/GetFileTAR", new("pfs_v2.GetFileRequest", file=at("/small"))))
        rows.append(["get 10,000 as TAR", get_tar, f"get file -r {own_tar:.3g}: {verdict(get_tar / own_tar, 1)}"])
        put_large = seconds(lambda: client("pfs_v2.API/ModifyFile", puts(iter([("/large", content)]))))
        get_large = seconds(lambda: client("pfs_v2.API/GetFile", new("pfs_v2.GetFileRequest", file=at("/large"))))
        rows.append([f"put {mebibytes} MiB", put_large, f"put file {own_put:.3g}: {verdict(put_large / own_put, 1.2)}"])
        rows.append([f"get {mebibytes} MiB", get_large, f"get file {own_get:.3g}: {verdict(get_large / own_get, 1.2)}"])
        pachctl = os.environ.get("PACHCTL")
        if pachctl:
            context = {"PACH_CONFIG": str(home / "pachctl.json")}
            run([pachctl, "create", "repo", "p"], base, context)
            for name, words in (
                ("pachctl put file -r", ["put", "file", "-r", "p@master:/", "-f", str(small)]),
                ("pachctl list file", ["glob", "file", "p@master:/**"]),
                ("pachctl get file -r", ["get", "file", "-r", "p@master:/", "-o", str(base / "there")]),
            ):
                rows.append([name, run([pachctl, *words], base, context).wall, ""])
                if " put " in name:
                    rows[-1][-1] = f"put file -r {own_small:.3g}: {verdict(float(str(rows[-1][1])) / own_small, 2)}"
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        rows.append(["MiB at the peak", int(found[1]) / 1024 if found else 0.0, ""])
    print(table(["what", "s", "against"], rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 256)
