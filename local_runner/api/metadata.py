"""Methods of `Runner` about metadata: pairs of texts that people attach to things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from local_runner.api.access import Access
from local_runner.model.metadata import Edit
from local_runner.pipelines.metadata import edit_metadata


class Metadata(Access):
    """Methods about metadata. What things have, their infos say."""

    def edit_metadata(self, edits: Sequence[Edit]) -> None:
        """Change the metadata of things, in this order: by all edits or, on an error, by none.

        Raises `LocalRunnerError` that says what is wrong with each edit: `NotFound` for its target, `Refused` for a key that is there.
        """
        self.change(lambda txn: edit_metadata(txn, edits))

    def home_metadata(self) -> Mapping[str, str]:
        """Those of the home itself, which are a cluster's."""
        return self._look(lambda session: session.metadata.get("home"))
