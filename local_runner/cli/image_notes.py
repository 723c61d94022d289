"""What commands say about the image of a pipeline."""

from __future__ import annotations

from pathlib import Path

from local_runner.errors import Invalid


def image_notes(home: Path, image: str, start: Path | None = None, *, only_lacks: bool = False) -> list[str]:
    """How the image of a pipeline in a home would be run, where that needs to be said; errors in the project's files are notes, too.

    `start` is in the project, where that is not around the home; else it is the folder here. `only_lacks` is as in `notes_of`.
    """
    from local_runner.images.notes import notes_here  # 0.1 s, for commands that make or show a pipeline
    from local_runner.project.file import images_of  # brings specs with it

    try:
        return notes_here(image, images_of(home, start), only_lacks=only_lacks)
    except Invalid as error:
        return [error.message]
