"""Stage `test`: lets one model name the species of the test rows and writes how well it did to `model_C<C>_G<gamma>.json`."""

import gc
import json
import os
import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any


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
    model = pickle.loads(source.read_bytes())
    parameters = {"C": model["svc"].C, "gamma": model["svc"].gamma}
    result = parameters | score(truth, model.predict(features).tolist())
    Path(sys.argv[1], f"{source.stem}.json").write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    # Starting is most of this stage's time. The image has neither pandas nor rich; where the host has, scikit-learn would import them
    # for nothing (0.2 s of 1.1 s). And what is imported stays: looking for garbage among it takes another 0.3 s.
    sys.modules |= {"pandas": None, "rich": None}  # type: ignore[dict-item]
    gc.disable()
    # Not used by name; unpickling a model needs them, and imported before the first datum they are paid for once.
    import sklearn.pipeline
    import sklearn.preprocessing
    import sklearn.svm  # noqa: F401

    del sys.modules["pandas"], sys.modules["rich"]
    if "PACH_DATUM_ID" in os.environ:  # of a pipeline without datum_batching: there is one datum, and it is here
        run = main
    else:
        # Not at the top, so that score() can be used where there is no worker to ask for datums.
        from python_pachyderm import batch_all_datums

        run = batch_all_datums(main)
    gc.freeze()
    gc.enable()
    run()
