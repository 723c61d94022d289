"""Attacks for as long as wanted, and prints a table: `python -m tests.reliability --scale 100`."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.reliability.attack import Report
from tests.reliability.attacks import ATTACKS

_HEADING = "## The last figures"
_HEAD = "| attack | did | promises broken | seconds |\n|---|---|---|---|\n"


def main() -> int:
    """1 if a promise was found broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how many times as long as in CI (1)")
    parser.add_argument("--seed", type=int, default=1, help="what the choices begin with (1)")
    parser.add_argument("--only", default="", help=f"some of them, separated by commas: {', '.join(ATTACKS)}")
    parser.add_argument("--page", type=Path, help=f'write the table into this page, below its heading "{_HEADING[3:]}", which comes last')
    given = parser.parse_args()
    chosen = given.only.split(",") if given.only else list(ATTACKS)
    rows, is_broken = [], False
    for name in chosen:
        began = time.monotonic()
        report = ATTACKS[name](given.scale, given.seed)
        print(report, flush=True)
        rows.append(_row(name, report, time.monotonic() - began))
        is_broken |= bool(report.broken)
    table = _HEAD + "".join(rows)
    print(table)
    if given.page:
        text = given.page.read_text().partition(_HEADING)[0]
        when = f"{datetime.now(UTC):%Y-%m-%d}, `python -m tests.reliability --scale {given.scale:g} --seed {given.seed}`:"
        given.page.write_text(f"{text}{_HEADING}\n\n{when}\n\n{table}")
    return int(is_broken)


def _row(name: str, report: Report, seconds: float) -> str:
    did = ", ".join(f"{number:,} {what}" for what, number in report.did.items() if number)
    result = f"not tried: {report.skipped}" if report.skipped else f"{len(report.broken):,}"
    return f"| {name} | {did} | {result} | {seconds:.0f} |\n"


if __name__ == "__main__":
    sys.exit(main())
