"""What a command costs that only looks: whole processes, beside a Python that does nothing.

python benchmarks/small_commands.py [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measure import machine, median, run, table, verdict

RUNNER = (sys.executable, "-m", "local_runner")
NOTHING = "python -c pass"
BARS = {"list repo": 0.08}  # seconds on the clock


def main(rounds: int) -> None:
    print(machine(), end="\n\n")
    ways = {
        NOTHING: (sys.executable, "-c", "pass"),
        "list repo": (*RUNNER, "list", "repo"),
        "list repo --help": (*RUNNER, "list", "repo", "--help"),
        "completion": (*RUNNER, "completion", "bash", "--words", "--", "list", "r"),
    }
    with tempfile.TemporaryDirectory(prefix="small-") as name:
        folder, home = Path(name), {"LOCAL_RUNNER_HOME": f"{name}/home"}
        run((*RUNNER, "create", "repo", "data"), folder, home)
        found = [{way: run(argv, folder, home) for way, argv in ways.items()} for _ in range(rounds)]
    rows = []
    for way in ways:
        wall, cpu = median([took[way].wall for took in found]), median([took[way].cpu for took in found])
        more = median([took[way].cpu - took[NOTHING].cpu for took in found])
        rows.append((way, min(took[way].wall for took in found), wall, cpu, more, verdict(wall, BARS[way]) if way in BARS else ""))
    print(table(("command", "best s", "median s", "processor s", "beyond Python's start, processor s", "bar"), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
