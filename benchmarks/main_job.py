"""The search as a whole: `python -m local_runner` from empty, with nothing changed and after one added C, against two peers.

python benchmarks/main_job.py [ROUNDS]      # whole processes, alternating; 10 s a round on two idle cores
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from measure import Took, machine, median, run, table, verdict

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
PARTS = ("pipelines", "images", "data", "parameters", "local_runner.toml")
EMPTY, SAME, ADDED, SEQUENTIAL, GRID = "from empty", "nothing changed", "one added C", "(a) sequential", "(b) GridSearchCV(n_jobs=2)"
LEAST_ROUNDS = 5


def one_round(folder: Path) -> dict[str, Took]:
    """Each of the five once, on a fresh copy of the project."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    search = [sys.executable, "-m", "local_runner", "--quiet"]
    home = {"LOCAL_RUNNER_HOME": str(folder / "home")}
    took = {EMPTY: run(search, folder, home), SEQUENTIAL: run([sys.executable, PEERS / "sequential.py", folder / "a"], folder)}
    took[SAME] = run(search, folder, home)
    with (folder / "parameters" / "c_parameters.txt").open("a") as values:
        values.write("3.5\n")
    took[ADDED] = run(search, folder, home)
    took[GRID] = run([sys.executable, PEERS / "grid_search.py", folder / "b"], folder)
    return took


def main(rounds: int) -> None:
    print(machine())
    taken: list[dict[str, Took]] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="main_job-") as folder:
            taken.append(one_round(Path(folder)))
        print(f"round {number + 1}: " + ", ".join(f"{name} {took.wall:.2f}" for name, took in taken[-1].items()), file=sys.stderr)
    rows = []
    for name, bar, peer in ((EMPTY, 1.5, GRID), (SAME, 0.25, SEQUENTIAL), (ADDED, 1.0, SEQUENTIAL), (SEQUENTIAL, 0, ""), (GRID, 0, "")):
        walls, cpus = [took[name].wall for took in taken], [took[name].cpu for took in taken]
        row: list[object] = [name, min(walls), median(walls), median(cpus)]
        if peer:
            # Of each round its own: what else the machine does falls on neighbours alike.
            ratio = median([took[name].wall / took[peer].wall for took in taken])
            best = min(walls) / min(took[peer].wall for took in taken)
            row += [ratio, best, f"{peer[:3]} {verdict(ratio, bar)}"]
        else:
            row += ["", "", ""]
        rows.append(row)
    print(table(("whole process", "best s", "median s", "processor s", "ratio, median", "ratio of bests", "against"), rows))


if __name__ == "__main__":
    main(max(LEAST_ROUNDS, int(sys.argv[1])) if len(sys.argv) > 1 else LEAST_ROUNDS)
