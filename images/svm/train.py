"""Stage `svm`: trains a support vector machine by one point, {"C": 1, "gamma": 0.1, "kernel": "rbf"}, on one fold, and scores it there.

Writes `k3-s0/POINT/FOLD.json` with the share of the test rows that were named correctly.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(grey values, digits) of a CSV file."""
    rows = np.loadtxt(path, delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(int)


def main() -> None:
    source, fold = Path(os.environ["points"]), Path(os.environ["digits"])
    point = json.loads(source.read_text())
    model = make_pipeline(StandardScaler(), SVC(**point)).fit(*read_table(fold / "train.csv"))
    result = point | {"accuracy": model.score(*read_table(fold / "test.csv"))}
    target = Path(sys.argv[1], fold.parent.name, source.stem, f"{fold.name}.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    if "PACH_DATUM_ID" in os.environ:  # of a pipeline without datum_batching: there is one datum, and it is here
        main()
    else:
        from python_pachyderm import batch_all_datums

        batch_all_datums(main)()
