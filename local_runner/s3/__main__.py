"""`python -m local_runner.s3`: the gateway of the home of this folder, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from local_runner.errors import LocalRunnerError
from local_runner.runner import Runner
from local_runner.s3.server import PORT, serve_s3


def main() -> int:
    """The status of the process."""
    parser = argparse.ArgumentParser(prog="python -m local_runner.s3", description="Serve the repos of the home to clients of S3.")
    parser.add_argument("--port", type=int, default=PORT, help=f"the port, {PORT} unless told; 0 for a free one")
    parser.add_argument("--token-file", type=Path, help="a file whose first line requests must be signed with")
    arguments = parser.parse_args()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    try:
        token = arguments.token_file.read_text().split("\n", 1)[0].strip() if arguments.token_file else ""
        with Runner.open() as runner, serve_s3(runner, ("127.0.0.1", arguments.port), token) as server:
            print(f"serving {runner.home} on {server.address}", flush=True)
            told.wait()
    except LocalRunnerError as error:
        print(f"{error.message}\nhint: {error.hint}" if error.hint else error.message, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
