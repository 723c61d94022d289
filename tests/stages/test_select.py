import json

import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(st.dictionaries(st.text(), st.integers(0, 30), min_size=1))
def test_all_names_tied_for_the_most_win_and_nobody_else(choose, correct):
    assert choose.winners(correct) == sorted(name for name in correct if all(correct[name] >= other for other in correct.values()))


def files(**correct):
    models = {f"/pfs/model/{name}.pkl": f"\x80 {name}".encode("latin-1") for name in correct}
    return models | {f"/pfs/test/{name}.json": json.dumps({"correct": count, "total": 30}) for name, count in correct.items()}


def test_tied_models_are_copied_under_their_names_bit_for_bit(choose, run, capsys):
    out = run(choose, files(worst=1, first=27, second=27), model="/pfs/model", test="/pfs/test")
    assert out == {"first.pkl": b"\x80 first", "second.pkl": b"\x80 second"}
    assert capsys.readouterr().out == "2 of 3 models name 27 of 30 rows correctly: first, second\n"


def test_a_winner_without_its_model_is_an_error_that_names_it(choose, run):
    present = files(first=27, second=27)
    del present["/pfs/model/second.pkl"]
    with pytest.raises(FileNotFoundError, match=r"/pfs/model/second.pkl"):
        run(choose, present, model="/pfs/model", test="/pfs/test")
