"""What the page about the server shows, works."""

import doctest
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "SERVER.md"


def test_the_lines_for_the_python_clients_work(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("python_pachyderm", reason="python-pachyderm is not installed")
    command = [sys.executable, "-m", "local_runner", "serve", "--port", "0"]
    process = subprocess.Popen(command, env={**os.environ, "LOCAL_RUNNER_HOME": str(home)}, stdout=subprocess.PIPE, text=True)
    request.addfinalizer(process.communicate)
    request.addfinalizer(process.terminate)
    assert process.stdout
    first, second = process.stdout.readline(), process.stdout.readline()
    assert re.fullmatch(r"serving \S+ on grpc://127.0.0.1:\d+\n", first)
    assert second.startswith("export PACH_CONFIG=")
    monkeypatch.setenv("PACH_CONFIG", second.strip().partition("=")[2])
    examples = doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, PAGE.name, str(PAGE), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = doctest.DocTestRunner().run(examples)
    assert outcome.failed == 0
    assert outcome.attempted == 5
    other = os.environ.get("PACHYDERM_SDK_PYTHON")
    if other:
        code = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
        done = subprocess.run([other, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.stdout.strip().endswith("['/greeting']"), done.stderr
