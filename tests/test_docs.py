"""The documents say what is so: links lead somewhere, what they name exists, what the code refers to is written down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "local_runner"
DOCUMENTS = [ROOT / "README.md", *sorted(PACKAGE.rglob("*.md"))]
DEVIATIONS = (PACKAGE / "DEVIATIONS.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_that_are_named_exist(document: Path) -> None:
    for named in re.findall(r"`((?:local_runner|tests|images|pipelines|parameters|data)/[\w./]*)`", document.read_text()):
        assert (ROOT / named).exists(), named


def test_each_deviation_names_the_test_that_shows_it() -> None:
    rows = [row for row in DEVIATIONS.splitlines() if row.startswith("| ") and not row.startswith(("| on a cluster", "|---"))]
    assert rows
    for row in rows:
        shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split("|")[-2])
        assert shown, f"no test is named: {row}"
        for file, test in shown:
            assert re.search(rf"def {test}\b", (ROOT / file).read_text()), f"{file} has no {test}"


@pytest.mark.parametrize("file", ["tests/test_deviations.py", "tests/cli/test_deviations.py"])
def test_each_test_of_a_deviation_has_its_row(file: str) -> None:
    for test in re.findall(r"^def (test_\w+)", (ROOT / file).read_text(), flags=re.M):
        assert f"`{file}::{test}`" in DEVIATIONS, test
