"""All attacks, as a table."""

from __future__ import annotations

from collections.abc import Mapping

from tests.reliability import calls, crowd, flips, fuzz, kills, power
from tests.reliability.attack import Attack

ATTACKS: Mapping[str, Attack] = {
    "kills of verbs": kills.attack_verbs,
    "bit flips": flips.attack,
    "failing calls": calls.attack,
    "power cuts": power.attack,
    "bent inputs": fuzz.attack,
    "a crowd": crowd.attack,
}
