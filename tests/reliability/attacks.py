"""All attacks, as a table."""

from __future__ import annotations

from collections.abc import Mapping

from tests.reliability import calls, flips, kills
from tests.reliability.attack import Attack

ATTACKS: Mapping[str, Attack] = {
    "kills of runs": kills.attack_runs,
    "kills of verbs": kills.attack_verbs,
    "bit flips": flips.attack,
    "failing calls": calls.attack,
}
