"""The program that serves one worker: its job's inputs as buckets to be read, and `out` to be written.

Orders come as lines of JSON on standard input, and each is answered by a line: why it cannot be done, or "". First where to listen
(`inside` is a process whose network that is, 0 for the host's, and `port`), then, again for each job, what to serve.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from local_runner.model.refs import CommitQuery, RepoRef
from local_runner.runner import Runner
from local_runner.s3.buckets import Bucket, JobBuckets
from local_runner.s3.routes import Gateway
from local_runner.s3.server import UPLOADS, Listener, S3Server
from local_runner.s3.uploads import Uploads

OUTPUT = "out"
_LOOPBACK = "127.0.0.1"
_BACKLOG = 128


def main(home: str) -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    where = json.loads(sys.stdin.readline() or "{}")
    if not where:
        return
    try:
        listening = _listen(where["inside"], where["port"])
    except OSError as why:
        _answer(str(why))
        return
    with Runner.open(Path(home), background=False, create=False) as runner:
        place = runner.home / UPLOADS / f"worker-{os.getpid()}"
        uploads = Uploads(place)
        listener = Listener(listening, runner, Gateway(runner, JobBuckets(runner, {}), uploads), "", lambda line: None)
        with S3Server(listener):
            _answer("")
            for line in sys.stdin:
                listener.gateway = Gateway(runner, JobBuckets(runner, read_buckets(json.loads(line))), uploads)
                _answer("")
        shutil.rmtree(place, ignore_errors=True)


def read_buckets(order: dict[str, Any]) -> dict[str, Bucket]:
    """The buckets of a job, from the order of the engine: `inputs` are name -> project, repo, type and commit, `output` is a job."""
    found = {
        name: Bucket(name, CommitQuery(RepoRef(project, repo, type), id=commit), writable=False, has_versions=False)
        for name, (project, repo, type, commit) in order["inputs"].items()
    }
    if order["output"]:
        project, name, job = order["output"]
        output = CommitQuery(RepoRef(project, name), id=job)
        found[OUTPUT] = Bucket(OUTPUT, output, readable=False, has_versions=False, is_output=True)
    return found


def _listen(inside: int, port: int) -> socket.socket:
    """A socket that listens in the network of another process; made by a child that enters it, so that this one stays where it is."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _listen_there(theirs, inside, port)
    theirs.close()
    said, descriptors, _, _ = socket.recv_fds(ours, 1000, 1)
    ours.close()
    os.waitpid(child, 0)
    if not descriptors:
        raise OSError(said.decode(errors="replace") or "it cannot enter the worker's network")
    return socket.socket(fileno=descriptors[0])


def _listen_there(parent: socket.socket, inside: int, port: int) -> None:
    """In the child: does not come back."""
    try:
        if inside:
            from local_runner.executors.launcher.join import join_namespaces  # Linux only

            join_namespaces(inside)
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the engine holds the port until it is taken
        listening.bind((_LOOPBACK, port))
        listening.listen(_BACKLOG)
        socket.send_fds(parent, [b"+"], [listening.fileno()])
    except OSError as why:
        parent.sendall(str(why).encode())
    finally:
        os._exit(0)


def _answer(error: str) -> None:
    print(json.dumps(error), flush=True)
