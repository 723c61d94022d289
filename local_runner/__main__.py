"""`python -m local_runner`."""

from __future__ import annotations

import os
import sys

from local_runner.cli.main import main

if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Whatever has to last is on the disk, and standard output is flushed. Taking the interpreter apart would take another 10 ms of every
    # command, and 45 of a run that loaded gRPC.
    os._exit(status)
