"""What every test may ask for: a home, a lab over it, and an environment that says nothing about the person who runs the tests."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from local_runner.storage.database import Database
from local_runner.storage.home import open_home
from tests.support.lab import Lab

# Two shared cores make any deadline flaky; `lab` is made anew in each example by the tests that draw whole histories.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
settings.load_profile("house")


# In the background of a shell Ctrl-C is ignored, and children inherit that: tests of it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability-scale", type=float, default=0.1, metavar="N", help="attack N times as long (1: the share of CI)")
    parser.addoption("--seed", type=int, default=1, help="of the attacks: the same one makes the same choices")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attack: goes on for as long as --reliability-scale says")
    # Tests start a thousand commands: each would compile what it imports, 0.1 s.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n alone, whoever is free takes the next file: what the tests of a file share is made once, and short files come last."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling  # without -n it need not be there

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "reliability_scale" in getattr(item, "fixturenames", ()):
            item.add_marker("attack")
    if "PYTEST_XDIST_WORKER" in os.environ:  # what goes on for longest begins first, so that nobody has to wait for it in the end
        items.sort(key=lambda item: "attack" not in item.keywords)


@pytest.fixture(scope="session")
def reliability_scale(pytestconfig: pytest.Config) -> float:
    """How many times as long as in CI attacks go on."""
    return float(pytestconfig.getoption("--reliability-scale"))


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """What the random choices of attacks begin with."""
    return int(pytestconfig.getoption("--seed"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LOCAL_RUNNER_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A place for a home; nothing is there yet. In memory where that is possible: a hundred homes on a disk wait 10 s for it."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path / "home"
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder) / "home"


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = Database(open_home(home))
    yield database
    database.close()


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    lab = Lab(home)
    yield lab
    lab.close()
