"""Removes folders that user code wrote to. Imports next to nothing, as the launcher imports it."""

from __future__ import annotations

from local_runner import beneath


def remove_folder(folder: str) -> None:
    """Remove a folder with all below, even folders of user code without rights to read or write. Raises OSError.

    The path `folder` must be the caller's own; what lies in it may be anything, and may be changing.
    """
    beneath.remove(folder)


def remove_leftover(folder: str) -> None:
    """Remove a folder as `remove_folder` does, but leave what cannot be removed."""
    try:
        remove_folder(folder)
    except OSError:
        return
