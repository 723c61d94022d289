"""Methods of `Runner` about a project: what differs from the home, what would run because of it, and bringing the home up to date."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from local_runner.api.access import Access
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.refs import PipelineRef

if TYPE_CHECKING:  # what reads projects and forecasts jobs takes time to import, and most commands do neither
    from local_runner.planning.plan import FileChange
    from local_runner.project.dry_run import Forecast
    from local_runner.project.file import Project
    from local_runner.project.update import Changes
    from local_runner.storage.database import Session


class Projects(Access):
    """Methods about a project file and what it says of the home."""

    def compare(
        self, project: Project | None, targets: Sequence[str] = (), *, reprocess: bool = True, always_make: bool = False
    ) -> Changes:
        """What differs between a project and the home, as far as `targets` (pipelines by name; none: all) need it.

        Without `reprocess`, changed code alone is no difference; with `always_make`, every pipeline processes all datums again. Without
        a project nothing differs, and the result names the targets alone.
        Raises `Invalid` and `SpecError` for what is wrong in the project's files, `NotFound` for a target.
        """
        from local_runner.project.update import Changes, compare

        def look(session: Session) -> Changes:
            if project is None:
                return Changes(needed=_named(session, targets))
            return compare(session, project, reprocess=reprocess, always_make=always_make, targets=targets)

        return self._look(look)

    def plan(self, changes: Changes, seconds: float = math.inf) -> Forecast:
        """What the jobs will do, datum by datum, that follow from these changes, and the unfinished jobs. Nothing is changed.

        After so many `seconds` no further job is forecast, and the result says so. Others wait to write meanwhile.
        Raises what making the changes would raise.
        """
        from local_runner.project.dry_run import forecast

        return forecast(self.database, changes, seconds)

    def text_diff(self, forecast: Forecast, change: FileChange) -> list[str]:
        """How the text of a file of a forecast changes, as lines of a unified diff; one sentence where there is no text to compare."""
        from local_runner.project.dry_run import text_diff

        return text_diff(self.database, forecast, change)

    def bring_up_to_date(self, changes: Changes) -> None:
        """Commit the files and create or update the pipelines. Raises `LocalRunnerError`, and then nothing of that part was done."""
        from local_runner.project.update import do, stored

        for part in stored(self.database.files, changes).parts:
            self.change(partial(do, todo=part))


def _named(session: Session, names: Sequence[str]) -> frozenset[PipelineRef] | None:
    """The pipelines of these names, which must exist; None if there are no names."""
    from local_runner.pipelines.pipelines import find_pipeline
    from local_runner.repos.repos import CURRENT_PROJECT

    current = session.repos.setting(CURRENT_PROJECT) or DEFAULT_PROJECT
    parts = (name.rpartition("/") for name in names)
    return frozenset(find_pipeline(session, PipelineRef(head or current, tail)).pipeline for head, _, tail in parts) or None
