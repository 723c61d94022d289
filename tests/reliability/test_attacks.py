"""No attack breaks a promise: nothing that was said is lost, nothing wrong is shown, nothing crashes, hangs or stays behind."""

from __future__ import annotations

import pytest

from tests.reliability.attacks import ATTACKS


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_breaks_a_promise(name: str, reliability_scale: float, seed: int) -> None:
    report = ATTACKS[name](reliability_scale, seed)
    if report.skipped:
        pytest.skip(report.skipped)
    print(report)
    assert not report.broken, str(report)
