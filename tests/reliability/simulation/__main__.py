"""Plays histories: `python -m tests.reliability.simulation --seeds 1:1000`; one seed alone says all its steps."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

from local_runner.storage import home
from tests.reliability.simulation.history import History

LENGTH = 14  # steps of a history


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
    """Plays them, and prints those that went wrong and at last the counts, each as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one, and say what happens")
    parser.add_argument("--seeds", default="1:100", help="first:last, the last one left out")
    parser.add_argument("--length", type=int, default=LENGTH)
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is chance, too
        words = [sys.executable, "-m", "tests.reliability.simulation", *sys.argv[1:]]
        os.execve(sys.executable, words, {**os.environ, "PYTHONHASHSEED": "0"})
    if given.seed is not None:
        history, wrong = play(given.seed, given.length)
        print(*history.said, wrong, sep="\n", flush=True)
    else:
        _play_all(*map(int, given.seeds.split(":")), given.length)
    os._exit(0)  # threads of histories that hung may be left


def _play_all(first: int, last: int, length: int) -> None:
    counts = {"histories": 0, "steps": 0, "points": 0, "kills": 0, "faults": 0}
    for seed in range(first, last):
        history, wrong = play(seed, length)
        if wrong:
            print(json.dumps({"seed": seed, "wrong": wrong, "said": history.said}), flush=True)
        found = {
            "histories": 1,
            "steps": len(history.said),
            "points": history.points,
            "kills": history.kills,
            "faults": history.disk.faults,
        }
        counts = {name: count + found[name] for name, count in counts.items()}
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
