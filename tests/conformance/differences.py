"""Steps of the recorded sessions in which we differ on purpose: scenario -> step numbers, and the row of DEVIATIONS.md that says why."""

from __future__ import annotations

from collections.abc import Mapping

ON_PURPOSE: Mapping[str, tuple[frozenset[int], str]] = {
    "appended-file-hash-by-history": (frozenset({4, 5}), "A file of several large appended pieces"),
    "logs": (frozenset({4}), "`logs --tail` is refused"),
    "output-bad-name": (frozenset({6}), "Output with a name no repo accepts"),
    "two-datums-later": (frozenset({11, 12, 13}), "After datums wrote one path and the job failed"),
}
