"""The page of the Python API: its examples are run, and it names every public method of `Runner`."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import local_runner
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


def test_the_page_names_what_the_package_gives() -> None:
    names = PAGE.read_text().partition("## Names")[2].partition("## Verbs")[0]
    rows = [row.split("|")[2] for row in names.splitlines() if row.startswith("| ")][1:]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(local_runner.__all__)
    assert all(getattr(local_runner, name).__name__ == name for name in local_runner.__all__ if name != "__version__")


def test_every_error_is_among_the_names() -> None:
    from local_runner import errors

    assert {name for name, kind in vars(errors).items() if isinstance(kind, type)} <= set(local_runner.__all__)


def test_every_public_method_says_what_it_does() -> None:
    silent = [name for name in dir(Runner) if not name.startswith("_") and not (inspect.getattr_static(Runner, name).__doc__ or "").strip()]
    assert silent == []
