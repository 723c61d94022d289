"""How these tests are shared out to several processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("tests/model/test_ids.py", "tests/model/test_units.py", "tests/model/test_schedule.py")


def test_with_several_processes_all_tests_of_a_file_are_run_by_one_of_them() -> None:
    pytest.importorskip("xdist", reason="without pytest-xdist there is one process")
    words = [sys.executable, "-m", "pytest", "-n", "2", "-v", "-p", "no:cacheprovider", *FILES]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    processes: dict[str, set[str]] = defaultdict(set)
    for process, file in re.findall(r"^\[(gw\d)\].* PASSED (tests/\S+?\.py)::", done.stdout, re.M):
        processes[file].add(process)
    assert {file: len(found) for file, found in processes.items()} == dict.fromkeys(FILES, 1)
