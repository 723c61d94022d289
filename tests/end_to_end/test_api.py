"""The page of the Python API: its examples are run, and it names every public method of `Runner`."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

from local_runner.runner import Runner

PAGE = Path(__file__).parents[2] / "docs" / "API.md"


def test_the_examples_come_out_as_shown(tmp_path: Path) -> None:
    """In a program of its own, as a reader would type them."""
    assert len(doctest.DocTestParser().get_examples(PAGE.read_text())) > 10
    command, env = [sys.executable, "-m", "doctest", str(PAGE)], os.environ | {"PYTHONPATH": str(PAGE.parents[1])}
    tried = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_every_public_method_is_named_and_every_name_is_a_method() -> None:
    verbs = PAGE.read_text().partition("## Verbs")[2]
    rows = [row.split("|")[2] for row in verbs.splitlines() if row.startswith("| ")][1:]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named == {name for name in dir(Runner) if not name.startswith("_")}
