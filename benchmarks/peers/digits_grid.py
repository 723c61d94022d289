"""Peers of a grid search on the digits: GridSearchCV(n_jobs=N), joblib, one loop, or a Makefile of one process a point and fold.

digits_grid.py svm_large gridsearch|joblib|loop N
digits_grid.py svm_large one KERNEL C GAMMA FOLD      # what the Makefile runs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

GRID = json.loads((Path(__file__).parents[2] / "parameters" / f"{sys.argv[1]}.json").read_text())
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


def score(kernel: str, c: float, gamma: float, fold: int) -> float:
    digits = load_digits()
    train, test = list(FOLDS.split(digits.data, digits.target))[fold]
    model = make_pipeline(StandardScaler(), SVC(kernel=kernel, C=c, gamma=gamma)).fit(digits.data[train], digits.target[train])
    return float(model.score(digits.data[test], digits.target[test]))


def points() -> list[tuple[str, float, float, int]]:
    return [(k, c, g, fold) for k in GRID["kernel"] for c in GRID["C"] for g in GRID["gamma"] for fold in range(3)]


def main(way: str, *rest: str) -> None:
    if way == "gridsearch":
        digits = load_digits()
        grid = {f"svc__{name}": values for name, values in GRID.items()}
        search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=FOLDS, n_jobs=int(rest[0]), refit=False)
        print(search.fit(digits.data, digits.target).best_score_)
    elif way == "joblib":
        from joblib import Parallel, delayed

        print(max(Parallel(n_jobs=int(rest[0]))(delayed(score)(*point) for point in points())))
    elif way == "loop":
        print(max(score(*point) for point in points()))
    else:
        print(score(rest[0], float(rest[1]), float(rest[2]), int(rest[3])))


if __name__ == "__main__":
    main(*sys.argv[2:])
