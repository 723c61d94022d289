"""What every executor that starts real processes owes the engine. Subclass `ExecutorContract` and provide the fixture `executor`."""

from __future__ import annotations

from tests.contracts.commands import CommandContract
from tests.contracts.limits import LimitsContract
from tests.contracts.pfs import PfsContract
from tests.contracts.staying import StayingContract


class ExecutorContract(CommandContract, LimitsContract, PfsContract, StayingContract):
    """All of it."""
