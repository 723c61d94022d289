from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

IRIS = "5.1,3.5,1.4,0.2,Iris-setosa\n"


def rows(**counts):
    """That many rows of each species, all different."""
    return [(str(number), "1", "2", "3", species) for species, count in counts.items() for number in range(count)]


@given(counts=st.dictionaries(st.sampled_from(["setosa", "virginica", "x"]), st.integers(1, 30), min_size=1), seed=st.text(max_size=3))
def test_every_row_is_in_exactly_one_of_the_two(split, counts, seed):
    given_rows = rows(**counts)
    train, test = split.split(given_rows, seed)
    assert Counter(train + test) == Counter(given_rows)


@pytest.mark.parametrize(("count", "tested"), [(1, 0), (2, 1), (3, 1), (5, 1), (8, 2), (50, 10)])
def test_a_fifth_of_each_species_is_tested_and_a_single_row_never(split, count, tested):
    train, test = split.split(rows(rare=count, common=10), "1")
    assert Counter(row[-1] for row in test) == Counter(rare=tested, common=2)
    assert Counter(row[-1] for row in train) == Counter(rare=count - tested, common=8)


def test_equal_rows_are_rows_of_their_own(split):
    train, test = split.split(rows(setosa=1) * 10, "1")
    assert (len(train), len(test)) == (8, 2)


def test_the_seed_decides_the_split(split):
    assert split.split(rows(setosa=50), "1") == split.split(rows(setosa=50), "1")
    assert set(split.split(rows(setosa=50), "1")[1]) != set(split.split(rows(setosa=50), "2")[1])


def test_rows_come_shuffled(split):
    train, _ = split.split(rows(setosa=50), "1")
    assert train != sorted(train, key=lambda row: int(row[0]))


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ("5.1,x,1.4,0.2,Iris-setosa", "column 2", "expected a number (sepal width), found 'x'"),
        ("5.1,3.5,nan,0.2,Iris-setosa", "column 3", "expected a number (petal length), found 'nan'"),
        (",3.5,1.4,0.2,Iris-setosa", "column 1", "expected a number (sepal length), found ''"),
        ("5.1,3.5,1.4,0.2,", "column 5", "expected a species, found ''"),
        ("5.1,3.5,1.4,0.2,Iris-\udcff", "column 5", r"expected a species, found 'Iris-\udcff'"),
        ("5.1,3.5,1.4,0.2", "column 5", "expected 5 columns, found 4"),
        ("5.1,3.5,1.4,0.2,Iris-setosa,", "column 6", "expected 5 columns, found 6"),
    ],
)
def test_a_malformed_row_is_named_by_file_line_and_column(split, line, where, what):
    with pytest.raises(ValueError, match="line 2") as caught:
        split.parse(IRIS + line + "\n", "iris.csv")
    assert str(caught.value) == f"iris.csv, line 2, {where}: {what}"


@pytest.mark.parametrize("text", ["", "\n", " \r\n\r\n"])
def test_a_file_without_rows_is_said_to_be_empty(split, text):
    with pytest.raises(ValueError, match=r"^iris\.csv is empty"):
        split.parse(text, "iris.csv")


def test_line_ends_blank_lines_and_spaces_are_no_part_of_a_row(split):
    assert split.parse("5.1, 3.5,1.4,0.2,Iris-setosa \r\n\r\n" + IRIS.strip(), "f") == split.parse(IRIS * 2, "f")


def test_the_stage_writes_train_and_test_and_says_how_many_rows(split, run, capsys):
    out = run(split, {"/pfs/raw_data/iris.csv": "\ufeff" + IRIS * 10}, raw_data="/pfs/raw_data", SEED="1")
    assert out == {"train.csv": IRIS.encode() * 8, "test.csv": IRIS.encode() * 2}
    assert capsys.readouterr().out == "Iris-setosa: 8 rows to train.csv, 2 to test.csv\n"


@pytest.mark.parametrize("content", [b"", b"5.1,\xff,1.4,0.2,Iris-setosa"])
def test_the_stage_ends_with_the_error(split, run, content):
    with pytest.raises(SystemExit, match=r"raw_data/iris.csv(, line 1, column 2| is empty): expected"):
        run(split, {"/pfs/raw_data/iris.csv": content}, raw_data="/pfs/raw_data", SEED="1")
