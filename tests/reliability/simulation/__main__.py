"""Plays histories: `python -m tests.reliability.simulation --seeds 1:1000`; one seed alone says all its steps."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from local_runner.storage import home
from tests.reliability.simulation.history import History

LENGTH = 12  # steps of a history


def play(seed: int, length: int = LENGTH) -> tuple[History, str]:
    """One history, and what was wrong in it, "" if nothing."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        home._MEMORY, home._DISK = Path(folder, "memory"), Path(folder, "disk")
        for place in (home._MEMORY, home._DISK):
            place.mkdir()
        history = History(seed, Path(folder))
        try:
            history.play(length)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return history, "".join(traceback.format_exception(error))
        return history, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one, and say what happens")
    parser.add_argument("--seeds", default="1:100", help="first:last, the last one left out")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so long")
    parser.add_argument("--length", type=int, default=LENGTH)
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is chance, too
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.reliability.simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    first, last = (given.seed, given.seed + 1) if given.seed is not None else map(int, given.seeds.split(":"))
    began, real_time = time.monotonic(), time.monotonic
    for seed in range(first, last):
        history, wrong = play(seed, given.length)
        print(
            json.dumps(
                {"seed": seed, "steps": len(history.said), "points": history.points, "wrong": wrong, "said": history.said if wrong else []}
            ),
            flush=True,
        )
        if given.seed is not None:
            print("\n".join(history.said))
            print(wrong)
        if given.seconds and real_time() - began > given.seconds:
            break
    os._exit(0)  # threads of histories that hung may be left


if __name__ == "__main__":
    main()
