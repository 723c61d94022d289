"""What the cases share: the commands in this process, a lab whose user code is real, and one with a pipeline."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import pachctl
from tests.reference.machine import Machine, best_executor
from tests.support.lab import Lab

__all__ = ["machine", "pachctl"]


@pytest.fixture
def machine(home: Path) -> Iterator[Machine]:
    """Real commands over a home of its own."""
    machine = Machine(home, best_executor())
    yield machine
    machine.close()


@pytest.fixture
def p(lab: Lab) -> Lab:
    """A repo `data` with a file, and a pipeline `p` that copied it."""
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p")
    lab.run_all()
    return lab
