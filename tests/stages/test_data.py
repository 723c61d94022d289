"""The files around the stages: data, parameters, specs, images and the project file."""

import ast
import json
import tomllib
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("split", "model", "test", "select")
SPECS = {stage: json.loads((ROOT / "pipelines" / f"{stage}.json").read_text()) for stage in STAGES}
PROJECT = tomllib.loads((ROOT / "local_runner.toml").read_text())


def parameters(name):
    return [float(line) for line in (ROOT / "parameters" / f"{name}_parameters.txt").read_text().splitlines()]


def test_the_committed_data_is_what_the_script_makes(load):
    assert (ROOT / "data" / "noisy_iris.csv").read_text() == load("data/make_noisy_iris.py").noisy_iris()


def test_the_data_are_fifty_rows_of_three_species(split):
    rows = split.parse((ROOT / "data" / "noisy_iris.csv").read_text(), "noisy_iris.csv")
    assert Counter(row[-1] for row in rows) == {"Iris-setosa": 50, "Iris-versicolor": 50, "Iris-virginica": 50}
    assert all(float(cell) > 0 for row in rows for cell in row[:-1])


def test_the_grid_has_77_points():
    assert parameters("c") == [0.031, 0.125, 0.5, 2, 8, 32, 128, 512, 2048, 8192, 32768]
    assert parameters("gamma") == [0.001, 0.004, 0.016, 0.063, 0.25, 1, 4]


def test_no_setting_is_perfect_and_both_parameters_matter(split, train, score, choose):
    rows = split.parse((ROOT / "data" / "noisy_iris.csv").read_text(), "noisy_iris.csv")
    training, testing = split.split(rows, SPECS["split"]["transform"]["env"]["SEED"])
    features, truth = [[[float(cell) for cell in row[:-1]] for row in part] for part in (training, testing)], [row[-1] for row in testing]
    correct = {}
    for c, gamma in product(parameters("c"), parameters("gamma")):
        model = train.train(features[0], [row[-1] for row in training], c, gamma)
        correct[c, gamma] = score.score(truth, model.predict(features[1]).tolist())["correct"]

    def spread(parameter, value):
        counts = [count for point, count in correct.items() if point[parameter] == value]
        return max(counts) - min(counts)

    assert max(correct.values()) < len(truth)
    assert 2 <= len(choose.winners(correct)) <= 5
    assert min(spread(0, c) for c in parameters("c")) >= 4
    assert min(spread(1, gamma) for gamma in parameters("gamma")) >= 4


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        ("split", [("raw_data", "raw_data", "/")]),
        (
            "model",
            [
                ("split", "split", "/train.csv"),
                ("c_parameters", "parameters", "/c_parameters.txt/*"),
                ("gamma_parameters", "parameters", "/gamma_parameters.txt/*"),
            ],
        ),
        ("test", [("split", "split", "/test.csv"), ("model", "model", "/*")]),
        ("select", [("model", "model", "/"), ("test", "test", "/")]),
    ],
)
def test_the_inputs_of_a_stage_are_what_its_code_reads(stage, inputs):
    spec = SPECS[stage]["input"]
    found = [child["pfs"] for child in spec.get("cross", [spec])]
    assert [(pfs.get("name", pfs["repo"]), pfs["repo"], pfs["glob"]) for pfs in found] == inputs


def test_a_spec_is_named_as_its_file_and_only_warm_stages_batch():
    assert [spec["pipeline"] for spec in SPECS.values()] == [{"name": stage} for stage in STAGES]
    assert {stage for stage in STAGES if SPECS[stage]["transform"].get("datum_batching")} == {"model", "test"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_of_a_stage_is_the_code_its_image_holds(stage):
    transform = SPECS[stage]["transform"]
    image, _, tag = transform["image"].partition(":")
    assert tag not in ("", "latest")
    dockerfile = (ROOT / PROJECT["images"][image] / "Dockerfile").read_text().splitlines()
    code = Path(transform["cmd"][1])
    assert f"WORKDIR {code.parent}" in dockerfile
    assert dockerfile[-1] == f"COPY {code.name} ."
    assert (ROOT / PROJECT["images"][image] / code.name).is_file()


def test_a_model_is_read_with_the_versions_it_was_written_with():
    pins = [(ROOT / "images" / stage / "requirements.txt").read_text() for stage in ("model", "test")]
    assert pins[0] == pins[1]


@pytest.mark.parametrize("path", sorted((ROOT / "images").glob("**/*.py")), ids=lambda path: path.name)
def test_a_stage_knows_nothing_of_the_runner(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) if node.module}
    assert imported
    assert not {name for name in imported if name.split(".")[0] == "local_runner"}


def test_the_project_file_names_files_that_exist():
    assert sorted(path.stem for pattern in PROJECT["pipelines"] for path in ROOT.glob(pattern)) == sorted(STAGES)
    for repo in PROJECT["repo"]:
        assert all((ROOT / source).is_file() for source in repo["files"].values())
