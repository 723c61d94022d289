"""What the peers share: the stages' pure functions, loaded from `images/`, and the search they all do."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
SEED = "1"  # as in pipelines/split.json

Table = tuple[list[list[float]], list[str]]  # features, species


def load(stage: str, name: str) -> ModuleType:
    """The code of a stage as a module."""
    spec = importlib.util.spec_from_file_location(f"stage_{stage}", ROOT / "images" / stage / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parts() -> tuple[Table, Table]:
    """(train, test), cut as the stage `split` does."""
    split = load("split", "split")
    source = ROOT / "data" / "noisy_iris.csv"
    train, test = split.split(split.parse(source.read_text(), str(source)), SEED)
    return table(train), table(test)


def table(rows: list[tuple[str, ...]]) -> Table:
    return [[float(cell) for cell in row[:-1]] for row in rows], [row[-1] for row in rows]


def grid() -> tuple[list[float], list[float]]:
    """The values of (C, gamma)."""
    c, gamma = ((ROOT / "parameters" / f"{name}_parameters.txt").read_text().split() for name in ("c", "gamma"))
    return [float(value) for value in c], [float(value) for value in gamma]
