from __future__ import annotations

from decimal import Decimal

import pytest

from local_runner.errors import Invalid
from local_runner.executors.resources import Resources, quantity, read_resources


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


@pytest.mark.parametrize("text", ["much", "1 GB", "1.2.3", "64MB", "i"])
def test_what_is_no_quantity_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=f"'{text}' is not a quantity"):
        quantity(text)


def test_limits_are_hard_and_requests_are_what_is_reserved() -> None:
    given = read_resources({"cpu": 0.5, "memory": "256Mi", "disk": "1Gi"}, {"cpu": 2, "memory": "1G", "gpu": {"type": "x", "number": 1}})
    assert given == Resources(memory=10**9, cores=2.0, reserved_memory=256 << 20, share=0.5, gpus=1)
    assert read_resources({}, {}) == Resources()
