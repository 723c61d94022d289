"""What `import local_runner` gives, and what it costs."""

import re
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


def test_dask_is_imported_by_its_executor_alone_and_only_when_it_is_asked_for(tmp_path: Path) -> None:
    package = Path(local_runner.__file__).parent
    imports = re.compile(r"^\s*(?:import|from) (?:dask|distributed)\b", re.MULTILINE)
    assert {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py") if imports.search(path.read_text())} == {
        "executors/dask"
    }
    (tmp_path / "local_runner.toml").write_text('pipelines = []\n[dask]\nscheduler = "tcp://127.0.0.1:1"\n')
    script = (
        "import sys\nfrom local_runner.cli.main import main\n"
        "try:\n    main()\nfinally:\n    assert not {'dask', 'distributed'} & sys.modules.keys()"
    )
    for command in (["list", "repo"], ["plan"], ["--executor", "process"]):
        done = subprocess.run([sys.executable, "-c", script, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "AssertionError" not in done.stderr, done.stderr
