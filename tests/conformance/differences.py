"""Steps of the recorded sessions in which we differ on purpose: scenario -> step numbers, and the row of DEVIATIONS.md that says why."""

from __future__ import annotations

from collections.abc import Mapping

ON_PURPOSE: Mapping[str, tuple[frozenset[int], str]] = {
    "appended-file-hash-by-history": (frozenset({4, 5}), "A file of several large appended pieces"),
    "logs": (frozenset({4}), "`logs --tail` is refused"),
    "output-bad-name": (frozenset({6}), "Output with a name no repo accepts"),
    "version-and-help": (frozenset({4}), "`create repoo x`, a verb with a word that is no command"),
    "two-datums-later": (frozenset({11, 12, 13}), "After datums wrote one path and the job failed"),
}

# What a session waits for in vain where we differ: scenario -> how its script says for how long, and what is long enough.
IN_VAIN: Mapping[str, tuple[str, str]] = {
    "output-bad-name": ("$(seq 30)", "$(seq 3)"),  # for a datum to be tried again; here its job fails at once
}
