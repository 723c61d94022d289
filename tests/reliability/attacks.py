"""All attacks, by name, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping

from tests.reliability import calls, crowd, flips, full, fuzz, kills, power
from tests.reliability.attack import Attack
from tests.reliability.simulation import attack as simulation

ATTACKS: Mapping[str, Attack] = {
    "simulated histories": simulation.attack,
    "kills of runs": kills.attack_runs,
    "kills of verbs": kills.attack_verbs,
    "power cuts": power.attack,
    "failing calls": calls.attack,
    "full disks and limits": full.attack,
    "bit flips": flips.attack,
    "bent inputs": fuzz.attack,
    "a crowd": crowd.attack,
}
