"""What `import local_runner` gives, and what it costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import local_runner
from local_runner.runner import Runner


def test_the_package_gives_the_runner_and_its_version(tmp_path: Path) -> None:
    assert local_runner.Runner is Runner
    assert all(part.isdigit() for part in local_runner.__version__.split(".")[:2])
    with local_runner.Runner.open(tmp_path / "home", background=False) as runner:
        assert runner.list_repo() == []
    with pytest.raises(AttributeError, match="no attribute 'Walker'"):
        _ = local_runner.Walker


def test_importing_the_package_alone_imports_nothing_that_takes_time() -> None:
    heavy = "[name for name in sys.modules if name.startswith('local_runner.') or name in ('sqlite3', 'importlib.metadata')]"
    script = f"import sys, local_runner; print({heavy})"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
