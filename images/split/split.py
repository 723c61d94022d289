"""Stage `split`: cuts `iris.csv` into `train.csv` and `test.csv`, four rows to one, species by species.

Standard library only, so its image has nothing to install.
"""

import math
import os
import random
import sys
from collections import Counter
from pathlib import Path

COLUMNS = ("sepal length", "sepal width", "petal length", "petal width", "species")

Row = tuple[str, ...]  # the cells as they were written, the species last


def parse(text: str, file: str) -> list[Row]:
    """The rows of a CSV text without header; blank lines are none. Raises ValueError that names file, line and column."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = tuple(cell.strip() for cell in line.split(","))
        for column, (name, cell) in enumerate(zip(COLUMNS, row, strict=False), 1):
            if name == "species":
                valid, expected = cell and cell.isprintable(), "a species"
            else:
                valid, expected = is_finite(cell), f"a number ({name})"
            if not valid:
                raise ValueError(f"{file}, line {number}, column {column}: expected {expected}, found {cell!r}")
        if len(row) != len(COLUMNS):
            column = min(len(row), len(COLUMNS)) + 1
            raise ValueError(f"{file}, line {number}, column {column}: expected {len(COLUMNS)} columns, found {len(row)}")
        rows.append(row)
    if not rows:
        raise ValueError(f"{file} is empty: expected rows of {', '.join(COLUMNS)}")
    return rows


def is_finite(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def split(rows: list[Row], seed: str) -> tuple[list[Row], list[Row]]:
    """(train, test): every row in exactly one of them, shuffled; the same seed gives the same split.

    Of each species a fifth is for testing, rounded, and at least one row. A species with a single row is only trained on: a model
    that has never seen it could not name it.
    """
    counts = Counter(row[-1] for row in rows)
    due = {species: max(1, round(count / 5)) if count > 1 else 0 for species, count in counts.items()}
    train: list[Row] = []
    test: list[Row] = []
    for row in random.Random(seed).sample(rows, len(rows)):
        due[row[-1]] -= 1
        (test if due[row[-1]] >= 0 else train).append(row)
    return train, test


def main() -> None:
    source = Path(os.environ["raw_data"], "iris.csv")
    try:
        # Bytes that are no UTF-8 survive as unprintable characters, so that parse() can say where they stand.
        rows = parse(source.read_text(encoding="utf-8-sig", errors="surrogateescape"), str(source))
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    train, test = split(rows, os.environ["SEED"])
    for name, part in (("train", train), ("test", test)):
        Path(sys.argv[1], f"{name}.csv").write_text("".join(",".join(row) + "\n" for row in part), encoding="utf-8")
    trained, tested = (Counter(row[-1] for row in part) for part in (train, test))
    for species in sorted(trained | tested):
        print(f"{species}: {trained[species]} rows to train.csv, {tested[species]} to test.csv")


if __name__ == "__main__":
    main()
