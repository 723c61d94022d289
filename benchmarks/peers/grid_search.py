"""The same search as scikit-learn's users write it: GridSearchCV on two processes, with the same rows for training and testing.

python benchmarks/peers/grid_search.py FOLDER      # writes the winners there
"""

import pickle
import sys
from pathlib import Path

from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from stages import grid, load, parts


def main(folder: Path) -> None:
    training, testing = parts()
    c, gamma = grid()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SVC(kernel="rbf")),
        {"svc__C": c, "svc__gamma": gamma},
        cv=PredefinedSplit([-1] * len(training[1]) + [0] * len(testing[1])),
        n_jobs=2,
        refit=False,  # it would fit the first winner only, and on the test rows too
    ).fit(training[0] + testing[0], training[1] + testing[1])
    train = load("model", "train").train
    folder.mkdir(parents=True, exist_ok=True)
    results = search.cv_results_
    for rank, accuracy, point in zip(results["rank_test_score"], results["mean_test_score"], results["params"], strict=True):
        if rank == 1:
            name = f"model_C{point['svc__C']}_G{point['svc__gamma']}"
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(train(*training, point["svc__C"], point["svc__gamma"])))
            print(f"{name}: {round(accuracy * len(testing[1]))} of {len(testing[1])}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
