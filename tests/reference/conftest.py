"""What the cases share: the commands in this process, and a lab whose user code is real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import pachctl
from tests.reference.machine import Machine, best_executor

__all__ = ["machine", "pachctl"]


@pytest.fixture
def machine(home: Path) -> Iterator[Machine]:
    """Real commands over a home of its own."""
    machine = Machine(home, best_executor())
    yield machine
    machine.close()
