"""Every case of reference pps 6 has a test in this folder, or is a deviation with a row in the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CASES = {str(n) for n in range(1, 154)} | {"17a", "113a"}

# Case -> what the row of DEVIATIONS.md that says why it goes otherwise here is about.
DEVIATIONS = {"135": "`egress`"}


def cases_with_a_test() -> set[str]:
    """The cases that the names of tests and of their parameters mention, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)]
    collected = subprocess.run(command, cwd=HERE.parents[1], check=True, capture_output=True, text=True)
    return set(re.findall(r"case_(\d+a?)(?![0-9a-z])", collected.stdout))


def test_every_case_has_a_test_or_is_a_deviation() -> None:
    assert cases_with_a_test() == CASES - DEVIATIONS.keys()


def test_each_case_that_goes_otherwise_has_its_row() -> None:
    table = (HERE.parents[1] / "docs" / "DEVIATIONS.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert [case for case, subject in DEVIATIONS.items() if not any(subject in row for row in rows)] == []
