import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = "5.1,3.5,1.4,0.2,Iris-setosa\n4.9,3.0,1.4,0.2,Iris-setosa\n7.0,3.2,4.7,1.4,Iris-versicolor\n6.3,3.3,6.0,2.5,Iris-virginica\n"
GRID = [(c, gamma) for c in (0.031, 8.0, 32768.0) for gamma in (0.001, 0.25, 4.0)]

C, GAMMA = "/pfs/c_parameters/c_parameters.txt/0000000000000000", "/pfs/gamma_parameters/gamma_parameters.txt/000000000000000a"
ENV = {"split": "/pfs/split/train.csv", "c_parameters": C, "gamma_parameters": GAMMA}


def files(c="0.031\n", gamma="0.250\n", table=TABLE):
    return {"/pfs/split/train.csv": table, C: c, GAMMA: gamma}


def digests(train, table, grid):
    """Of each point the hash of its pickled model, trained in the order given."""
    features, species = train.read_table(table)
    return {f"{c} {gamma}": hashlib.sha256(pickle.dumps(train.train(features, species, c, gamma))).hexdigest() for c, gamma in grid}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes((ROOT / "data" / "noisy_iris.csv").read_bytes())
    return path


def test_a_model_is_named_by_its_parameters_as_python_prints_them(train, run):
    assert list(run(train, files(), **ENV)) == ["model_C0.031_G0.25.pkl"]


def test_a_model_is_a_scaler_and_an_svc_with_the_rbf_kernel(train, run):
    (content,) = run(train, files(), **ENV).values()
    scaler, svc = pickle.loads(content)
    assert type(scaler).__name__ == "StandardScaler"
    assert (type(svc).__name__, svc.kernel, svc.C, svc.gamma) == ("SVC", "rbf", 0.031, 0.25)
    assert list(svc.classes_) == ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]


def test_a_warm_process_gives_the_same_bytes_every_time_and_in_any_order(train, table):
    assert digests(train, table, GRID) == digests(train, table, GRID[::-1]) == digests(train, table, GRID)


def test_another_process_gives_the_same_bytes(train, table):
    code = f"""
import sys; sys.path[:0] = [{str(ROOT / "images" / "model")!r}, {str(Path(__file__).parent)!r}]
import pathlib, train, test_model
for point, digest in test_model.digests(train, pathlib.Path({str(table)!r}), test_model.GRID[::-1]).items():
    print(point, digest)
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[::-1] == [f"{point} {digest}" for point, digest in digests(train, table, GRID).items()]


@pytest.mark.parametrize("line", ["abc\n", "\n", "", "nan\n", "inf\n", "0\n", "-1.0\n", "1.0 2.0\n", "1.0\n2.0\n"])
def test_a_line_that_is_no_positive_number_is_named_by_file_line_and_content(train, run, line):
    with pytest.raises(ValueError, match="gamma_parameters") as caught:
        run(train, files(gamma=line), **ENV)
    assert str(caught.value).startswith("gamma_parameters.txt, line 11 (")
    assert str(caught.value).endswith(f"): expected a positive number, found {line.strip()!r}")


@pytest.mark.parametrize(("table", "found"), [("", "no rows"), ("1,2,3,4,rose\n", "rose")])
def test_one_species_is_nothing_to_learn(train, run, table, found):
    with pytest.raises(ValueError, match=rf"train.csv: nothing to tell apart, found {found}"):
        run(train, files(table=table), **ENV)
