"""Stage `model`: trains one support vector machine per (C, gamma) and writes it to `model_C<C>_G<gamma>.pkl`."""

import math
import os
import pickle
import sys
from pathlib import Path

from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def read_table(path: Path) -> tuple[list[list[float]], list[str]]:
    """(features, species) of a headerless CSV file. Raises ValueError if fewer than two species are in it."""
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    species = [row[-1] for row in rows]
    if len(set(species)) < 2:
        raise ValueError(f"{path}: nothing to tell apart, found {' and '.join(set(species)) or 'no rows'}; at least two species are needed")
    return [[float(cell) for cell in row[:-1]] for row in rows], species


def read_parameter(path: Path) -> float:
    """The number in a file that is one line of a parameter file, named by its hexadecimal index as `put file --split line` does.

    Raises ValueError that names the parameter file, the line and its content.
    """
    text = path.read_text(errors="replace")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{path.parent.name}, line {int(path.name, 16) + 1} ({path}): expected a positive number, found {text.strip()!r}")
    return value


def train(features: list[list[float]], species: list[str], c: float, gamma: float) -> Pipeline:
    """A scaler and an SVC with the rbf kernel; with the linear one gamma would be without effect."""
    return make_pipeline(StandardScaler(), SVC(kernel="rbf", C=c, gamma=gamma)).fit(features, species)


def main() -> None:
    c, gamma = (read_parameter(Path(os.environ[name])) for name in ("c_parameters", "gamma_parameters"))
    model = train(*read_table(Path(os.environ["split"])), c, gamma)
    Path(sys.argv[1], f"model_C{c}_G{gamma}.pkl").write_bytes(pickle.dumps(model))


if __name__ == "__main__":
    if "PACH_DATUM_ID" in os.environ:  # without `datum_batching`: a process for each datum
        main()
    else:
        # Not at the top: train() is used where there is no worker to ask for datums.
        from python_pachyderm import batch_all_datums

        batch_all_datums(main)()
