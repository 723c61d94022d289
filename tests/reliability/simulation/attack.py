"""Plays as many histories as are wanted, with a process on each core."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from tests.reliability.attack import ROOT, Report, scaled

SHARE = 600  # histories
_PATIENCE = 900.0  # seconds for them, and so much more for more of them: a history that hangs is a promise broken


def attack(scale: float, seed: int) -> Report:
    """The seeds from `seed` × 1,000,000 on."""
    report, count, processes = Report("simulated histories"), scaled(SHARE, scale), os.cpu_count() or 1
    firsts = [seed * 1_000_000 + count * number // processes for number in range(processes + 1)]
    env = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    with ExitStack() as files:
        outputs = [files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(processes)]
        words = [sys.executable, "-m", "tests.reliability.simulation", "--seeds"]
        players = [
            subprocess.Popen([*words, f"{first}:{last}"], cwd=ROOT, env=env, stdout=output, stderr=subprocess.PIPE, text=True)
            for (first, last), output in zip(itertools.pairwise(firsts), outputs, strict=True)
        ]
        for player, output in zip(players, outputs, strict=True):
            try:
                _, said = player.communicate(timeout=_PATIENCE * max(scale, 1))
            except subprocess.TimeoutExpired:
                player.send_signal(signal.SIGABRT)  # it says where its threads are
                _, said = player.communicate()
            output.seek(0)
            lines = [json.loads(line) for line in output]
            if player.returncode or not lines or "histories" not in lines[-1]:
                report.breaks(f"a player ended with {player.returncode}: {said[-2000:]}")
            for line in lines:
                if "wrong" in line:
                    steps = "\n".join(line["said"])
                    report.breaks(f"python -m tests.reliability.simulation --seed {line['seed']}\n{steps}\n{line['wrong']}")
                else:
                    report.did.update(line)
    return report
