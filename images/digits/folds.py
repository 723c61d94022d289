"""Stage `digits`: cuts handwritten digits into folds, as a file like `k3-s0.json` says: {"k": 3, "seed": 0}.

For each fold a folder `k3-s0/0` with `train.csv` and `test.csv`: the grey values of a digit in each row, and which digit it is. The digits
are scikit-learn's own 1,797, or those of the input `rows` if there is one.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold


def read_rows() -> np.ndarray:
    """Grey values, and the digit in the last column."""
    if "rows" in os.environ:
        return np.loadtxt(os.environ["rows"], delimiter=",", dtype=int)
    digits = load_digits()
    return np.column_stack([digits.data, digits.target]).astype(int)


def main() -> None:
    source = Path(os.environ["folds"])
    asked = json.loads(source.read_text())
    rows = read_rows()
    folds = StratifiedKFold(asked["k"], shuffle=True, random_state=asked["seed"])
    for number, (train, test) in enumerate(folds.split(rows, rows[:, -1])):
        folder = Path(sys.argv[1], source.stem, str(number))
        folder.mkdir(parents=True)
        np.savetxt(folder / "train.csv", rows[train], fmt="%d", delimiter=",")
        np.savetxt(folder / "test.csv", rows[test], fmt="%d", delimiter=",")


if __name__ == "__main__":
    main()
