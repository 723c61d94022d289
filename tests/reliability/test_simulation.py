"""Thousands of histories of verbs, engines, kills and failing disks, each repeatable by its seed, keep every promise."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest

HISTORIES = 1500  # in CI's share, over all processes


def test_whatever_happens_nothing_is_lost_nothing_is_wrong_and_engines_come_to_an_end(reliability_scale: float, seed: int) -> None:
    count, processes = max(1, int(HISTORIES * reliability_scale)), os.cpu_count() or 1
    firsts = [seed * 1_000_000 + count * number // processes for number in range(processes + 1)]
    players = [_play(first, last) for first, last in itertools.pairwise(firsts)]
    played, wrong = 0, []
    for player in players:
        output, said = player.communicate()
        assert player.returncode == 0, said
        *bad, counts = (json.loads(line) for line in output.splitlines())
        played += counts["histories"]
        wrong += bad
    assert played == count
    if wrong:
        first = wrong[0]
        steps = "\n".join(first["said"])
        again = f"python -m tests.reliability.simulation --seed {first['seed']}"
        pytest.fail(f"{len(wrong)} of {played} histories went wrong; {again} repeats the first:\n{steps}\n{first['wrong']}", pytrace=False)


def _play(first: int, last: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.reliability.simulation", "--seeds", f"{first}:{last}"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
