"""The S3 gateway of a worker: a process beside the engine that shows a job's inputs as buckets, and takes its output (reference pps 3.2).

Its port is on the loopback interface that the worker's processes see. What it serves is another for each job the worker works for.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from local_runner.errors import Unavailable, WorkerLost
from local_runner.executors.base import Worker
from local_runner.model.datums import Datum
from local_runner.model.inputs import leaves
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import JobRef
from local_runner.storage.home import VARIABLE

_LOOPBACK = "127.0.0.1"
_CREDENTIALS = "default"  # a cluster's, while it has no users
_PATIENCE = 5.0  # seconds for it to end by itself

_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from local_runner.s3.job import main
main(sys.argv[2])
"""


def uses_s3(spec: PipelineSpec) -> bool:
    """Whether a pipeline reads or writes by S3."""
    return spec.s3_out or any(leaf.s3 for leaf in leaves(spec.input))


def s3_env(port: int) -> dict[str, str]:
    """The variables that lead user code to a gateway."""
    return {
        "S3GATEWAY_PORT": str(port),
        "S3_ENDPOINT": f"http://{_LOOPBACK}:{port}",
        "AWS_ACCESS_KEY_ID": _CREDENTIALS,
        "AWS_SECRET_ACCESS_KEY": _CREDENTIALS,
    }


@contextlib.contextmanager
def s3_gateway(home: Path, spec: PipelineSpec) -> Iterator[S3Gateway | None]:
    """A gateway for a worker of a pipeline that uses S3, else None. Raises `Unavailable`."""
    gateway = S3Gateway(home) if uses_s3(spec) else None
    try:
        yield gateway
    finally:
        if gateway:
            gateway.close()


class S3Gateway:
    """The engine's end of a worker's gateway. It ends with `close`, and with the engine."""

    def __init__(self, home: Path) -> None:
        """Start it, and hold a port for it: it gets ready while the worker does. Raises `Unavailable`."""
        self._reservation: socket.socket | None = socket.socket()
        try:
            self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._reservation.bind((_LOOPBACK, 0))
        except OSError as why:
            self._reservation.close()
            raise Unavailable(f"no port on the loopback interface: {why.strerror}", hint="S3 needs one on 127.0.0.1") from why
        self.port: int = self._reservation.getsockname()[1]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name != VARIABLE},
            start_new_session=True,  # Ctrl-C in the engine's terminal is for the engine
        )

    def attach(self, worker: Worker) -> None:
        """Have it listen where the worker's processes are. Raises `Unavailable`."""
        try:
            self._order({"inside": worker.inside, "port": self.port})
        finally:
            self._let_go()

    def serve(self, datums: Sequence[Datum], output: JobRef | None = None) -> None:
        """Serve the inputs of a job, as these datums have them, and the output of a job if one is named. Raises `Unavailable`."""
        found = {file.source.name: file for datum in datums[:1] for file in datum.inputs if file.source.s3}
        inputs = {name: [*file.source.source.repo, file.commit] for name, file in found.items()}
        written = [output.pipeline.project, output.pipeline.name, output.id] if output else None
        self._order({"inputs": inputs, "output": written})

    def close(self) -> None:
        self._let_go()
        with contextlib.suppress(OSError):
            assert self._process.stdin
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def _let_go(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def _order(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        assert self._process.stdout
        answer = b""
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise WorkerLost("the S3 gateway of a worker ended unexpectedly", hint="was it killed, or is memory short?")
        error = json.loads(answer)
        if error:
            raise Unavailable(f"the S3 gateway of a worker cannot listen: {error}")
