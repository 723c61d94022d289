"""Stage `test`: lets one model name the species of the test rows and writes how well it did to `model_C<C>_G<gamma>.json`."""

import json
import os
import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.svm import SVC


def read_table(path: Path) -> tuple[list[list[float]], list[str]]:
    """(features, species) of a headerless CSV file. Raises ValueError if it has no rows."""
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise ValueError(f"{path} has no rows to test with: give at least one species a second row in the input of `split`")
    return [[float(cell) for cell in row[:-1]] for row in rows], [row[-1] for row in rows]


def score(truth: list[str], guesses: list[str]) -> dict[str, Any]:
    """How many guesses are correct, in all and per species: `precision` of the guesses that named it, `recall` of its rows.

    A share of nothing (a species that was never guessed, or has no rows) is None.
    """
    rows, guessed = Counter(truth), Counter(guesses)
    hits = Counter(true for true, guess in zip(truth, guesses, strict=True) if true == guess)
    return {
        "correct": hits.total(),
        "total": len(truth),
        "accuracy": hits.total() / len(truth),
        "species": {
            name: {
                "support": rows[name],
                "precision": hits[name] / guessed[name] if guessed[name] else None,
                "recall": hits[name] / rows[name] if rows[name] else None,
            }
            for name in rows | guessed
        },
    }


def main() -> None:
    features, truth = read_table(Path(os.environ["split"]))
    source = Path(os.environ["model"])
    model: Pipeline = pickle.loads(source.read_bytes())
    svc: SVC = model["svc"]
    result = {"C": svc.C, "gamma": svc.gamma} | score(truth, model.predict(features).tolist())
    Path(sys.argv[1], f"{source.stem}.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    if "PACH_DATUM_ID" in os.environ:  # without `datum_batching`: a process for each datum
        main()
    else:
        # Not at the top: score() is used where there is no worker to ask for datums.
        from python_pachyderm import batch_all_datums

        batch_all_datums(main)()
