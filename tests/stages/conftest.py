"""The stages as modules, and a `/pfs` to run their main() in without a container."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


Load = Callable[[str], ModuleType]


@pytest.fixture(scope="session")
def load() -> Load:
    """`load(path)`: a Python file of the repository as a module, named by the whole path: `split` or `test` may mean much else."""

    def load(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.removesuffix(".py").replace("/", "_"), ROOT / path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def split(load: Load) -> ModuleType:
    return load("images/split/split.py")


@pytest.fixture(scope="session")
def train(load: Load) -> ModuleType:
    return load("images/model/train.py")


@pytest.fixture(scope="session")
def score(load: Load) -> ModuleType:
    return load("images/test/score.py")


@pytest.fixture(scope="session")
def choose(load: Load) -> ModuleType:
    return load("images/select/choose.py")


Run = Callable[..., dict[str, bytes]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(stage, files, **env)`: main() of a stage on these files of `/pfs`, with these variables; what is in `/pfs/out` afterwards."""

    def redirected(*parts: str | Path) -> Path:
        path = Path(*parts)
        return tmp_path / path.relative_to("/") if path.is_relative_to("/pfs") else path

    def run(stage: ModuleType, files: Mapping[str, str | bytes], **env: str) -> dict[str, bytes]:
        for name, content in files.items():
            path = redirected(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        out = redirected("/pfs/out")
        out.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(stage, "Path", redirected)
            patch.setattr(sys, "argv", ["stage", "/pfs/out"])
            for name, value in env.items():
                patch.setenv(name, value)
            stage.main()
        return {path.name: path.read_bytes() for path in out.iterdir()}

    return run
