import json
import pickle

import pytest

ENV = {"split": "/pfs/split/test.csv", "model": "/pfs/model/model_C0.031_G0.25.pkl"}


def test_a_score_counts_correct_guesses_in_all_and_per_species(score):
    assert score.score(["a", "a", "a", "b"], ["a", "a", "b", "b"]) == {
        "correct": 3,
        "total": 4,
        "accuracy": 0.75,
        "species": {
            "a": {"support": 3, "precision": 1.0, "recall": 2 / 3},
            "b": {"support": 1, "precision": 0.5, "recall": 1.0},
        },
    }


def test_a_species_never_guessed_has_no_precision_and_one_without_rows_no_recall(score):
    species = score.score(["a"], ["b"])["species"]
    assert species["a"] == {"support": 1, "precision": None, "recall": 0.0}
    assert species["b"] == {"support": 0, "precision": 0.0, "recall": None}


@pytest.fixture
def model(train):
    return pickle.dumps(train.train([[0, 0, 0, 0], [1, 1, 1, 1], [9, 9, 9, 9], [8, 8, 8, 8]], ["low", "low", "high", "high"], 8.0, 0.25))


def test_the_result_is_named_as_the_model_and_has_its_parameters(score, run, model):
    out = run(score, {ENV["split"]: "0,0,0,0,low\n9,9,9,9,high\n1,1,1,1,high\n", ENV["model"]: model}, **ENV)
    result = json.loads(out["model_C0.031_G0.25.json"])
    assert (result["C"], result["gamma"], result["correct"], result["total"]) == (8.0, 0.25, 2, 3)


def test_the_bytes_of_a_result_do_not_depend_on_the_order_of_the_rows(score, run, model, tmp_path_factory):
    rows = "0,0,0,0,low\n9,9,9,9,high\n"
    (content,) = run(score, {ENV["split"]: rows, ENV["model"]: model}, **ENV).values()
    assert content == (json.dumps(json.loads(content), indent=2, sort_keys=True) + "\n").encode()
    assert list(json.loads(content)["species"]) == ["high", "low"]


def test_without_rows_there_is_nothing_to_test_with(score, run, model):
    with pytest.raises(ValueError, match=r"test.csv has no rows to test with"):
        run(score, {ENV["split"]: "", ENV["model"]: model}, **ENV)
