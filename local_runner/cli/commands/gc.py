"""`gc`: collect garbage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from local_runner.cli.app import App, command
from local_runner.cli.meter import Meter, with_progress
from local_runner.cli.output import note
from local_runner.model.units import human_size

if TYPE_CHECKING:
    from local_runner.repos.gc import GcPlan

HEADER = ("WHAT", "NUMBER", "SIZE")


@command("gc --dry-run")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@with_progress
def gc(app: App, dry_run: bool, progress: bool | None) -> None:
    """Give back the room of what no commit, running job or open transaction needs; nobody has to stop for it.

    `delete` and `squash` are followed by it when the commits that were removed since the last time held 64 MiB, or 1 MiB and as much as
    all that are left: for half a second at once, the rest in the background. The history of a branch is needed; `squash commit` folds it.

    Logs go with their pipeline or job, or when they are older than `logs = "720h"` under `[keep]` in local_runner.toml, or than
    LOCAL_RUNNER_KEEP_LOGS, says; else they are kept for ever. So is what is known of the datums of a job, or with `datums = "720h"` until
    it ended so long ago and a newer one succeeded. Of what a datum prints `log_size`, or LOCAL_RUNNER_LOG_SIZE, is kept: 64MB.
    """
    _collect(app, dry_run, progress)


@command("garbage-collect --dry-run", hidden=True)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@with_progress
def garbage_collect(app: App, dry_run: bool, progress: bool | None) -> None:
    """Do as `gc` does, under the name it had in pachctl 1.x."""
    _collect(app, dry_run, progress)


def _collect(app: App, dry_run: bool, progress: bool | None) -> None:
    plan = app.runner.plan_gc()
    app.out.table(HEADER, _rows(plan))
    if dry_run:
        return
    with Meter(progress, plan.size) as meter:
        is_all = app.runner.gc(plan, meter.add)
    if not is_all:
        note("large contents stay for now, as a reader still sees what was there before; run gc again later")


def _rows(plan: GcPlan) -> list[tuple[str, ...]]:
    counted = [
        ("large contents", len(plan.large.names), plan.large.size),
        ("small contents", len(plan.small.names) + len(plan.packed.names), plan.small.size + plan.packed.size),
        ("pieces of trees", len(plan.pieces.names), plan.pieces.size + plan.sums.size),
        ("left by the killed", len(plan.leftovers), sum(leftover.size for leftover in plan.leftovers)),
        ("jobs whose datums are forgotten", len(plan.jobs), 0),
        ("logs", len(plan.logs), sum(log.size for log in plan.logs)),
    ]
    rows = [(what, str(number), human_size(size)) for what, number, size in counted]
    return [
        *rows,
        ("free in the records", "", human_size(plan.free)),
        ("goes", "", human_size(plan.size)),
        ("stays", "", human_size(plan.stays)),
    ]
