"""Numbers as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model.quantity import odd_amount, quantity, suggested


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("1000", "1000"),
        ("64M", "64000000"),
        ("64Mi", "67108864"),
        ("1.5Gi", "1610612736"),
        ("100m", "0.1"),
        ("2k", "2000"),
        ("1e3", "1000"),
        ("12E", "12000000000000000000"),
        ("12E2", "1200"),
    ],
)
def test_a_quantity_is_read_as_kubernetes_does(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["much", "1 GB", " 1G", "1G ", "1.2.3", "1K", "Mi", "٣", "64MB", "i", ""])
def test_what_is_no_quantity_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=f"'{text}' is not a quantity"):
        quantity(text)


@pytest.mark.parametrize(
    ("text", "instead"),
    [("2GB", "2G"), ("2 GiB", "2Gi"), ("64mb", None), ("512MB", "512M"), ("10 K", "10k"), ("1.5gb", None), ("4KB", "4k")],
)
def test_a_size_as_it_is_written_elsewhere_is_said_as_kubernetes_writes_it(text: str, instead: str | None) -> None:
    assert suggested(text) == (f'"{instead}"' if instead else 'a number and a unit, as in "500M" or "2Gi"')


@given(
    st.decimals(0, 9999, places=2),
    st.sampled_from([" ", ""]),
    st.sampled_from("kKMGTPE"),
    st.sampled_from(["", "i"]),
    st.sampled_from("bB"),
)
def test_what_is_suggested_is_a_quantity(number: Decimal, blank: str, unit: str, binary: str, letter: str) -> None:
    power = 1024 if binary else 1000
    found = quantity(suggested(f"{number}{blank}{unit}{binary}{letter}").strip('"'))
    assert found == number * power ** ("KMGTPE".index(unit.upper()) + 1)


def test_an_amount_that_a_cluster_takes_without_a_word_is_spoken_of() -> None:
    assert odd_amount("2Gi") == odd_amount("0") == ""
    assert odd_amount("2GB") == "'2GB' is not a quantity: it is ignored, as on a cluster; write \"2G\""
    assert "a thousandth" in odd_amount("100m")
    assert "below zero" in odd_amount("-1")
